//! The command line: status, renew, sync, validate, inspect.

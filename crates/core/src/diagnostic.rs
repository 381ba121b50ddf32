//! Diagnostics with a place in a file.

//! The daemon: scheduling, certificate authorities, manifest watching, control API.

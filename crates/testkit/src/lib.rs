//! Test support: scratch directories, real peers, stand-ins for pct and qm, builders.

//! Run one command confined and report how it ended.

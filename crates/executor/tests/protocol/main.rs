//! The executor, spoken to as the daemon does: over a socket pair, frame by frame.

mod authority;
mod ca;
mod commands;
mod hostile;
mod issuing;
mod restart;
mod rig;

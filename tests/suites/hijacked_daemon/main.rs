//! A daemon that was taken over, against the built executor: it says whatever it likes, and nothing gives.

mod frames;
mod rig;
mod secrets;
mod substitutes;

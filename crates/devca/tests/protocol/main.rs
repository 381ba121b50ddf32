//! The embedded CA as a client sees it: Step-CA's rules, its texts, and the faults.

mod client;
mod discovery;
mod faults;
mod lifetime;
mod signing;

//! Reach LXC and VM guests through pct and qm, and understand their answers.

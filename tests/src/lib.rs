//! Black-box suites; see `suites/`.

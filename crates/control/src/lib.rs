//! The control log, live.

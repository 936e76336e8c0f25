//! Seeded simulation of the whole gateway, in memory: people and policy, sessions, a network that cuts and drops, targets,
//! and a log on a disk that fills up and loses what was not synced.
//!
//! Everything that decides is the product's own code: the access core, the pipeline, the session machine, the record
//! formats. What is simulated are its seams: clock, network, disk, target. One seed gives one run, byte for byte. After
//! every step the checks of [`simulation`] hold, and at the end the auditor of the product reads both logs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "test code: a failed expectation ends the run and prints the seed"
)]

pub mod control;
pub mod disk;
pub mod seat;
pub mod simulation;
pub mod target;

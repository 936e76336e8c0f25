//! The access core: who may do what, when, and who said so. Pure: no socket, clock, file or task.
//!
//! Start reading at [`pipeline`]: the one way from an action to a byte that leaves.

pub mod action;
pub mod id;
pub mod pipeline;
pub mod time;

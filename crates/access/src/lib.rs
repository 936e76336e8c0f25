//! The access core: who may do what, when, and who said so. Pure: no socket, clock, file or task.
//!
//! Start reading at [`pipeline`]: the one way from an action to a byte that leaves. Then [`command`] (what can be asked),
//! [`decide`] (what is answered), [`record`] and [`fact`] (what is kept), [`state`] (the fold of that).

pub mod action;
pub mod activity;
pub mod audit;
pub mod command;
pub mod decide;
pub mod fact;
pub mod id;
pub mod person;
pub mod pipeline;
pub mod policy;
pub mod record;
pub mod state;
pub mod time;

pub use decide::decide;

//! Decides commands.
use crate::command::{Code, Command, Denied};
use crate::record::ControlRecord;
use crate::state::State;
use crate::time::Micros;

/// Decides `command` at `now`: the records to keep, or why not. Pure.
///
/// # Errors
/// What is wrong and what to do next.
pub fn decide(_state: &State, _command: &Command, _now: Micros) -> Result<Vec<ControlRecord>, Denied> {
    Err(Denied::new(Code::Unknown, "not decided yet", ""))
}

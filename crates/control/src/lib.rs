//! The control log, live: decide, append, apply, tell.
//!
//! One thread (`commit.rs`) takes commands, decides them against the state, appends what was decided, waits until it is
//! durable, folds it in and publishes the new state. INVARIANT: the state is the fold of the log and nothing else; nobody
//! sees a state whose records are not durable. At start the whole log is folded again, or a signed snapshot and the rest
//! of the log, and either must give the root that the log signed (`open.rs`).
//!
//! It knows the vault only to seal and open personal fields. Start reading at [`Controller`].

mod commit;
mod controller;
mod open;
mod personal;
mod snapshot;
mod ticker;

pub use commit::{Outcome, SubmitError};
pub use controller::{Clock, Controller};
pub use open::{OpenError, Options, Start};
pub use personal::{Personal, unseal};
pub use ticker::Ticker;

/// Name of the control log, in records and addresses.
pub const LOG: &str = "control";

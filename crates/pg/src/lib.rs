//! PostgreSQL, without sockets: messages, login on both sides, and what a statement would do.
//!
//! It knows bytes and SQL. It must not know sockets, clocks, randomness, files or policy: nonces come in as values, and
//! whether a statement may go on is decided by `daypass_access::pipeline`.
//!
//! Start reading at [`frame`] (how a stream is cut), then [`startup`] and [`message`] (what the pieces mean), [`login_back`]
//! (how the target is entered), and [`classify`] (the security-critical part: what a text would do). [`redact`] takes secrets
//! out of what is recorded.

pub mod classify;
pub mod error;
pub mod estimate;
pub mod frame;
pub mod login_back;
pub mod message;
pub mod redact;
pub mod scram;
pub mod session;
pub mod startup;
pub mod violation;
pub mod write;

mod reader;

//! The control plane: HTTP API, login, wiring.

pub mod clock;
pub mod config;
pub mod login;
pub mod tls;

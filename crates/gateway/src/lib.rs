//! The gateway: listeners, TLS, connections to targets, relay, supervision. The only way to a target.

pub mod front;
pub mod tls;
pub mod upstream;

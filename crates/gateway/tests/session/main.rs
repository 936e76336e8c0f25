//! Sessions through the gateway to a real PostgreSQL, with stock `psql` and a client that speaks the protocol by hand.

#![expect(clippy::disallowed_methods, reason = "tests have a clock and poll with deadlines")]

mod basic;
mod ending;
mod house;
mod protocol;
mod wire;

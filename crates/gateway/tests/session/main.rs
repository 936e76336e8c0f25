//! Sessions through the gateway to a real PostgreSQL, with stock `psql` and a client that speaks the protocol by hand.

#![expect(clippy::disallowed_methods, reason = "tests have a clock and poll with deadlines")]

#[cfg(test)]
mod basic;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod house;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod upstream;
#[cfg(test)]
#[expect(dead_code, reason = "shared with the tests of memory, which use the rest")]
mod wire;

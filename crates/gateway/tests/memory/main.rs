//! Memory of a session is bounded, whatever either side does. A process of its own, because it looks at its own memory.

#![expect(clippy::disallowed_methods, reason = "tests have a clock and poll with deadlines")]

#[cfg(test)]
#[path = "../session/house.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod house;
#[cfg(test)]
#[path = "../session/wire.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod wire;

#[cfg(test)]
mod bounded;

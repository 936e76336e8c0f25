//! The clock of the rim. Everything else takes the time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use daypass_access::time::Micros;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the clock of the rim")]
#[must_use]
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

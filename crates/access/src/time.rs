//! Moments and spans, as values: the core never asks what time it is.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// The moment `span_s` seconds later, saturating.
    #[must_use]
    pub fn plus_s(self, span_s: u64) -> Self {
        Self(self.0.saturating_add(span_s.saturating_mul(1_000_000)))
    }

    /// Whole seconds from `earlier` to this moment, 0 when it is not earlier.
    #[must_use]
    pub fn since_s(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

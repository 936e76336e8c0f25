//! The keeper: makes segments ready ahead of the commit thread, so that a record never waits for a file to be made.
//!
//! A thread of its own, because publishing may take longer than a busy log needs to fill a segment. When the disk is full it
//! tries again every so often, and the queue refuses records by what is left.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::Shared;

/// Segments kept ready.
pub(crate) const SPARES: usize = 2;

/// The state of the keeper thread.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    /// How long to wait after a failure.
    pub(crate) retry: Duration,
}

impl Keeper {
    /// Keeps segments ready until the log is closed.
    pub(crate) fn run(self) {
        let segments = &self.shared.segments;
        let mut failing = false;
        while segments.wait_for_need(SPARES) {
            let made = segments.make_spare();
            self.shared.count_spares();
            if let Err(error) = &made {
                if !failing {
                    tracing::error!(dir = %self.shared.dir.display(), %error, "cannot make space for the log; trying again");
                }
                segments.pause(self.retry);
            }
            failing = made.is_err();
        }
    }
}

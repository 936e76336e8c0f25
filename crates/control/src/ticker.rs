//! What happens by time alone: expiries get their records, the activity log's head gets anchored, snapshots get written.
//! INVARIANT: I18. Nothing depends on it: every question that depends on time takes the time.

use std::time::Duration;

use daypass_access::command::{Ask, Command};
use daypass_journal::Journal;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::commit::SubmitError;
use crate::controller::Controller;

/// How often expiries are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The other log is anchored every so many sweeps.
const ANCHOR_EVERY_SWEEPS: u32 = 60;

/// The running ticker.
#[derive(Debug)]
pub struct Ticker(JoinHandle<()>);

impl Ticker {
    /// Starts it on the current runtime; `log` is the activity log and its name.
    #[must_use]
    pub fn start(controller: Controller, log: Option<(String, Journal)>) -> Self {
        Self(tokio::spawn(run(controller, log)))
    }

    /// Stops it. The last anchor is the caller's: see [`Controller::anchor`].
    pub async fn stop(self) {
        self.0.abort();
        // Cancelled is what was asked for.
        drop(self.0.await);
    }
}

async fn run(controller: Controller, log: Option<(String, Journal)>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweeps = 0_u32;
    loop {
        ticks.tick().await;
        sweeps = sweeps.wrapping_add(1);
        match controller.submit(Command::by_system(Ask::Sweep)).await {
            Ok(_) | Err(SubmitError::Busy) => {}
            Err(SubmitError::Closed) => return,
            Err(error) => tracing::warn!(error = %error, "a sweep did not get through"),
        }
        if sweeps.is_multiple_of(ANCHOR_EVERY_SWEEPS)
            && let Some((name, journal)) = &log
            && let Err(error) = controller.anchor(name, journal).await
        {
            tracing::warn!(error = %error, "the activity log was not anchored");
        }
        let snapshots = controller.clone();
        match tokio::task::spawn_blocking(move || snapshots.snapshot_if_due()).await {
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => tracing::warn!(error = %error, "no snapshot was written"),
        }
    }
}

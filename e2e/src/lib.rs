//! The harness of the tests with real clients and servers: a throwaway PostgreSQL, a Daypass in front of it, and
//! endpoints that any client can be pointed at.
//!
//! The main idea is [`World::both`]: the same test runs direct and through the gateway and must have the same outcome. It knows
//! Daypass only from outside: the binary, the HTTP API, the PostgreSQL port.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness of tests: whatever fails, fails the test with words"
)]

mod api;
mod binary;
mod daypass;
mod endpoint;
mod postgres;
mod process;

pub use api::{Api, Refusal};
pub use binary::{daypass_binary, tools_folder};
pub use daypass::{Daypass, PASSWORD, Person, Settings};
pub use endpoint::{Endpoint, Tls};
pub use postgres::{Postgres, as_postgres, free_port, give_away};
pub use process::{Ended, Running, run, run_within};

use std::time::Duration;

/// How long anything in these tests may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A PostgreSQL and a Daypass in front of it.
#[derive(Debug)]
pub struct World {
    /// The gateway and its control plane; dropped, and so ended, before the target.
    pub daypass: Daypass,
    /// The target.
    pub postgres: Postgres,
}

impl World {
    /// Starts both, with people and policy in place.
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    /// Starts both with other settings.
    pub async fn start_with(settings: Settings) -> Self {
        let postgres = Postgres::start().await;
        let daypass = Daypass::start(&postgres, settings).await;
        Self { daypass, postgres }
    }

    /// The target itself, and the same database through the gateway as bob with every class granted.
    pub async fn both(&self) -> (Endpoint, Endpoint) {
        (self.postgres.endpoint("app"), self.daypass.endpoint("bob", "app", "everything").await)
    }
}

/// Asserts that two transcripts are the same, and shows the first line that differs.
#[track_caller]
pub fn assert_same(what: &str, direct: &str, through: &str) {
    if direct == through {
        return;
    }
    let numbered = direct.lines().zip(through.lines()).enumerate();
    let differing = numbered.into_iter().find(|(_, (left, right))| left != right);
    let (at, left, right) = match differing {
        Some((at, (left, right))) => (at, left, right),
        None => (direct.lines().count().min(through.lines().count()), "(one ends here)", "(one ends here)"),
    };
    panic!(
        "{what}: line {} differs\n  direct:  {left}\n  through: {right}\n--- direct\n{direct}\n--- through\n{through}",
        at + 1
    );
}

/// Polls until `done` gives a value; panics with `what` when it takes longer than [`PATIENCE`].
pub async fn until<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut done: F) -> T {
    let polling = async {
        loop {
            if let Some(value) = done().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, polling).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s in vain: {what}", PATIENCE.as_secs()),
    }
}

//! Looking from outside: the target's sessions, a process's memory, files, and the time between two events.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daypass_e2e::{Postgres, until};
use tokio_postgres::Client;

/// The gateway's sessions as the target sees them.
pub(crate) struct Backends {
    client: Client,
}

impl Backends {
    pub(crate) async fn of(postgres: &Postgres) -> Self {
        Self { client: postgres.endpoint("postgres").connect().await.unwrap() }
    }

    async fn counted(&self, condition: &str) -> i64 {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND application_name LIKE 'daypass:%' AND {condition}"
        );
        self.client.query_one(&query, &[]).await.unwrap().get(0)
    }

    /// How many there are.
    pub(crate) async fn count(&self) -> i64 {
        self.counted("true").await
    }

    /// How many run a query that contains `part`.
    pub(crate) async fn running(&self, part: &str) -> i64 {
        self.counted(&format!("state = 'active' AND query LIKE '%{part}%'")).await
    }

    /// Waits until one runs a query that contains `part`.
    pub(crate) async fn until_running(&self, part: &str) {
        until("the query runs at the target", async || (self.running(part).await > 0).then_some(())).await;
    }

    /// How many wait for the gateway to read.
    pub(crate) async fn waiting_for_client(&self) -> i64 {
        self.counted("wait_event = 'ClientWrite'").await
    }
}

/// Time since an event, by the clock on the wall: the end of a grant is a time on that clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(SystemTime);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    pub(crate) fn at_micros(micros: u64) -> Self {
        Self(UNIX_EPOCH + Duration::from_micros(micros))
    }

    /// Zero before the event.
    pub(crate) fn elapsed(self) -> Duration {
        now().duration_since(self.0).unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Resident memory of a process, KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits for a future, at most so long.
pub(crate) async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    let ended = tokio::time::timeout(limit, future).await;
    ended.unwrap_or_else(|_| panic!("waited {} s in vain: {what}", limit.as_secs()))
}

/// Every file below a folder that contains these bytes.
pub(crate) fn files_with(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut seen = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                seen += 1;
                let content = std::fs::read(&path).unwrap();
                if content.windows(bytes.len()).any(|window| window == bytes) {
                    found.push(path);
                }
            }
        }
    }
    assert!(seen > 3, "there should be more than {seen} files");
    found
}

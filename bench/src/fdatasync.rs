//! What the machine's disk does: fdatasync after a small write into a preallocated file. The unit of every other number.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_LEN: usize = 16 << 20;
const WRITE_LEN: usize = 1024;

/// Sorted durations.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The duration that `per_mille` of them do not exceed.
    pub(crate) fn at(&self, per_mille: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get(self.0.len().saturating_mul(per_mille) / 1000)
            .or(self.0.get(last))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.at(500)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.at(990)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:>6} µs  p99 {:>6} µs", self.p50().as_micros(), self.p99().as_micros())
    }
}

/// `part / whole`.
pub(crate) fn ratio(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Measures `count` fdatasyncs, each after a write of 1 KiB at the next place of a preallocated file.
pub(crate) fn measure(dir: &Path, count: usize) -> io::Result<Latencies> {
    let path = dir.join("fdatasync");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; FILE_LEN], 0)?;
    file.sync_all()?;
    let bytes = [1; WRITE_LEN];
    let mut durations = Vec::with_capacity(count);
    for offset in (0..FILE_LEN as u64).step_by(WRITE_LEN).cycle().take(count) {
        file.write_all_at(&bytes, offset)?;
        let start = now();
        file.sync_data()?;
        durations.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(Latencies::new(durations))
}

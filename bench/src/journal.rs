//! The journal: latency and throughput of durable appends of 300 bytes, as ratios to fdatasync in the same run.
//!
//! Every appender is closed-loop: it appends its next record when the last one is durable. Rounds are interleaved with
//! measurements of the bare disk, and the medians of the rounds count.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use daypass_journal::{AppendError, Entry, Journal, Lane, Options, Stats};
use daypass_ledger::note::Signer;

use crate::Outcome;
use crate::fdatasync::{self, Latencies, now, ratio};

const RECORD_LEN: usize = 300;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const SYNCS: usize = 500;

/// One measurement of the journal.
struct Round {
    latencies: Latencies,
    records_per_s: f64,
    cpu_us_per_record: f64,
    stats: Stats,
}

/// Measures 1, 64 and 512 appenders.
pub(crate) fn run(dir: &Path) -> Outcome {
    println!(
        "journal: records of {RECORD_LEN} bytes, {ROUNDS} rounds of {} s, medians count\n",
        ROUND.as_secs()
    );
    for appenders in [1, 64, 512] {
        let (mut p50s, mut p99s, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            let cpu = cpu_time()?;
            let before = fdatasync::measure(dir, SYNCS)?;
            let sync_cpu = cpu_time()?.saturating_sub(cpu).as_secs_f64() * 1e6 / SYNCS as f64;
            let round = round(&dir.join(format!("log-{appenders}-{number}")), appenders)?;
            let after = fdatasync::measure(dir, SYNCS)?;
            let sync = (before.p50() + after.p50()) / 2;
            println!(
                "{appenders:>4} appenders  {}  {:>8.0} records/s  {:>5.1} records/sync  {:.2} µs CPU a record",
                round.latencies,
                round.records_per_s,
                round.stats.records as f64 / round.stats.syncs as f64,
                round.cpu_us_per_record,
            );
            println!(
                "                fdatasync alone: {before} before, {after} after, {sync_cpu:.0} µs CPU each"
            );
            p50s.push(ratio(round.latencies.p50(), sync));
            p99s.push(ratio(round.latencies.p99(), sync));
            rates.push(round.records_per_s);
        }
        let (p50, p99, rate) = (median(p50s), median(p99s), median(rates));
        println!(
            "  → p50 = {p50:.2} fdatasync, p99 = {p99:.2} fdatasync, {rate:.0} records/s{}\n",
            target(appenders)
        );
    }
    Ok(())
}

fn target(appenders: usize) -> &'static str {
    match appenders {
        1 => "   (target: p50 at most 1.5)",
        64 => "   (target: p99 at most 3)",
        _ => "   (target: at least 100000 records/s)",
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn round(dir: &Path, appenders: usize) -> Result<Round, Box<dyn std::error::Error>> {
    let signer = Signer::new("bench.example/log", &rand::random())?;
    let (journal, _) = Journal::open(Options::new(dir, signer), || 0)?;
    let (start, cpu) = (now(), cpu_time()?);
    let durations = if appenders == 1 { alone(&journal) } else { together(&journal, appenders) };
    let (elapsed, cpu) = (start.elapsed(), cpu_time()?.saturating_sub(cpu));
    let stats = journal.stats();
    journal.close();
    std::fs::remove_dir_all(dir)?;
    let records = stats.records as f64;
    Ok(Round {
        latencies: Latencies::new(durations?),
        records_per_s: records / elapsed.as_secs_f64(),
        cpu_us_per_record: cpu.as_secs_f64() * 1e6 / records,
        stats,
    })
}

fn record() -> Entry {
    Entry { leaf: vec![b'x'; RECORD_LEN], sidecar: None }
}

/// One appender on a thread of its own.
fn alone(journal: &Journal) -> Result<Vec<Duration>, AppendError> {
    let mut durations = Vec::new();
    let begin = now();
    while begin.elapsed() < ROUND {
        let entry = record();
        let start = now();
        if block_on(journal.append(Lane::Intent, entry)?).is_err() {
            break;
        }
        durations.push(start.elapsed());
    }
    Ok(durations)
}

/// Many appenders as tasks on two threads.
fn together(journal: &Journal, appenders: usize) -> Result<Vec<Duration>, AppendError> {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let journal = journal.clone();
            thread::spawn(move || runtime(&journal, appenders / 2))
        })
        .collect();
    let mut durations = Vec::new();
    for thread in threads {
        durations.extend(thread.join().unwrap_or(Err(AppendError::Closed))?);
    }
    Ok(durations)
}

fn runtime(journal: &Journal, appenders: usize) -> Result<Vec<Duration>, AppendError> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return Err(AppendError::Closed);
    };
    runtime.block_on(async {
        let tasks: Vec<_> = (0..appenders).map(|_| tokio::spawn(appender(journal.clone()))).collect();
        let mut durations = Vec::new();
        for task in tasks {
            durations.extend(task.await.unwrap_or(Err(AppendError::Closed))?);
        }
        Ok(durations)
    })
}

async fn appender(journal: Journal) -> Result<Vec<Duration>, AppendError> {
    let mut durations = Vec::new();
    let begin = now();
    while begin.elapsed() < ROUND {
        let entry = record();
        let start = now();
        if journal.append(Lane::Intent, entry)?.await.is_err() {
            break;
        }
        durations.push(start.elapsed());
    }
    Ok(durations)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// User and system time of the process so far: the benchmark's own work is in it.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("`/proc/self/stat` has no name")?;
    let ticks: u32 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

//! Single measurements.

use std::time::Duration;

use daypass_api::requests::Grant;
use daypass_e2e::{PATIENCE, run_within};
use serde_json::{Value, json};

use super::ways::{SPARE, Way, Ways};
use crate::fdatasync::{Latencies, now};

type Measured<T> = Result<T, Box<dyn std::error::Error>>;

/// One run of pgbench.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Transactions a second, without the time of the first connections.
    pub(crate) tps: f64,
    /// How many there were.
    pub(crate) transactions: f64,
    /// CPU time of the proxy for each transaction, microseconds.
    pub(crate) cpu_us: f64,
    /// Syncs of the log for 1,000 transactions; NaN where nothing is logged.
    pub(crate) syncs: f64,
}

/// The cell in the middle by throughput.
pub(crate) fn median(cells: &[Cell]) -> Cell {
    let mut sorted = cells.to_vec();
    sorted.sort_by(|left, right| left.tps.total_cmp(&right.tps));
    let none = Cell { tps: f64::NAN, transactions: f64::NAN, cpu_us: f64::NAN, syncs: f64::NAN };
    sorted.get(sorted.len() / 2).copied().unwrap_or(none)
}

/// Runs pgbench for a time.
pub(crate) async fn pgbench(way: &Way, arguments: &[&str], time: Duration) -> Measured<Cell> {
    let seconds = time.as_secs().to_string();
    let mut all = vec!["-n", "-T", &seconds];
    all.extend(arguments);
    let before = way.proxy.map(cpu_ticks).transpose()?;
    let ended = run_within(time + PATIENCE, &way.endpoint, "pgbench", &all).await;
    let after = way.proxy.map(cpu_ticks).transpose()?;
    if ended.code != Some(0) {
        return Err(
            format!("pgbench {} on {}: {}{}", all.join(" "), way.name, ended.stdout, ended.stderr).into()
        );
    }
    let number = |start: &str| -> Measured<f64> {
        let line = ended.stdout.lines().find(|line| line.starts_with(start));
        let rest = line.and_then(|line| line.strip_prefix(start)).unwrap_or_default();
        let digits: String =
            rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.parse().map_err(|_| format!("no `{start}` in pgbench's report:\n{}", ended.stdout).into())
    };
    let transactions = number("number of transactions actually processed:")?;
    let ticks = before.zip(after).map_or(f64::NAN, |(before, after)| after - before);
    Ok(Cell { tps: number("tps =")?, transactions, cpu_us: ticks * TICK_US / transactions, syncs: f64::NAN })
}

/// Microseconds of one clock tick in /proc, on every Linux of today.
const TICK_US: f64 = 10_000.0;

/// User and system time of a process so far, in ticks.
fn cpu_ticks(pid: u32) -> Measured<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; what follows it does not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    ticks(11)
        .zip(ticks(12))
        .map(|(user, system)| user + system)
        .ok_or_else(|| "cannot read /proc/…/stat".into())
}

/// Resident memory of a process, KiB.
fn rss_kib(pid: u32) -> Measured<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
}

/// Seconds that a result of 1 GB takes.
pub(crate) async fn one_gigabyte(way: &Way) -> Measured<f64> {
    let query = "COPY (SELECT repeat('x', 999) FROM generate_series(1, 1000000)) TO STDOUT";
    let line = format!("exec psql -Xqc \"{query}\" > /dev/null");
    let start = now();
    run_within(PATIENCE, &way.endpoint, "sh", &["-c", &line]).await.well();
    Ok(start.elapsed().as_secs_f64())
}

/// Memory for each session.
pub(crate) struct Memory {
    pub(crate) idle_kib: f64,
    pub(crate) busy_kib: f64,
}

/// Measures what idle sessions, and then busy ones, add to the gateway.
pub(crate) async fn memory(ways: &Ways, idle: usize) -> Measured<Memory> {
    let through = ways.through()?;
    let pid = ways.daypass.pid();
    let endpoint = daypass_e2e::Endpoint { tls: ways.daypass.tls(), ..through.endpoint.clone() };
    let before = rss_kib(pid)?;
    let mut clients = Vec::new();
    for _ in 0..idle {
        let client = endpoint.connect().await?;
        client.simple_query("SELECT 1").await?;
        clients.push(client);
    }
    let idle_kib = (rss_kib(pid)? - before) / count(idle);
    drop(clients);
    let before = rss_kib(pid)?;
    let arguments = ["-S", "-M", "prepared", "-c", "32", "-j", "2"];
    let mut busy = Box::pin(pgbench(through, &arguments, Duration::from_secs(5)));
    let mut highest = before;
    loop {
        tokio::select! {
            ended = &mut busy => {
                ended?;
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => highest = highest.max(rss_kib(pid)?),
        }
    }
    Ok(Memory { idle_kib, busy_kib: (highest - before) / 32.0 })
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::NAN, f64::from)
}

/// Measures the time from asking for a revocation to the client's socket being closed.
pub(crate) async fn revocations(ways: &Ways, times: usize) -> Measured<Latencies> {
    let alice = ways.daypass.as_person("alice");
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let grant: Grant = ways.daypass.grant("bob", SPARE, "everything", None).await;
        let endpoint = ways.daypass.pass(&grant).await;
        let (client, connection) = endpoint.config().connect(endpoint.rustls()).await?;
        let closed = tokio::spawn(async move {
            drop(connection.await);
            now()
        });
        client.simple_query("SELECT 1").await?;
        let start = now();
        let path = format!("grants/{}/revoke", grant.id);
        let done: Result<Value, _> = alice.post(&path, &json!({"reason": "measured"})).await;
        done.map_err(|refusal| format!("{refusal:?}"))?;
        taken.push(tokio::time::timeout(PATIENCE, closed).await??.duration_since(start));
    }
    Ok(Latencies::new(taken))
}

/// Syncs of the activity log so far.
pub(crate) async fn syncs(ways: &Ways) -> f64 {
    let health = ways.daypass.health().await;
    let activity =
        health.logs.iter().find(|log| log.origin.ends_with("activity") || log.path.contains("activity"));
    activity.and_then(|log| u32::try_from(log.syncs).ok()).map_or(f64::NAN, f64::from)
}

//! pgbench through Daypass and through PgBouncer, and direct, in interleaved rounds; the median of each.
//!
//! Client, proxy and server share the machine. All three are reached by TCP and TLS on the loopback; the proxies reach the
//! server by TCP without TLS, PgBouncer in session mode. Only the ratios mean anything on another machine.

mod measure;
mod report;
mod ways;

use std::path::Path;
use std::time::Duration;

use daypass_e2e::{Endpoint, PATIENCE};

use crate::{Outcome, fdatasync};
use measure::{Cell, median};
use report::Report;
use ways::Ways;

/// How often each way is measured; odd, so that there is a median.
const ROUNDS: usize = 3;
/// How long one measurement lasts.
const CELL: Duration = Duration::from_secs(5);
/// What pgbench fills its tables to.
const SCALE: u32 = 10;
/// Revocations measured.
const REVOCATIONS: usize = 200;
/// Idle sessions whose memory is measured.
const IDLE: usize = 200;

/// Runs everything and writes `bench/results/latest.md`.
pub(crate) fn run(folder: &Path) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = fdatasync::measure(folder, 5000)?;
    let mut report = Report::new(&before);
    runtime.block_on(async {
        let ways = Ways::start(folder, SCALE).await?;
        statements(&ways, &mut report).await?;
        connections(&ways, &mut report).await?;
        results(&ways, &mut report).await?;
        sessions(&ways, &mut report).await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    report.after(&fdatasync::measure(folder, 5000)?);
    report.finish(Path::new("bench/results/latest.md"))
}

/// Starts what [`run`] measures and keeps it until the input ends, for a profiler and a pgbench by hand.
#[expect(clippy::print_stdout, reason = "says how to reach it")]
pub(crate) fn hold(folder: &Path) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let ways = Ways::start(folder, SCALE).await?;
        for way in ways.all() {
            let Endpoint { host, port, user, password, database, .. } = &way.endpoint;
            println!(
                "{} pid={} PGPASSWORD={password} pgbench -S 'host={host} port={port} user={user} dbname={database} sslmode=require'",
                way.name,
                way.proxy.unwrap_or_default()
            );
        }
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        Ok(())
    })
}

/// `pgbench -S` in both modes at 1, 8 and 32 clients.
async fn statements(ways: &Ways, report: &mut Report) -> Outcome {
    for mode in ["simple", "prepared"] {
        for clients in ["1", "8", "32"] {
            let threads = if clients == "1" { "1" } else { "2" };
            let arguments = ["-S", "-M", mode, "-c", clients, "-j", threads];
            let mut cells: Vec<Vec<Cell>> = ways.all().iter().map(|_| Vec::new()).collect();
            for _ in 0..ROUNDS {
                for (way, cells) in ways.all().iter().zip(&mut cells) {
                    let before = measure::syncs(ways).await;
                    let mut cell = measure::pgbench(way, &arguments, CELL).await?;
                    cell.syncs = (measure::syncs(ways).await - before) * 1000.0 / cell.transactions;
                    cells.push(cell);
                }
            }
            report.statements(
                &format!("{mode}, {clients} clients"),
                &cells.iter().map(|c| median(c)).collect::<Vec<_>>(),
            );
        }
    }
    Ok(())
}

/// `pgbench -S -C`: a new connection for every transaction.
async fn connections(ways: &Ways, report: &mut Report) -> Outcome {
    let mut cells: Vec<Vec<Cell>> = ways.all().iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (way, cells) in ways.all().iter().zip(&mut cells) {
            cells.push(measure::pgbench(way, &["-S", "-C", "-c", "1"], CELL).await?);
        }
    }
    let milliseconds: Vec<f64> = cells.iter().map(|cells| 1000.0 / median(cells).tps).collect();
    report.lower_is_better("ms per new connection (`-C`)", &milliseconds);
    Ok(())
}

/// Large results: 10,000 rows a query, and one of 1 GB.
async fn results(ways: &Ways, report: &mut Report) -> Outcome {
    let script = ways.script("rows.sql", "SELECT * FROM pgbench_accounts WHERE aid <= 10000;\n")?;
    let arguments = ["-f", script.as_str(), "-c", "1"];
    let mut rows: Vec<Vec<Cell>> = ways.all().iter().map(|_| Vec::new()).collect();
    let mut whole: Vec<Vec<f64>> = ways.all().iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((way, rows), whole) in ways.all().iter().zip(&mut rows).zip(&mut whole) {
            rows.push(measure::pgbench(way, &arguments, CELL).await?);
            whole.push(measure::one_gigabyte(way).await?);
        }
    }
    report.higher_is_better(
        "10,000-row results/s",
        &rows.iter().map(|cells| median(cells).tps).collect::<Vec<_>>(),
    );
    let middle = |times: &Vec<f64>| {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    report.higher_is_better(
        "MB/s of a 1 GB result",
        &whole.iter().map(|times| 1000.0 / middle(times)).collect::<Vec<_>>(),
    );
    Ok(())
}

/// What only Daypass has: memory of sessions, and the time from a revocation to a closed socket.
async fn sessions(ways: &Ways, report: &mut Report) -> Outcome {
    let memory = measure::memory(ways, IDLE).await?;
    report.line(&format!("memory per idle session: {:.0} KiB (over {IDLE})", memory.idle_kib));
    report.line(&format!(
        "memory per busy session: {:.0} KiB (highest, 32 clients, `-M prepared`)",
        memory.busy_kib
    ));
    let revoked = tokio::time::timeout(PATIENCE * 5, measure::revocations(ways, REVOCATIONS)).await??;
    report.line(&format!("revoke \u{2192} socket closed: {revoked} (over {REVOCATIONS})"));
    Ok(())
}

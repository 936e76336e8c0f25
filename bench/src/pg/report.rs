//! The table: printed as it grows, and kept as bench/results/latest.md.

use std::path::Path;

use super::measure::Cell;
use crate::Outcome;
use crate::fdatasync::Latencies;

/// What was measured so far.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn new(fdatasync: &Latencies) -> Self {
        let mut report = Self { text: String::new() };
        report.line("# pgbench: direct, PgBouncer, Daypass\n");
        report.line(
            "`cargo xtask bench pg`. Client, proxy and server share the machine; only the ratios travel.\n",
        );
        report.line(&format!("machine: {}", machine()));
        report.line(&format!("fdatasync before: {fdatasync}\n"));
        report.line("| `pgbench -S`, scale 10 | direct tps | PgBouncer tps | Daypass tps | Daypass / PgBouncer | PgBouncer CPU µs | Daypass CPU µs | fdatasyncs per 1,000 |");
        report.line("|---|---|---|---|---|---|---|---|");
        report
    }

    /// One row of throughput: direct, PgBouncer, Daypass.
    pub(crate) fn statements(&mut self, what: &str, cells: &[Cell]) {
        let [direct, pooled, through] = cells else { return };
        let ratio = through.tps / pooled.tps;
        self.line(&format!(
            "| {what} | {:.0} | {:.0} | {:.0} | **{ratio:.2}** | {:.1} | {:.1} | {:.1} |",
            direct.tps, pooled.tps, through.tps, pooled.cpu_us, through.cpu_us, through.syncs
        ));
    }

    /// One number of which more is better.
    pub(crate) fn higher_is_better(&mut self, what: &str, numbers: &[f64]) {
        self.compare(what, numbers, "at least 1.0 is the aim");
    }

    /// One number of which less is better.
    pub(crate) fn lower_is_better(&mut self, what: &str, numbers: &[f64]) {
        self.compare(what, numbers, "at most 1.1 is the aim");
    }

    fn compare(&mut self, what: &str, numbers: &[f64], aim: &str) {
        let [direct, pooled, through] = numbers else { return };
        let ratio = through / pooled;
        self.line(&format!(
            "\n{what}: direct {direct:.1}, PgBouncer {pooled:.1}, Daypass {through:.1}; Daypass / PgBouncer **{ratio:.2}** ({aim})"
        ));
    }

    /// The disk once more, at the end: when the two differ, the machine was not quiet.
    pub(crate) fn after(&mut self, fdatasync: &Latencies) {
        self.line(&format!("\nfdatasync after: {fdatasync}"));
    }

    /// Any line; printed at once.
    #[expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]
    pub(crate) fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes it all down.
    pub(crate) fn finish(self, path: &Path) -> Outcome {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.text)?;
        Ok(())
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}")
}

//! Benchmarks: each run prints ratios against what the machine, or a peer, does in the same run.
//!
//! `cargo run --release -p daypass-bench -- [journal|verify|pg|hold [folder]]`; without a name, all of them. The folder is where files are written; by default a new
//! one beside the build, because a temporary folder may be in memory.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its numbers")]

use std::path::PathBuf;
use std::process::ExitCode;

mod fdatasync;
mod journal;
mod pg;
mod verify;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let outcome = match name.as_str() {
        "journal" => folder(arguments.next()).and_then(|dir| journal::run(dir.path())),
        "verify" => folder(arguments.next()).and_then(|dir| verify::run(dir.path())),
        "pg" => folder(arguments.next()).and_then(|dir| pg::run(dir.path())),
        "hold" => folder(arguments.next()).and_then(|dir| pg::hold(dir.path())),
        "" => folder(None).and_then(|dir| {
            journal::run(dir.path())?;
            verify::run(dir.path())?;
            pg::run(dir.path())
        }),
        _ => Err("name a benchmark: `journal`, `verify` or `pg` (`hold` starts what `pg` measures, for a profiler); or none, for all".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A folder that goes away again, on a real disk.
fn folder(parent: Option<String>) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let beside = std::env::current_exe()?;
    let parent = parent.map(PathBuf::from).or_else(|| beside.parent().map(PathBuf::from)).unwrap_or_default();
    Ok(tempfile::tempdir_in(parent)?)
}

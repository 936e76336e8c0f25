//! All automation of the repository: `cargo xtask demo | test | check | bench | e2e | fuzz | docs`.
//!
//! It starts in seconds (its only dependency reads `cargo metadata`), asks [`machine`] for what a task needs before the
//! task begins, and stops at the first step that fails. It knows nothing of the product.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks to a terminal")]

mod arrows;
mod check;
mod claims;
mod commands;
mod machine;
mod step;
mod tasks;

use std::process::ExitCode;

use step::Broken;

/// One task: its name, what it does, and how.
struct Task {
    name: &'static str,
    does: &'static str,
    run: fn(&[String]) -> Result<(), Broken>,
}

const TASKS: [Task; 7] = [
    Task {
        name: "demo",
        does: "a whole Daypass with a real PostgreSQL on this machine; `--auto` plays the story",
        run: tasks::demo,
    },
    Task {
        name: "test",
        does: "everything CI needs beside `check`; takes a test name filter",
        run: tasks::test,
    },
    Task {
        name: "check",
        does: "format, lints, arrows between crates, claims of the documents",
        run: check::run,
    },
    Task {
        name: "bench",
        does: "numbers as ratios against peers, into bench/results/latest.md",
        run: tasks::bench,
    },
    Task {
        name: "e2e",
        does: "real clients and drivers, direct and through the gateway; takes a test name filter",
        run: tasks::e2e,
    },
    Task {
        name: "fuzz",
        does: "the smoke run on stable; with a target's name, cargo-fuzz on nightly",
        run: tasks::fuzz,
    },
    Task { name: "docs", does: "writes docs/reference from the sources, then rustdoc", run: tasks::docs },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        usage(&name);
        return if matches!(name.as_str(), "" | "help" | "--help" | "-h") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match step::in_repository().and_then(|()| (task.run)(&rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("\nxtask {name}: {broken}");
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str) {
    if !matches!(name, "" | "help" | "--help" | "-h") {
        eprintln!("xtask: there is no task `{name}`\n");
    }
    println!("cargo xtask <task>\n");
    for task in &TASKS {
        println!("  {:<6} {}", task.name, task.does);
    }
}

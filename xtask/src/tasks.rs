//! The tasks beside `check`: demo, test, e2e, bench, fuzz, docs.
//!
//! One profile per machine state: everything that CI runs uses the dev profile, in which cryptography and the SQL grammar are
//! optimised anyway, so that nothing is built twice.

use std::path::{Path, PathBuf};

use crate::commands;
use crate::machine::{self, COMPILER, LIBCLANG, NODE, PGBOUNCER, POSTGRES, PYTHON};
use crate::step::{self, Broken};

/// Packages of the drivers that are not Rust, exact versions beside them.
const DRIVERS: &str = "e2e/drivers";

/// `demo`: builds in the profile that builds fast and gives the terminal to `daypass demo`.
pub(crate) fn demo(arguments: &[String]) -> Result<(), Broken> {
    machine::ensure(&[&COMPILER, &LIBCLANG, &POSTGRES])?;
    step::run(&step::cargo(), &["build", "--locked", "--profile", "demo", "--package", "daypass-cli"])?;
    let binary = step::target_dir().join("demo/daypass");
    let mut all = vec!["demo".to_owned()];
    all.extend_from_slice(arguments);
    step::run(&binary.to_string_lossy(), &all)
}

/// `test`: the workspace's tests with the real clients among them, the story, and every command the documents show.
pub(crate) fn test(arguments: &[String]) -> Result<(), Broken> {
    prepare()?;
    let mut tests = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    tests.extend(arguments.iter().map(String::as_str));
    step::run(&step::cargo(), &tests)?;
    if !arguments.is_empty() {
        return Ok(());
    }
    let daypass = daypass();
    commands::hold(&daypass)?;
    step::run(&daypass.to_string_lossy(), &["demo", "--auto"])
}

/// `e2e`: only the tests with real clients and servers.
pub(crate) fn e2e(arguments: &[String]) -> Result<(), Broken> {
    prepare()?;
    // The whole workspace is selected so that no dependency is built again with other features; `e2e_*` picks the tests.
    let mut tests = vec!["test", "--workspace", "--locked", "--no-fail-fast", "--test", "e2e_*"];
    tests.extend(arguments.iter().map(String::as_str));
    step::run(&step::cargo(), &tests)
}

/// `bench`: release builds of Daypass and the benchmark, then the benchmark with the arguments given.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Broken> {
    machine::ensure(&[&COMPILER, &LIBCLANG, &POSTGRES, &PGBOUNCER])?;
    let build = ["build", "--locked", "--release", "--package", "daypass-cli", "--package", "daypass-bench"];
    step::run(&step::cargo(), &build)?;
    step::run(&step::target_dir().join("release/daypass-bench").to_string_lossy(), arguments)
}

/// `fuzz`: the smoke run that needs no nightly; with a target's name, cargo-fuzz for as long as its arguments say.
pub(crate) fn fuzz(arguments: &[String]) -> Result<(), Broken> {
    machine::ensure(&[&COMPILER, &LIBCLANG])?;
    if arguments.is_empty() {
        let smoke = ["test", "--locked", "--package", "daypass-pg", "--test", "fuzz_smoke"];
        return step::run(&step::cargo(), &smoke);
    }
    if !step::works("cargo", &["+nightly", "fuzz", "--version"]) {
        let how = "rustup toolchain install nightly --profile minimal && cargo +nightly install cargo-fuzz";
        return Err(Broken(format!(
            "fuzzing needs nightly and cargo-fuzz; run\n  {how}\nthen run this again"
        )));
    }
    let mut run = vec!["+nightly", "fuzz", "run"];
    run.extend(arguments.iter().map(String::as_str));
    step::run("cargo", &run)
}

/// `docs`: docs/reference from the sources, then rustdoc of our own crates.
pub(crate) fn docs(_: &[String]) -> Result<(), Broken> {
    machine::ensure(&[&COMPILER, &LIBCLANG])?;
    // The tests that compare the reference with the sources write it when they are told to.
    let write = ["test", "--workspace", "--locked", "--lib", "--bins", "reference"];
    step::run_with(&step::cargo(), &write, &[("DAYPASS_UPDATE_DOCS", "1")])?;
    step::run(&step::cargo(), &["doc", "--workspace", "--no-deps", "--locked"])
}

/// Gets the machine, the drivers and the binary ready for tests with real clients.
fn prepare() -> Result<(), Broken> {
    machine::ensure(&[&COMPILER, &LIBCLANG, &POSTGRES, &PYTHON, &NODE])?;
    drivers(&std::path::absolute(step::target_dir().join("e2e")).map_err(|e| Broken(e.to_string()))?)?;
    // `--all-targets` selects the same features as the tests do, so the binary costs nothing beyond its own link.
    step::run(&step::cargo(), &["build", "--workspace", "--all-targets", "--locked"])
}

/// Installs psycopg and node-postgres beside what cargo builds, once per change of their lists.
fn drivers(folder: &Path) -> Result<(), Broken> {
    let python = folder.join("python");
    let requirements = format!("{DRIVERS}/requirements.txt");
    if stale(&requirements, &python) {
        println!("\nxtask puts psycopg into {}", python.display());
        let python_path = python.to_string_lossy().into_owned();
        step::run("python3", &["-m", "venv", "--clear", &python_path])?;
        let pip = python.join("bin/pip").to_string_lossy().into_owned();
        step::run(&pip, &["install", "--quiet", "--requirement", &requirements])?;
        remember(&requirements, &python)?;
    }
    let node = folder.join("node");
    let lock = format!("{DRIVERS}/package-lock.json");
    if stale(&lock, &node) {
        println!("\nxtask puts node-postgres into {}", node.display());
        for name in ["package.json", "package-lock.json"] {
            copy(&Path::new(DRIVERS).join(name), &node)?;
        }
        let prefix = node.to_string_lossy().into_owned();
        step::run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &prefix])?;
        remember(&lock, &node)?;
    }
    Ok(())
}

/// Whether what is installed in `folder` came from another version of `list`.
fn stale(list: &str, folder: &Path) -> bool {
    let wanted = std::fs::read(list).ok();
    wanted.is_none() || std::fs::read(folder.join("installed-from")).ok() != wanted
}

fn remember(list: &str, folder: &Path) -> Result<(), Broken> {
    let kept = folder.join("installed-from");
    std::fs::copy(list, &kept).map(drop).map_err(|e| Broken(format!("cannot write {}: {e}", kept.display())))
}

fn copy(file: &Path, folder: &Path) -> Result<(), Broken> {
    let to = folder.join(file.file_name().unwrap_or_default());
    let copied = std::fs::create_dir_all(folder).and_then(|()| std::fs::copy(file, &to));
    copied.map(drop).map_err(|e| Broken(format!("cannot write {}: {e}", to.display())))
}

fn daypass() -> PathBuf {
    step::target_dir().join("debug/daypass")
}

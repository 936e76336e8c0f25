//! One step of a task: a process that must end well, said in one line and timed.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a task stopped, in words for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes the root of the repository the working directory, so that every path in xtask is written from there.
pub(crate) fn in_repository() -> Result<(), Broken> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    std::env::set_current_dir(root).map_err(|e| Broken(format!("cannot enter {}: {e}", root.display())))
}

/// Runs a program with its output on the terminal; fails unless it exits with 0.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<(), Broken> {
    run_with(program, arguments, &[])
}

/// Like [`run`], with variables added to the environment.
pub(crate) fn run_with<A: AsRef<OsStr>>(
    program: &str,
    arguments: &[A],
    environment: &[(&str, &str)],
) -> Result<(), Broken> {
    let shown = shown(program, arguments);
    println!("\n\u{25b6} {shown}");
    let started = now();
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|e| Broken(format!("cannot start `{shown}`: {e}")))?;
    println!("\u{25a0} {:.0} s  {shown}", started.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(Broken(format!("`{shown}` ended with {status}"))) }
}

/// What a program prints, or `None` when it is missing or fails.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program exists and ends well with these arguments.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    output_of(program, arguments).is_some()
}

/// Cargo's own path, as cargo tells its children.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

fn shown<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> String {
    let name = Path::new(program).file_name().unwrap_or_else(|| OsStr::new(program));
    let mut line = name.to_string_lossy().into_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument.as_ref().to_string_lossy());
    }
    line
}

#[expect(clippy::disallowed_methods, reason = "a developer's tool times its steps")]
fn now() -> Instant {
    Instant::now()
}

//! Programs: run one to its end, or keep one and end it on drop.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::{PATIENCE, until};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ended {
    /// Asserts that it ended with 0.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Everything as one text to compare.
    #[must_use]
    pub fn transcript(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs a libpq program against an endpoint.
pub async fn run<A: AsRef<OsStr>>(endpoint: &Endpoint, program: &str, arguments: &[A]) -> Ended {
    run_within(PATIENCE, endpoint, program, arguments).await
}

/// Like [`run`], with another limit of time.
pub async fn run_within<A: AsRef<OsStr>>(
    limit: Duration,
    endpoint: &Endpoint,
    program: &str,
    arguments: &[A],
) -> Ended {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().envs(inherited()).envs(endpoint.environment());
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(limit, command.output()).await {
        Ok(Ok(output)) => Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Ok(Err(error)) => panic!("cannot start `{program}`: {error}"),
        Err(_) => panic!("`{program}` hangs: more than {} s", limit.as_secs()),
    }
}

/// What a program needs of our own environment; nothing of libpq.
pub(crate) fn inherited() -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = ["PATH", "HOME", "TMPDIR"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    kept.push(("LC_ALL".to_owned(), "C.UTF-8".to_owned()));
    kept.push(("TZ".to_owned(), "UTC".to_owned()));
    kept
}

/// A program that runs in the background, its output in a file; ended on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command, name: &str, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        Self { child, name: name.to_owned(), output: output.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal by name, `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|s| s.success()), "cannot signal {}", self.name);
    }

    /// Waits until `ready` holds; panics with what it printed when it ends before that.
    pub async fn until_ready<F: AsyncFnMut() -> bool>(&mut self, mut ready: F) {
        let name = self.name.clone();
        until(&format!("{name} gets ready"), async || {
            if let Some(status) = self.ended() {
                panic!("{} ended with {status} before it was ready:\n{}", self.name, self.printed());
            }
            ready().await.then_some(())
        })
        .await;
    }

    /// Ends it with a signal and waits for it.
    pub async fn end(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let name = self.name.clone();
        until(&format!("{name} ends"), async || self.ended()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A postmaster that is killed leaves its children; asked to quit at once, it takes them along.
            let asked = Command::new("kill").arg("-QUIT").arg(self.pid().to_string()).status();
            if !self.name.starts_with("postgres") || !asked.is_ok_and(|s| s.success()) {
                drop(self.child.kill());
            }
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            let printed = self.printed();
            let from = printed.len().saturating_sub(4000);
            let tail =
                String::from_utf8_lossy(printed.as_bytes().get(from..).unwrap_or_default()).into_owned();
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- end of the output of {}\n{tail}\n", self.name).as_bytes(),
            ));
        }
    }
}

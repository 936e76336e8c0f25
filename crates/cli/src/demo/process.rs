//! Programs that the demo starts: run to their end, or kept alive, read as they speak, and ended by their own id.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;

use crate::trouble::Trouble;

/// Most output kept of one program.
const OUTPUT_LEN_MAX: usize = 1 << 20;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// Exit code; 128 when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The answer, when it succeeded.
    pub(crate) fn ok(self, what: &str) -> Result<String, Trouble> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        let said = format!("{}{}", self.stdout, self.stderr);
        Err(Trouble::program(
            format!("{what} failed with exit code {}: {}", self.code, said.trim()),
            "run the demo again with `--keep` and look into its folder",
        ))
    }
}

/// One person's `daypass`.
#[derive(Clone, Debug)]
pub(crate) struct Daypass {
    program: PathBuf,
    home: PathBuf,
}

impl Daypass {
    pub(crate) fn of(program: &Path, home: &Path) -> Self {
        Self { program: program.to_owned(), home: home.to_owned() }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("DAYPASS_HOME", &self.home)
            .env_remove("DAYPASS_SERVER")
            .env("COLUMNS", "120");
        command
    }

    /// Runs to the end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Ended, Trouble> {
        self.run_with(arguments, "").await
    }

    /// Runs to the end with a line on its input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Result<Ended, Trouble> {
        run(self.command(arguments), input).await
    }

    /// Runs with `--json` and reads the answer.
    pub(crate) async fn json(&self, arguments: &[&str], input: &str) -> Result<serde_json::Value, Trouble> {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let text = self.run_with(&all, input).await?.ok(&format!("daypass {}", arguments.join(" ")))?;
        serde_json::from_str(&text).map_err(|error| {
            Trouble::program(
                format!("daypass {}: {error}: {text}", arguments.join(" ")),
                "this is a mistake of ours",
            )
        })
    }
}

/// Runs a program to its end, two minutes at most.
pub(crate) async fn run(mut command: Command, input: &str) -> Result<Ended, Trouble> {
    let name = Path::new(command.as_std().get_program()).display().to_string();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Trouble::file(&name, "start"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input is no trouble.
        drop(stdin.write_all(input.as_bytes()).await);
    }
    let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await;
    let output = output
        .map_err(|_| {
            Trouble::program(
                format!("`{name}` did not end within two minutes"),
                "look at the load of this machine",
            )
        })?
        .map_err(Trouble::file(&name, "run"))?;
    Ok(Ended {
        code: output.status.code().unwrap_or(128),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A program that goes on running. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Said>,
}

#[derive(Debug, Default)]
struct Said {
    text: Mutex<String>,
    more: Notify,
}

impl Running {
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self, Trouble> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(Trouble::file(name, "start"))?;
        let said = Arc::new(Said::default());
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, said.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, said.clone()));
        }
        let stdin = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, stdin, said })
    }

    /// Everything it said so far, both streams.
    pub(crate) fn said(&self) -> String {
        self.said.text.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Types a line.
    pub(crate) async fn type_line(&mut self, line: &str) -> Result<(), Trouble> {
        let stdin = self
            .stdin
            .as_mut()
            .ok_or_else(|| Trouble::program(format!("`{}` reads no more", self.name), ""))?;
        let typed = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        typed.await.map_err(Trouble::file(&self.name, "write to"))
    }

    /// Closes its input.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits until it has said `words`, and gives everything said.
    pub(crate) async fn until_said(&mut self, words: &str, within: Duration) -> Result<String, Trouble> {
        let name = self.name.clone();
        let said = self.said.clone();
        let heard = async {
            loop {
                let more = said.more.notified();
                let text = said.text.lock().map(|text| text.clone()).unwrap_or_default();
                if text.contains(words) {
                    return text;
                }
                more.await;
            }
        };
        tokio::select! {
            heard = tokio::time::timeout(within, heard) => heard.map_err(|_| {
                Trouble::program(
                    format!("`{name}` did not say `{words}` within {}s; it said: {}", within.as_secs(), self.said().trim()),
                    "this step does not hold",
                )
            }),
            ended = self.child.wait() => {
                // What it said last may still be on its way to us.
                tokio::time::timeout(Duration::from_secs(1), self.said.more.notified()).await.ok();
                let said = self.said();
                if said.contains(words) {
                    return Ok(said);
                }
                let code = ended.ok().and_then(|status| status.code()).unwrap_or(128);
                Err(Trouble::program(
                    format!("`{name}` ended with exit code {code} before it said `{words}`; it said: {}", said.trim()),
                    "this step does not hold",
                ))
            }
        }
    }

    /// Waits for its end and gives the exit code.
    pub(crate) async fn until_ended(&mut self, within: Duration) -> Result<i32, Trouble> {
        let status = tokio::time::timeout(within, self.child.wait()).await.map_err(|_| {
            Trouble::program(
                format!("`{}` still runs after {}s", self.name, within.as_secs()),
                "this step does not hold",
            )
        })?;
        Ok(status.map_err(Trouble::file(&self.name, "wait for"))?.code().unwrap_or(128))
    }

    /// Asks it to end with `signal`, and kills it when it does not.
    pub(crate) async fn stop(&mut self, signal: &str) -> Result<(), Trouble> {
        if let Some(id) = self.child.id() {
            let mut kill = Command::new("kill");
            kill.arg(format!("-{signal}")).arg(id.to_string());
            run(kill, "").await?;
            if self.until_ended(Duration::from_secs(15)).await.is_err() {
                self.child.kill().await.map_err(Trouble::file(&self.name, "end"))?;
            }
        }
        Ok(())
    }
}

async fn listen(mut stream: impl AsyncRead + Unpin, said: Arc<Said>) {
    let mut buffer = vec![0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        if let Ok(mut text) = said.text.lock()
            && text.len() < OUTPUT_LEN_MAX
        {
            text.push_str(&String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()));
        }
        said.more.notify_waiters();
    }
    said.more.notify_waiters();
}

/// The first of `names` that is an executable in `folders`.
pub(crate) fn find(folders: &[PathBuf], name: impl AsRef<OsStr>) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name.as_ref())).find(|path| path.is_file())
}

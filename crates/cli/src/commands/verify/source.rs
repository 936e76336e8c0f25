//! Where published files are read from: a folder or a server. And the write-ahead files of a folder.

use std::io;
use std::path::{Path, PathBuf};

use daypass_journal::OpenError;
use daypass_ledger::note::VerifierKey;
use daypass_ledger::source::Source;
use tokio::runtime::Handle;

use super::findings::{Finding, Findings};
use crate::client::Client;
use crate::report::report;

/// A log in a folder.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Source for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A log at `<control plane>/log/<name>`. Called from worker threads only, never from a task.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
    path: String,
    handle: Handle,
}

impl Server {
    pub(crate) fn new(client: Client, path: String, handle: Handle) -> Self {
        Self { client, path, handle }
    }
}

impl Source for Server {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.handle
            .block_on(self.client.bytes(&format!("{}/{path}", self.path)))
            .map_err(|trouble| io::Error::other(report(&trouble).message))
    }
}

/// The origin that the checkpoint of a log in a folder names.
pub(crate) fn origin(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log.join("checkpoint")).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Checks the write-ahead files beside a published log; a mirror of the published files has none.
pub(crate) fn write_ahead(log: &Path, key: &VerifierKey, findings: &mut Findings) {
    if !log.join("wal").is_dir() {
        return;
    }
    let name = log.display().to_string();
    match daypass_journal::inspect(log, key) {
        Ok(inspected) => findings.held(format!(
            "{name}: {} batches in {} write-ahead files, each signed, fit the published log",
            inspected.batches, inspected.segments
        )),
        Err(OpenError::Damaged(fault)) => findings.add(Finding::new(
            &name,
            &fault.file.display().to_string(),
            Some(fault.record),
            fault.to_string(),
        )),
        Err(error) => findings.add(Finding::new(&name, "wal", None, error.to_string())),
    }
}

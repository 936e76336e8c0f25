//! The publisher: writes tiles, bundles, sidecars and the checkpoint from the segments, then makes the segments ready again.
//!
//! It reads records back from disk and compares the root they give with the signed one, so a checkpoint stands for what is on
//! disk. The segments keep every record until its published files are synced; after a crash they are written again from there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use daypass_ledger::note::Signer;

use crate::commit::fatal;
use crate::format::Batch;
use crate::journal::Shared;
use crate::keeper::SPARES;
use crate::read::read_batch;
use crate::tiles::Tiles;

/// The state of the publisher thread.
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) every: Duration,
    pub(crate) tiles: Tiles,
    /// The last round failed: say only once that it does.
    pub(crate) failing: bool,
}

impl Publisher {
    /// Publishes until the log is closed.
    pub(crate) fn run(mut self) {
        loop {
            let closing = self.wait();
            let round = self.round();
            if let Err(error) = &round
                && !self.failing
            {
                tracing::error!(log = self.signer.name(), %error, "cannot publish the log; trying again");
            }
            self.failing = round.is_err();
            if round.is_ok() && self.tiles.compares() {
                // The disk was full when the log was opened.
                let repaired = self.tiles.caught_up();
                tracing::warn!(
                    log = self.signer.name(),
                    ?repaired,
                    "published files were brought up to date"
                );
            }
            if closing {
                break;
            }
        }
        self.shared.published().ended = true;
        self.shared.publisher.waiting.wake_below(u64::MAX, &mut Vec::new());
    }

    /// Waits for the next round; `true` when it is the last.
    fn wait(&self) -> bool {
        let published = self.shared.published();
        let waits = |published: &mut crate::journal::Published| !published.nudged && !published.closing;
        let waited = self.shared.publisher.nudge.wait_timeout_while(published, self.every, waits);
        let mut published = waited.unwrap_or_else(PoisonError::into_inner).0;
        published.nudged = false;
        published.closing
    }

    /// Publishes what is durable now, then sees to old segments, whether or not that went well.
    pub(crate) fn round(&mut self) -> io::Result<()> {
        let published = self.publish();
        let retired = self.retire_segments();
        published.and(retired)
    }

    fn publish(&mut self) -> io::Result<()> {
        let head = self.shared.head();
        if head.size() == self.shared.published().size && !self.tiles.compares() {
            return Ok(());
        }
        while self.tiles.size() < head.size() {
            let index = self.tiles.size();
            let (bytes, id) = read_batch(&self.shared.segments, index)?;
            let batch = Batch::decode(&bytes, &id).ok_or(io::ErrorKind::InvalidData)?;
            let skip = usize::try_from(index - batch.header.first).map_err(io::Error::other)?;
            for frame in batch.frames().skip(skip).flatten() {
                self.tiles.push(frame.leaf, frame.sidecar)?;
            }
            if self.tiles.size() == index {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if self.tiles.size() == head.size() && self.tiles.root() != head.root() {
            fatal("publish the log", &io::Error::other("the records on disk do not have the signed root"));
        }
        self.tiles.write_partial()?;
        let checkpoint = self.signer.checkpoint(&head);
        replace_synced(&self.shared.dir, "checkpoint", &checkpoint)?;
        self.shared.set_published(head.size(), checkpoint);
        Ok(())
    }

    /// Makes segments ready again whose records are published and synced, or removes them if there are enough.
    fn retire_segments(&self) -> io::Result<()> {
        let segments = &self.shared.segments;
        let published = self.shared.published().size;
        if !segments.has_retired(published) {
            return Ok(());
        }
        sync_all_files(&self.shared.dir)?;
        while let Some(segment) = segments.retire(published) {
            if segments.spares() < SPARES {
                segments.recycle(segment)?;
                self.shared.count_spares();
            } else {
                fs::remove_file(&segment.path)?;
            }
        }
        Ok(())
    }
}

/// Makes everything written under `dir` durable: one call for thousands of small files.
fn sync_all_files(dir: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(())
}

/// Replaces a file as a whole, durably.
pub(crate) fn replace_synced(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = dir.join(format!("{name}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, dir.join(name))?;
    File::open(dir)?.sync_all()
}

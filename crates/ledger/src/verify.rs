//! Verifies a published log completely: checkpoint signature, every tile, every entry, every sidecar.
//!
//! One pass, memory bounded by a few bundles per thread whatever the log's length. Workers read and hash the bundles; the
//! calling thread puts their roots together in order, compares the upper tiles and the root, and shows each record to an
//! [`Observer`]. The first error in record order is returned and names the record and the file; when an entry and its tile
//! disagree, the one that does not fit the rest of the tree is blamed.
//!
//! What it cannot see is a log that its key holder rewrote and signed again: that is `remembered.rs` and the witnesses.

use std::{collections::BTreeSet, num::NonZeroUsize, ops::Range, sync::mpsc, thread};

use crate::{
    checkpoint::Checkpoint,
    note::{Note, VerifierKey},
    source::{CHECKPOINT, Source, SourceError},
    tile::{LEVEL_MAX, TILE_WIDTH, TileFile, hashes_at, width_of},
};

mod chunk;
mod error;
mod older;
mod upper;

use chunk::Chunk;
pub use error::{BundleProblem, SidecarProblem, VerifyError};
pub use older::{Kind, check_file};
use upper::{Climb, Upper};

/// Chunks of 256 records that each worker may be ahead of the calling thread.
const AHEAD_MAX: usize = 4;

/// What to expect of the log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads beside the calling one.
    pub threads: NonZeroUsize,
    /// Subjects with an erasure record: their sidecars may be gone. Any other absent sidecar is an error.
    pub erased: BTreeSet<String>,
    /// Whether sidecars are part of what is verified.
    pub sidecars: Sidecars,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: NonZeroUsize::MIN, erased: BTreeSet::new(), sidecars: Sidecars::Required }
    }
}

/// Whether sidecars are part of what is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecars {
    /// Each record that seals fields has its sidecar, or its subject was erased.
    Required,
    /// The source does not publish sidecars (a public mirror): they are not read.
    Ignored,
}

/// Sees the verification happen. `()` sees nothing.
pub trait Observer {
    /// A record that fits its tile, in order of index. The log as a whole is verified only when [`verify`] returns `Ok`.
    fn record(&mut self, _record: Record<'_>) {}

    /// `done` of `size` records are through.
    fn progress(&mut self, _done: u64, _size: u64) {}
}

impl Observer for () {}

/// A record as published.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Position in the log.
    pub index: u64,
    /// Its bytes.
    pub leaf: &'a [u8],
    /// Its sidecar; `None` when it has none, it was erased, or sidecars are ignored.
    pub sidecar: Option<&'a [u8]>,
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The head everything fits.
    pub checkpoint: Checkpoint,
    /// The signed note it came in; cosignatures are not checked here (see `policy.rs`).
    pub note: Note,
    /// Bytes of all records.
    pub leaf_bytes: u64,
    /// Records with sealed fields.
    pub sealed: u64,
    /// Records among them whose sidecar is gone with the subject's erasure.
    pub erased: u64,
}

/// Verifies the log in `source` that `key` signs.
///
/// # Errors
/// [`VerifyError`] names what is wrong: the first in record order.
pub fn verify(
    source: &(impl Source + Sync),
    key: &VerifierKey,
    options: &Options,
    observer: &mut impl Observer,
) -> Result<Report, VerifyError> {
    let (mut report, checkpoint) = open(source, key)?;
    let job = Job { source, checkpoint: &checkpoint, options };
    let chunks = checkpoint.size.div_ceil(TILE_WIDTH);
    let threads = options.threads.get();

    thread::scope(|scope| {
        // Worker t does chunks t, t + threads, …: reading the channels in turn gives the chunks in order.
        let channels: Vec<_> = (0..chunks)
            .take(threads)
            .map(|worker| {
                let (sender, receiver) = mpsc::sync_channel(AHEAD_MAX);
                let numbers = (worker..chunks).step_by(threads);
                scope.spawn(move || {
                    for number in numbers {
                        let chunk = job.chunk(number);
                        let failed = chunk.is_err();
                        if sender.send(chunk).is_err() || failed {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        let mut upper = Upper::new(job);
        for receiver in channels.iter().cycle().take(usize::try_from(chunks).unwrap_or(usize::MAX)) {
            let chunk = receiver.recv().map_err(|_| VerifyError::Worker)??;
            upper.push(&chunk.hashes)?;
            report.add(&chunk);
            chunk.records(|record| observer.record(record));
            observer.progress(chunk.end(), checkpoint.size);
        }
        upper.finish()
    })?;
    Ok(report)
}

/// Verifies that the log holds exactly the records of `range` that `source` has; of the rest it needs only the tiles above and
/// the right edge ([`range_files`]). The observer sees whole bundles: also records around the range.
///
/// # Errors
/// [`VerifyError`] names what is wrong: the first in record order.
pub fn verify_range(
    source: &impl Source,
    key: &VerifierKey,
    options: &Options,
    range: Range<u64>,
    observer: &mut impl Observer,
) -> Result<Report, VerifyError> {
    let (mut report, checkpoint) = open(source, key)?;
    if range.end > checkpoint.size {
        return Err(VerifyError::Range { end: range.end, size: checkpoint.size });
    }
    let job = Job { source, checkpoint: &checkpoint, options };
    let mut climb = Climb::new(job);
    for number in range.start / TILE_WIDTH..range.end.div_ceil(TILE_WIDTH) {
        let chunk = job.chunk(number)?;
        climb.check(number, &chunk.hashes)?;
        report.add(&chunk);
        chunk.records(|record| observer.record(record));
        observer.progress(chunk.end(), range.end);
    }
    Ok(report)
}

/// The hash tiles and entry bundles that [`verify_range`] needs of a log of `size` records, besides the checkpoint.
#[must_use]
pub fn range_files(range: Range<u64>, size: u64) -> BTreeSet<TileFile> {
    let mut files = BTreeSet::new();
    let (mut first, mut end) = (range.start / TILE_WIDTH, range.end.div_ceil(TILE_WIDTH));
    for index in first..end {
        files.insert(TileFile::Entries { index, width: width_of(index, size) });
    }
    for level in (0..=LEVEL_MAX).take_while(|level| hashes_at(*level, size) > 0) {
        let count = hashes_at(level, size);
        let edge = (!count.is_multiple_of(TILE_WIDTH)).then_some(count / TILE_WIDTH);
        files.extend((first..end).chain(edge).filter_map(|index| {
            let width = width_of(index, count);
            (width > 0).then_some(TileFile::Hashes { level, index, width })
        }));
        (first, end) = (first / TILE_WIDTH, end.div_ceil(TILE_WIDTH));
    }
    files
}

fn open(source: &impl Source, key: &VerifierKey) -> Result<(Report, Checkpoint), VerifyError> {
    let bytes =
        source.read(CHECKPOINT).map_err(|error| SourceError::Read { file: CHECKPOINT.to_owned(), error })?;
    let bytes = bytes.ok_or_else(|| SourceError::Missing { file: CHECKPOINT.to_owned(), record: 0 })?;
    let (checkpoint, note) = Checkpoint::open(&bytes, key).map_err(VerifyError::Checkpoint)?;
    let report = Report { checkpoint: checkpoint.clone(), note, leaf_bytes: 0, sealed: 0, erased: 0 };
    Ok((report, checkpoint))
}

impl Report {
    fn add(&mut self, chunk: &Chunk) {
        self.leaf_bytes += chunk.leaf_bytes;
        self.sealed += chunk.sealed;
        self.erased += chunk.erased;
    }
}

/// What every part of the verification needs.
struct Job<'a, S> {
    source: &'a S,
    checkpoint: &'a Checkpoint,
    options: &'a Options,
}

impl<S> Clone for Job<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Job<'_, S> {}

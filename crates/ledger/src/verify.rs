//! Verifies a published log completely: checkpoint signature, every tile, every entry, every sidecar.
//!
//! One pass, memory bounded by a few bundles per thread whatever the log's length. Workers read and hash the bundles; the
//! calling thread puts their roots together in order, compares the upper tiles and the root, and shows each record to an
//! [`Observer`]. The first error in record order is returned and names the record and the file; when an entry and its tile
//! disagree, the one that does not fit the rest of the tree is blamed.
//!
//! What it cannot see is a log that its key holder rewrote and signed again: that is `remembered.rs` and the witnesses.

use std::{collections::BTreeSet, fmt, num::NonZeroUsize, ops::Range, sync::mpsc, thread};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{Note, VerifierKey},
    sealed::SealedJson,
    source::{CHECKPOINT, Source, SourceError},
    tile::{LEVEL_MAX, TILE_WIDTH, TileFile, hashes_at, width_of},
    tree::Hash,
};

mod chunk;
mod older;
mod upper;

use chunk::Chunk;
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

/// What is wrong with a published log.
#[derive(Debug)]
pub enum VerifyError {
    /// A file is missing, unreadable or has the wrong length.
    Source(SourceError),
    /// The checkpoint is malformed, of another log, or not signed by it.
    Checkpoint(CheckpointError),
    /// An entry does not hash to what its tile says, and the tile fits the tree.
    Entry {
        /// Index of the record.
        record: u64,
        /// The entry bundle.
        file: String,
    },
    /// A hash in a tile is not the hash of what is below it.
    Tile {
        /// Index of the first record below the hash.
        record: u64,
        /// The tile.
        file: String,
        /// Position of the hash in the tile.
        slot: usize,
    },
    /// A whole tile does not fit the tile above, which fits the tree: records under it were changed together with the tile.
    Subtree {
        /// Index of the first record under the tile.
        record: u64,
        /// Index after the last one.
        end: u64,
        /// The tile that does not fit.
        file: String,
        /// The tile above.
        above: String,
    },
    /// A bundle holds too few or too many entries, or ends inside one.
    Bundle {
        /// The first record that is affected.
        record: u64,
        /// The bundle.
        file: String,
        /// What is wrong with it.
        problem: BundleProblem,
    },
    /// A record's sidecar is not the one the record names, is withheld, or should not be there.
    Sidecar {
        /// Index of the record.
        record: u64,
        /// The sidecar bundle.
        file: String,
        /// What is wrong with it.
        problem: SidecarProblem,
    },
    /// The record's `sealed` member is malformed.
    Sealed {
        /// Index of the record.
        record: u64,
        /// The entry bundle.
        file: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The files fit each other, but not the root that the log signed: records were changed together with all tiles above.
    Root {
        /// Records in the log.
        size: u64,
        /// The root of the files.
        computed: Hash,
        /// The root in the checkpoint.
        signed: Hash,
    },
    /// A partial file of an earlier size differs from the current one.
    Older {
        /// Index of the first record under the file.
        record: u64,
        /// The earlier file.
        file: String,
    },
    /// The log is shorter than the range.
    Range {
        /// Index after the range's last record.
        end: u64,
        /// Records in the log.
        size: u64,
    },
    /// A worker thread ended without a result.
    Worker,
}

/// What can be wrong with a bundle as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleProblem {
    /// It ends inside an item or before the last one.
    Cut,
    /// Bytes follow the last item.
    Longer,
}

/// What can be wrong with a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SidecarProblem {
    /// Its hash is not the one in the record.
    Changed,
    /// It is absent and no erasure record of the subject explains it.
    Withheld {
        /// Handle of the subject.
        subject: String,
    },
    /// The record seals nothing.
    Unexpected,
}

impl From<SourceError> for VerifyError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl VerifyError {
    /// Path of the file that is wrong; the checkpoint when the whole does not fit it.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::Source(
                SourceError::Read { file, .. }
                | SourceError::Missing { file, .. }
                | SourceError::Length { file, .. },
            )
            | Self::Entry { file, .. }
            | Self::Tile { file, .. }
            | Self::Subtree { file, .. }
            | Self::Bundle { file, .. }
            | Self::Sidecar { file, .. }
            | Self::Older { file, .. }
            | Self::Sealed { file, .. } => file,
            Self::Checkpoint(_) | Self::Root { .. } | Self::Range { .. } | Self::Worker => CHECKPOINT,
        }
    }

    /// Index of the first record that is affected, when it can be told.
    #[must_use]
    pub fn record(&self) -> Option<u64> {
        match self {
            Self::Source(SourceError::Missing { record, .. } | SourceError::Length { record, .. })
            | Self::Entry { record, .. }
            | Self::Tile { record, .. }
            | Self::Subtree { record, .. }
            | Self::Bundle { record, .. }
            | Self::Sidecar { record, .. }
            | Self::Older { record, .. }
            | Self::Sealed { record, .. } => Some(*record),
            Self::Source(SourceError::Read { .. })
            | Self::Checkpoint(_)
            | Self::Root { .. }
            | Self::Range { .. }
            | Self::Worker => None,
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Checkpoint(error) => write!(f, "`{CHECKPOINT}`: {error}"),
            Self::Entry { record, file } => {
                write!(f, "record {record} in `{file}` was changed: it does not fit the log's tree")
            }
            Self::Tile { record, file, slot } => {
                write!(
                    f,
                    "hash {slot} in `{file}` was changed: it is not the hash of the records from {record} on"
                )
            }
            Self::Subtree { record, end, file, above } => {
                write!(
                    f,
                    "records {record} to {} were changed together with `{file}`: they do not fit `{above}`",
                    end - 1
                )
            }
            Self::Bundle { record, file, problem } => {
                let problem = match problem {
                    BundleProblem::Cut => "ends too early",
                    BundleProblem::Longer => "holds more than it should",
                };
                write!(f, "`{file}` {problem} at record {record}")
            }
            Self::Sidecar { record, file, problem: SidecarProblem::Withheld { subject } } => {
                write!(
                    f,
                    "the sealed values of record {record} are withheld from `{file}`: `{subject}` was not erased"
                )
            }
            Self::Sidecar { record, file, problem: SidecarProblem::Changed } => {
                write!(f, "the sealed values of record {record} in `{file}` are not those the record names")
            }
            Self::Sidecar { record, file, problem: SidecarProblem::Unexpected } => {
                write!(f, "record {record} has sealed values in `{file}`, but names none")
            }
            Self::Sealed { record, file, .. } => {
                write!(f, "what record {record} in `{file}` says it seals is malformed")
            }
            Self::Root { size, computed, signed } => {
                write!(f, "the {size} records have root {computed}, but the log signed {signed}")
            }
            Self::Older { record, file } => {
                write!(f, "`{file}` differs from the current file of the same records (from {record} on)")
            }
            Self::Range { end, size } => {
                write!(f, "the log has {size} records, record {} is not among them", end - 1)
            }
            Self::Worker => f.write_str("a worker thread ended without a result"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::Checkpoint(error) => Some(error),
            Self::Sealed { error, .. } => Some(error),
            Self::Entry { .. }
            | Self::Tile { .. }
            | Self::Subtree { .. }
            | Self::Bundle { .. }
            | Self::Sidecar { .. }
            | Self::Root { .. }
            | Self::Range { .. }
            | Self::Older { .. }
            | Self::Worker => None,
        }
    }
}

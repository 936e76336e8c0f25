//! What can be wrong with a published log, in words that name the record and the file.

use std::fmt;

use crate::{
    checkpoint::CheckpointError,
    source::{CHECKPOINT, SourceError},
    tree::Hash,
};

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

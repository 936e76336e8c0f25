//! What can go wrong when a log is opened, appended to or awaited.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a log was not opened. Nothing was changed on disk, except for what an interrupted start left behind.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has the log open.
    Locked {
        /// The lock file.
        file: PathBuf,
    },
    /// A file could not be read or written.
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An option cannot work.
    Options {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log was changed or damaged: this is not the end of an interrupted write.
    Damaged(Fault),
}

/// One place where a log directory is not what this key holder wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file in which it shows, relative to the log directory.
    pub file: PathBuf,
    /// The first record that is concerned.
    pub record: u64,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with a log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The checkpoint cannot be read, or is not signed by this log's key.
    Checkpoint,
    /// The file that must hold the record is gone.
    Missing,
    /// The file is shorter or longer than it was made.
    Length,
    /// The segment's header does not match its checksum, its name or the records before it.
    Header,
    /// A batch is damaged although a good one follows it.
    BadBatch,
    /// A batch starts at another record than the one before it ended.
    Order,
    /// The records do not have the root that was signed.
    Root,
    /// The signature of a tree head is wrong.
    Signature,
    /// The log on disk ends below the checkpoint that was published of it.
    Behind,
    /// The published checkpoint has another root than the log at that size.
    Fork,
    /// A published file differs from the log.
    Published,
}

impl Wrong {
    fn words(self) -> &'static str {
        match self {
            Self::Checkpoint => "the checkpoint is not one that this log signed",
            Self::Missing => "the file is missing",
            Self::Length => "the file does not have the length it was made with",
            Self::Header => "the header of the segment is damaged or belongs to another place in the log",
            Self::BadBatch => "a batch is damaged and good ones follow it: this is not an interrupted write",
            Self::Order => "a batch is out of order",
            Self::Root => "the records do not have the root that was signed",
            Self::Signature => "the signature of a tree head is wrong",
            Self::Behind => "the log ends before its published checkpoint: records are missing at its end",
            Self::Fork => "the published checkpoint has another root than the log at that size",
            Self::Published => "the published file differs from the log",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, record {}: {}", self.file.display(), self.record, self.what.words())
    }
}

impl std::error::Error for Fault {}

impl OpenError {
    pub(crate) fn io(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { file: file.into(), source }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { file } => write!(f, "the log is open in another process (`{}`)", file.display()),
            Self::Io { file, .. } => write!(f, "cannot use `{}`", file.display()),
            Self::Options { what } => f.write_str(what),
            Self::Damaged(fault) => write!(f, "the log is damaged or was changed: {fault}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Damaged(fault) => Some(fault),
            Self::Locked { .. } | Self::Options { .. } => None,
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Damaged(fault)
    }
}

/// Why a record was not taken. Nothing of it is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The space left is reserved for a more important lane.
    NoSpace,
    /// More is waiting for the disk than may wait; try again when some of it is durable.
    Busy,
    /// The record or its sidecar is longer than the log can hold.
    TooLong {
        /// Longest record or sidecar, bytes.
        len_max: usize,
    },
    /// The log is closed.
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("the log has no space left for this kind of record"),
            Self::Busy => f.write_str("too many records are waiting for the disk"),
            Self::TooLong { len_max } => write!(f, "a record is longer than {len_max} bytes"),
            Self::Closed => f.write_str("the log is closed"),
        }
    }
}

impl std::error::Error for AppendError {}

/// The log was closed before the record became durable; or no such record was ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log was closed before the record was durable")
    }
}

impl std::error::Error for Closed {}

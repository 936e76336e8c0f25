//! Evidence: one file that shows an outsider, offline, that records are in a log and nothing between them is missing.
//!
//! A zip (stored, no compression) with
//! - `manifest.json`: version, what the evidence is about (the caller's JSON), and for each log its key and what is in the file;
//! - `logs/<n>/checkpoint`, and in tlog-tiles paths below `logs/<n>/` the files that prove ranges (whole bundles, so nothing is
//!   missing between two indices);
//! - `logs/<n>/records/<index>.json` and `.tlog-proof` for single records (they prove presence, never completeness);
//! - `logs/<n>/start`: an earlier checkpoint that the log continues;
//! - `logs/<n>/opened.json`: sealed fields opened with their salts;
//! - `index.html` and `extra/…` for people: never verified, never trusted.
//!
//! [`Writer`] builds it from a published log, [`Evidence::check`] verifies it. Whether the policy was followed is not known
//! here: the caller runs that over the [`CheckedRecord`]s.

use std::{collections::BTreeMap, fmt, io, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{KeyError, VerifierKey},
    policy::UntrustedCheckpoint,
    proof::{BuildError, ProofError},
    sealed::{OpenedField, SealedJson},
    source::SourceError,
    tlog_proof::TlogProofError,
    tree::Hash,
    verify::VerifyError,
};

mod read;
mod write;

pub use read::Evidence;
pub use write::{Part, Writer};

/// Most bytes that are read from an evidence file, all contents together.
pub const EVIDENCE_LEN_MAX: u64 = 1 << 30;

/// Most files in an evidence file.
pub const FILES_MAX: usize = 1 << 20;

const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const INDEX_HTML: &str = "index.html";
const EXTRA: &str = "extra/";

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    v: u32,
    about: serde_json::Value,
    logs: Vec<ManifestLog>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestLog {
    /// The log's verifier key. A claim: the auditor's policy decides whether it is the right one.
    key: String,
    /// First index and index after the last one.
    ranges: Vec<(u64, u64)>,
    records: Vec<u64>,
    /// Consistency proof from the checkpoint in `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consistency: Option<Vec<Hash>>,
}

/// `opened.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedFile {
    v: u32,
    fields: Vec<OpenedJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedJson {
    record: u64,
    id: String,
    salt: Hash,
    /// The value, when it is text, so that a person can read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The value otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl OpenedJson {
    fn new(record: u64, field: &OpenedField) -> Self {
        let text = String::from_utf8(field.value.clone()).ok();
        let base64 = text.is_none().then(|| STANDARD.encode(&field.value));
        Self { record, id: field.id.clone(), salt: Hash(field.salt), text, base64 }
    }

    fn field(self) -> Option<OpenedField> {
        let value = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).ok()?,
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(OpenedField { id: self.id, salt: self.salt.0, value })
    }
}

/// What an evidence file proves.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the maker says it is about; not proven by anything.
    pub about: serde_json::Value,
    /// The logs in it.
    pub logs: Vec<CheckedLog>,
}

/// A log of which the evidence proves records.
#[derive(Clone, Debug)]
pub struct CheckedLog {
    /// The key that signed it.
    pub key: VerifierKey,
    /// Whether the key is from the auditor's policy (whose quorum then cosigned), or only from the evidence itself.
    pub trust: Trust,
    /// The head everything fits.
    pub checkpoint: Checkpoint,
    /// An earlier head that this one continues.
    pub start: Option<Checkpoint>,
    /// Indices between which nothing is missing.
    pub ranges: Vec<Range<u64>>,
    /// The records, by index.
    pub records: BTreeMap<u64, CheckedRecord>,
}

/// Where the trust in a log's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The auditor's policy.
    Policy,
    /// The evidence file alone: anybody could have made the log.
    None,
}

/// A record that is in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedRecord {
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// What it says it seals.
    pub sealed: Option<SealedJson>,
    /// The sealed fields that are opened; each matches its commitment. A field that is not here is erased or withheld.
    pub opened: Vec<OpenedField>,
}

/// Evidence that cannot be built, read or believed.
#[derive(Debug)]
pub enum EvidenceError {
    /// The zip cannot be written or read.
    Zip(io::Error),
    /// A limit of the format is exceeded.
    Limit,
    /// A file is missing, or not what its name says.
    File {
        /// Its path.
        file: String,
        /// What is wrong.
        problem: FileProblem,
    },
    /// The policy does not accept a log's checkpoint.
    Untrusted(UntrustedCheckpoint),
    /// A range does not verify.
    Range {
        /// Folder of the log.
        log: String,
        /// What is wrong.
        error: VerifyError,
    },
    /// A single record does not verify.
    Record {
        /// Its `.tlog-proof`.
        file: String,
        /// What is wrong.
        error: TlogProofError,
    },
    /// The log does not continue its start checkpoint.
    Start {
        /// The start checkpoint.
        file: String,
        /// What is wrong.
        error: ProofError,
    },
    /// An opened field does not match its commitment, or its record is not in the evidence.
    Opened {
        /// The file with the opened fields.
        file: String,
        /// Index of the record.
        record: u64,
        /// Id of the field.
        id: String,
    },
    /// The log to build from lacks what is needed.
    Source(BuildError<SourceError>),
}

/// What can be wrong with a file of the evidence.
#[derive(Debug)]
pub enum FileProblem {
    /// It is not there.
    Missing,
    /// Nothing refers to it, or it is there twice.
    Unexpected,
    /// It cannot be read as what it is.
    Form,
    /// Its version is not known.
    Version,
    /// Not a usable key.
    Key(KeyError),
    /// Not a checkpoint of the log.
    Checkpoint(CheckpointError),
    /// A record that is both a range's and a single one differs.
    Contradiction,
}

impl From<SourceError> for EvidenceError {
    fn from(error: SourceError) -> Self {
        Self::Source(BuildError::Source(error))
    }
}

impl From<BuildError<SourceError>> for EvidenceError {
    fn from(error: BuildError<SourceError>) -> Self {
        Self::Source(error)
    }
}

impl From<zip::result::ZipError> for EvidenceError {
    fn from(error: zip::result::ZipError) -> Self {
        Self::Zip(error.into())
    }
}

impl From<io::Error> for EvidenceError {
    fn from(error: io::Error) -> Self {
        Self::Zip(error)
    }
}

fn bad(file: &str, problem: FileProblem) -> EvidenceError {
    EvidenceError::File { file: file.to_owned(), problem }
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zip(_) => f.write_str("the evidence file is not a readable zip"),
            Self::Limit => write!(f, "evidence holds at most {FILES_MAX} files and {EVIDENCE_LEN_MAX} bytes"),
            Self::File { file, problem } => match problem {
                FileProblem::Missing => write!(f, "`{file}` is missing"),
                FileProblem::Unexpected => write!(f, "`{file}` does not belong in the evidence"),
                FileProblem::Form => write!(f, "`{file}` is malformed"),
                FileProblem::Version => write!(f, "the version of `{file}` is not known"),
                FileProblem::Key(error) => write!(f, "`{file}`: {error}"),
                FileProblem::Checkpoint(error) => write!(f, "`{file}`: {error}"),
                FileProblem::Contradiction => write!(f, "`{file}` is in the evidence twice and differs"),
            },
            Self::Untrusted(error) => error.fmt(f),
            Self::Range { log, error } => write!(f, "in `{log}`: {error}"),
            Self::Record { file, error } => write!(f, "`{file}`: {error}"),
            Self::Start { file, error } => write!(f, "the log does not continue `{file}`: {error}"),
            Self::Opened { file, record, id } => {
                write!(f, "field `{id}` of record {record} in `{file}` is not what the record commits to")
            }
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EvidenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Zip(error) => Some(error),
            Self::Untrusted(error) => Some(error),
            Self::Range { error, .. } => error.source(),
            Self::Record { error, .. } => Some(error),
            Self::Start { error, .. } => Some(error),
            Self::Source(error) => error.source(),
            Self::Limit | Self::File { .. } | Self::Opened { .. } => None,
        }
    }
}

//! Remembering the last checkpoint of a log, so that a rollback or a rewritten past is noticed by whoever looked before.
//!
//! A key holder can rewrite or cut a log and sign it again; every file then verifies. Only memory outside the operator's reach
//! shows it: this logic, run by each client over the checkpoint it kept, and the witnesses.

use std::fmt;

use crate::{
    checkpoint::Checkpoint,
    proof::{BuildError, ProofError, verify_consistency},
    source::{Source, SourceError, Tiles},
    tree::Hash,
};

/// How a log went on since it was last seen. After any of these the new checkpoint is the one to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continued {
    /// It was never seen before: nothing could be compared.
    First,
    /// The same head.
    Same,
    /// It grew, and starts with everything that was there.
    Grown {
        /// Number of new records.
        by: u64,
    },
}

/// Compares a verified checkpoint with the last one seen; `source` holds the log's tiles at the new size.
///
/// Both checkpoints must have been opened with the log's key. Run it beside a full `verify`: alone, a damaged tile looks like a
/// rewritten past.
///
/// # Errors
/// [`Broken`] says how the log contradicts what was seen; then the old checkpoint stays the remembered one.
pub fn continues(
    last: Option<&Checkpoint>,
    new: &Checkpoint,
    source: &impl Source,
) -> Result<Continued, Broken> {
    let Some(last) = last else { return Ok(Continued::First) };
    if last.origin != new.origin {
        return Err(Broken::OtherLog { seen: last.origin.clone(), found: new.origin.clone() });
    }
    if new.size < last.size {
        return Err(Broken::Rollback { seen: last.size, found: new.size });
    }
    if new.size == last.size {
        return if new.root == last.root {
            Ok(Continued::Same)
        } else {
            Err(Broken::Fork { size: new.size, seen: last.root, found: new.root })
        };
    }
    let proof = Tiles::new(source, new.size).consistency(last.size).map_err(|error| match error {
        BuildError::Source(error) => Broken::Source(error),
        BuildError::Range => Broken::Rollback { seen: last.size, found: new.size },
    })?;
    verify_consistency(last.size, last.root, new.size, new.root, &proof)
        .map_err(|error| Broken::Rewritten { seen: last.size, found: new.size, error })?;
    Ok(Continued::Grown { by: new.size - last.size })
}

/// How a log contradicts its last checkpoint seen.
#[derive(Debug)]
pub enum Broken {
    /// The checkpoints are of different logs.
    OtherLog {
        /// Origin of the one seen.
        seen: String,
        /// Origin of the new one.
        found: String,
    },
    /// The log is shorter than it was: its tail was cut.
    Rollback {
        /// Size seen.
        seen: u64,
        /// Size found.
        found: u64,
    },
    /// The log has another root at the same size: two histories were signed.
    Fork {
        /// The size.
        size: u64,
        /// Root seen.
        seen: Hash,
        /// Root found.
        found: Hash,
    },
    /// The log grew, but does not start with what was there: the past was rewritten.
    Rewritten {
        /// Size seen.
        seen: u64,
        /// Size found.
        found: u64,
        /// How the consistency proof fails.
        error: ProofError,
    },
    /// The tiles to compare with could not be had.
    Source(SourceError),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherLog { seen, found } => {
                write!(f, "the checkpoint is of the log `{found}`, not of `{seen}`")
            }
            Self::Rollback { seen, found } => {
                write!(
                    f,
                    "the log was rolled back: it had {seen} records when it was last seen and has {found} now"
                )
            }
            Self::Fork { size, seen, found } => {
                write!(
                    f,
                    "the log was forked: its {size} records had root {seen} when last seen and have {found} now"
                )
            }
            Self::Rewritten { seen, found, .. } => {
                write!(
                    f,
                    "the log's past was rewritten: its {found} records do not start with the {seen} last seen"
                )
            }
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rewritten { error, .. } => Some(error),
            Self::Source(error) => error.source(),
            Self::OtherLog { .. } | Self::Rollback { .. } | Self::Fork { .. } => None,
        }
    }
}

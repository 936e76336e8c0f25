//! Opening the control log: fold it, or a snapshot and the rest, and hold the result against the signed root.

use std::path::PathBuf;
use std::{error, fmt, io};

use daypass_access::record::{ControlRecord, RecordError};
use daypass_access::state::{ApplyError, State};
use daypass_access::time::Micros;
use daypass_journal::{Journal, TornTail};
use daypass_ledger::note::Signer;
use daypass_ledger::tree::{Tree, leaf_hash};
use daypass_vault::{Vault, namespace};

use crate::controller::Clock;
use crate::snapshot;

/// Records read at once.
const READ_MAX: usize = 4096;

/// Where the control log is and what it is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its folder.
    pub dir: PathBuf,
    /// Its origin; the vault holds its key under this name.
    pub origin: String,
}

/// What was found at the start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Records in the log.
    pub size: u64,
    /// Records that came from a snapshot.
    pub snapshot_size: Option<u64>,
    /// Why a snapshot that is there was not used.
    pub snapshot_refused: Option<&'static str>,
    /// A torn tail that was cut off.
    pub recovered: Option<TornTail>,
}

/// Why the control log cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The vault has no key for the log.
    NoKey(String),
    /// The log.
    Log(daypass_journal::OpenError),
    /// A record cannot be read.
    Read(io::Error),
    /// A record is not one this program knows.
    Record {
        /// Which.
        index: u64,
        /// Why.
        source: RecordError,
    },
    /// A record does not fit the ones before it.
    Fold(ApplyError),
    /// The records do not have the root that the log signed.
    OtherRoot {
        /// At that size.
        size: u64,
    },
    /// The thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(origin) => write!(f, "the vault holds no key for the log `{origin}`"),
            Self::Log(_) => f.write_str("the control log cannot be opened"),
            Self::Read(_) => f.write_str("the control log cannot be read"),
            Self::Record { index, .. } => write!(f, "control record {index} cannot be read"),
            Self::Fold(_) => f.write_str("the control log does not fold to a state"),
            Self::OtherRoot { size } => {
                write!(f, "the {size} control records do not have the root that was signed")
            }
            Self::Thread(_) => f.write_str("the control thread cannot be started"),
        }
    }
}

impl error::Error for OpenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Log(source) => Some(source),
            Self::Read(source) | Self::Thread(source) => Some(source),
            Self::Record { source, .. } => Some(source),
            Self::Fold(source) => Some(source),
            Self::NoKey(_) | Self::OtherRoot { .. } => None,
        }
    }
}

pub(crate) fn open(
    options: &Options,
    vault: &Vault,
    clock: &Clock,
) -> Result<(Journal, Signer, State, Start), OpenError> {
    let no_key = || OpenError::NoKey(options.origin.clone());
    let secret = vault.get(namespace::LOG_KEY, &options.origin).ok_or_else(no_key)?;
    let seed: &[u8; 32] = secret.expose().try_into().map_err(|_| no_key())?;
    let signer = || Signer::new(&options.origin, seed).map_err(|_| no_key());
    let signs_snapshots = signer()?;
    let mut journal_options = daypass_journal::Options::small(&options.dir, signer()?);
    // Room for a burst while the next segment is being made ready.
    journal_options.segment_len = 8 << 20;
    journal_options.linger = std::time::Duration::ZERO;
    let ticks = Clock::clone(clock);
    let (journal, opened) = Journal::open(journal_options, move || ticks().0).map_err(OpenError::Log)?;
    let (snapshot, snapshot_refused) = match snapshot::read(&options.dir, &signs_snapshots.verifier_key()) {
        Ok(snapshot) => (snapshot, None),
        Err(why) => (None, Some(why)),
    };
    let mut start =
        Start { size: opened.size, snapshot_size: None, snapshot_refused, recovered: opened.recovered };
    if let Some(snapshot) = snapshot {
        let size = snapshot.state.size();
        match fold(&journal, snapshot.state, snapshot.tree) {
            Ok(state) => {
                start.snapshot_size = Some(size);
                return Ok((journal, signs_snapshots, state, start));
            }
            Err(_) => start.snapshot_refused = Some("it is not of this log"),
        }
    }
    let state = fold(&journal, State::default(), Tree::new())?;
    Ok((journal, signs_snapshots, state, start))
}

/// Folds the records from `state.size()` on; the tree they complete must have the root of the log's signed head.
fn fold(journal: &Journal, mut state: State, mut tree: Tree) -> Result<State, OpenError> {
    let head = journal.head();
    while state.size() < head.size() {
        let records = journal.read(state.size(), READ_MAX).map_err(OpenError::Read)?;
        if records.is_empty() {
            return Err(OpenError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        for stored in records {
            let record = decode(stored.index, &stored.leaf)?;
            state.apply(stored.index, &record).map_err(OpenError::Fold)?;
            tree.push(leaf_hash(&stored.leaf));
        }
    }
    if tree.size() == head.size() && tree.root() == head.root() {
        Ok(state)
    } else {
        Err(OpenError::OtherRoot { size: head.size() })
    }
}

/// Folds every record not later than `at`.
pub(crate) fn fold_until(journal: &Journal, at: Micros) -> Result<State, OpenError> {
    let size = journal.head().size();
    let mut state = State::default();
    while state.size() < size {
        let records = journal.read(state.size(), READ_MAX).map_err(OpenError::Read)?;
        if records.is_empty() {
            break;
        }
        for stored in records {
            let record = decode(stored.index, &stored.leaf)?;
            if record.at > at {
                return Ok(state);
            }
            state.apply(stored.index, &record).map_err(OpenError::Fold)?;
        }
    }
    Ok(state)
}

fn decode(index: u64, leaf: &[u8]) -> Result<ControlRecord, OpenError> {
    ControlRecord::decode(leaf).map_err(|source| OpenError::Record { index, source })
}

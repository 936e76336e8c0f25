//! The handle: submit commands, read the state, hear of changes, ask the past.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use daypass_access::command::{Ask, Command};
use daypass_access::state::State;
use daypass_access::time::Micros;
use daypass_journal::Journal;
use daypass_ledger::note::{Signer, VerifierKey};
use daypass_vault::Vault;
use tokio::sync::{mpsc, oneshot, watch};

use crate::commit::{self, Job, Outcome, SubmitError};
use crate::open::{self, OpenError, Options, Start};
use crate::personal::{Personal, unseal};
use crate::snapshot;

/// Most commands that wait.
const WAITING_MAX: usize = 1024;
/// A snapshot is written after so many records.
const SNAPSHOT_EVERY: u64 = 10_000;

/// Tells the time; the rim's clock, or a test's.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// A handle to the control log and the state it folds to; clones share it.
#[derive(Clone)]
pub struct Controller {
    jobs: mpsc::Sender<Job>,
    inner: Arc<Inner>,
}

/// What handles and the committing thread share.
pub(crate) struct Inner {
    journal: Journal,
    vault: Vault,
    clock: Clock,
    signer: Signer,
    dir: std::path::PathBuf,
    state: ArcSwap<State>,
    grown: watch::Sender<u64>,
    snapshot_size: AtomicU64,
    /// One snapshot at a time.
    snapshot_turn: Mutex<()>,
}

impl Inner {
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) fn now(&self) -> Micros {
        (self.clock)()
    }

    pub(crate) fn publish(&self, state: &Arc<State>) {
        self.state.store(Arc::clone(state));
        self.grown.send_replace(state.size());
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("size", &self.state().size()).finish_non_exhaustive()
    }
}

impl Controller {
    /// Opens the control log in `options.dir` and folds it. Blocks; a log of a million records takes seconds.
    ///
    /// # Errors
    /// When the log or its key cannot be used, or what is on disk does not fold to the signed root.
    pub fn open(options: Options, vault: Vault, clock: Clock) -> Result<(Self, Start), OpenError> {
        let (journal, signer, state, start) = open::open(&options, &vault, &clock)?;
        let (grown, _) = watch::channel(state.size());
        let inner = Arc::new(Inner {
            journal,
            vault,
            clock,
            signer,
            dir: options.dir,
            snapshot_size: AtomicU64::new(start.snapshot_size.unwrap_or(0)),
            state: ArcSwap::from_pointee(state),
            grown,
            snapshot_turn: Mutex::new(()),
        });
        let (jobs, receiver) = mpsc::channel(WAITING_MAX);
        let shared = Arc::clone(&inner);
        // The thread ends with the last handle.
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || commit::run(&shared, receiver))
            .map_err(OpenError::Thread)?;
        Ok((Self { jobs, inner }, start))
    }

    /// Decides a command. When it returns `Ok`, what was decided is durable and part of the state; a caller that goes away
    /// while it waits changes nothing about that.
    ///
    /// # Errors
    /// A denial, or why the log could not take it.
    pub async fn submit(&self, command: Command) -> Result<Outcome, SubmitError> {
        let (answer, outcome) = oneshot::channel();
        self.jobs.try_send(Job { command, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Closed,
        })?;
        outcome.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// [`Controller::submit`] for callers without a runtime; blocks the thread.
    ///
    /// # Errors
    /// As [`Controller::submit`].
    pub fn submit_and_wait(&self, command: Command) -> Result<Outcome, SubmitError> {
        commit::block_on(self.submit(command))
    }

    /// The state now. Cheap.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.inner.state()
    }

    /// Size of the control log, whenever it grew. The state is published before its size is told.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.grown.subscribe()
    }

    /// The state as it was at a past moment: the fold of every record not later than `at`. Reads the log from its start
    /// and blocks.
    ///
    /// # Errors
    /// When the log cannot be read or folded.
    pub fn at(&self, at: Micros) -> Result<State, OpenError> {
        open::fold_until(&self.inner.journal, at)
    }

    /// The control log itself, to read it.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// The vault that seals it.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// The key that verifies its checkpoints.
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        self.inner.signer.verifier_key()
    }

    /// The time, as decisions see it.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.inner.now()
    }

    /// The personal fields of control record `index`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn personal(&self, index: u64) -> io::Result<Personal> {
        let stored = self.inner.journal.read(index, 1)?;
        Ok(stored.first().map_or(Personal::None, |record| {
            unseal(&self.inner.vault, &record.leaf, record.sidecar.as_deref())
        }))
    }

    /// Records the head of another log, when it has grown since the last time. Whether it had.
    ///
    /// # Errors
    /// As [`Controller::submit`].
    pub async fn anchor(&self, log: &str, journal: &Journal) -> Result<bool, SubmitError> {
        let head = journal.head();
        if head.size() == self.state().anchor(log).map_or(0, |anchor| anchor.size) {
            return Ok(false);
        }
        let root = hex::encode(head.root().0);
        let ask = Ask::Anchor { log: log.to_owned(), size: head.size(), root };
        self.submit(Command::by_system(ask)).await.map(|_| true)
    }

    /// Writes a snapshot when enough was recorded since the last one. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; nothing depends on it.
    pub fn snapshot_if_due(&self) -> io::Result<bool> {
        let since = self.inner.snapshot_size.load(Ordering::Relaxed);
        if self.state().size() < since.saturating_add(SNAPSHOT_EVERY) {
            return Ok(false);
        }
        self.snapshot().map(|()| true)
    }

    /// Writes a snapshot of the state now. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn snapshot(&self) -> io::Result<()> {
        let _turn = self.inner.snapshot_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if state.size() == self.inner.snapshot_size.load(Ordering::Relaxed) {
            return Ok(());
        }
        snapshot::write(&self.inner.dir, &self.inner.signer, &self.inner.journal, &state)?;
        self.inner.snapshot_size.store(state.size(), Ordering::Relaxed);
        Ok(())
    }

    /// Writes a snapshot and closes the log. Blocks. Whoever still submits gets `Closed`.
    ///
    /// # Errors
    /// When the snapshot cannot be written; the log is closed all the same.
    pub fn close(self) -> io::Result<()> {
        let wrote = self.snapshot();
        self.inner.journal.clone().close();
        wrote
    }
}

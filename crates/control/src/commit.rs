//! The one thread that changes the state: decide, seal, append, wait, apply, publish, answer.
//!
//! Commands that arrive while a sync runs are decided together and share the next one. A command is decided against the
//! records before it even while those are not durable yet, so its answer, yes or no, waits for them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::{error, fmt};

use daypass_access::command::{Ask, Command, Denied};
use daypass_access::decide;
use daypass_access::fact::Fact;
use daypass_access::record::ControlRecord;
use daypass_access::state::{ApplyError, State};
use daypass_journal::{AppendError, Entry, Lane, Pending};
use daypass_ledger::bundle::ENTRY_LEN_MAX;
use daypass_vault::VaultError;
use tokio::sync::{mpsc, oneshot};

use crate::controller::Inner;
use crate::personal::{self, SealFailed};

/// Most commands that share a sync.
const BATCH_MAX: usize = 256;

/// What an accepted command made. Durable, and part of the state, when it is seen.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The records, in order. None when there was nothing to say.
    pub records: Vec<ControlRecord>,
    /// The state right after them.
    pub state: Arc<State>,
}

impl Outcome {
    /// What happened.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.records.iter().map(|record| &record.fact)
    }
}

/// Why a command came to nothing.
#[derive(Debug)]
pub enum SubmitError {
    /// A decision. Nothing was recorded.
    Denied(Denied),
    /// Too many commands wait.
    Busy,
    /// The controller is closed.
    Closed,
    /// The log did not take it.
    Log(AppendError),
    /// The vault could not make the key that seals it.
    Vault(VaultError),
    /// A record is too long or cannot be sealed.
    Form,
    /// What was decided does not fit the state: a defect, recorded nowhere.
    Broken(ApplyError),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Busy => f.write_str("too many commands wait for the control log"),
            Self::Closed => f.write_str("the control log is closed"),
            Self::Log(_) => f.write_str("the control log did not take the record"),
            Self::Vault(_) => f.write_str("the vault could not make a key"),
            Self::Form => f.write_str("a record is too long"),
            Self::Broken(_) => f.write_str("what was decided does not fit the state"),
        }
    }
}

impl error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Log(source) => Some(source),
            Self::Vault(source) => Some(source),
            Self::Broken(source) => Some(source),
            Self::Denied(_) | Self::Busy | Self::Closed | Self::Form => None,
        }
    }
}

pub(crate) type Answer = Result<Outcome, SubmitError>;

/// A command on its way.
pub(crate) struct Job {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Answer>,
}

type Undelivered = (oneshot::Sender<Answer>, Result<Vec<ControlRecord>, SubmitError>);

/// Runs until every handle is gone or the log is closed.
pub(crate) fn run(inner: &Inner, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while let Some(job) = jobs.blocking_recv() {
        batch.push(job);
        while batch.len() < BATCH_MAX
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        if !commit(inner, &mut batch) {
            break;
        }
    }
    jobs.close();
}

/// Commits a batch; whether to go on.
fn commit(inner: &Inner, batch: &mut Vec<Job>) -> bool {
    let mut next = (*inner.state()).clone();
    let mut last = None;
    let mut answers: Vec<Undelivered> = Vec::with_capacity(batch.len());
    for Job { command, answer } in batch.drain(..) {
        let result = one(inner, &mut next, &mut last, &command);
        answers.push((answer, result));
    }
    if let Some(pending) = last
        && block_on(pending).is_err()
    {
        // SECURITY: what was appended may not be durable, so the state stays as it was and nothing more is decided.
        for (answer, _) in answers {
            drop(answer.send(Err(SubmitError::Closed)));
        }
        return false;
    }
    let grown = next.size() > inner.state().size();
    let state = Arc::new(next);
    if grown {
        inner.publish(&state);
    }
    for (answer, result) in answers {
        // Whoever asked may be gone; what was decided stands.
        drop(answer.send(result.map(|records| Outcome { records, state: Arc::clone(&state) })));
    }
    true
}

/// Decides one command and appends what it makes; folds it into `next`.
fn one(
    inner: &Inner,
    next: &mut State,
    last: &mut Option<Pending>,
    command: &Command,
) -> Result<Vec<ControlRecord>, SubmitError> {
    // The log never goes back in time, whatever the clock does.
    let now = inner.now().max(next.at());
    let mut records = decide(next, command, now).map_err(SubmitError::Denied)?;
    let mut entries = Vec::with_capacity(records.len());
    let mut after = next.clone();
    for record in &mut records {
        entries.push(entry(inner, record)?);
        after.apply(after.size(), record).map_err(SubmitError::Broken)?;
    }
    if !entries.is_empty() {
        // One batch: a crash leaves the whole command or nothing of it.
        let appended = inner.journal().append_all(lane(&command.ask), &entries);
        *last = Some(appended.map_err(|error| match error {
            AppendError::Closed => SubmitError::Closed,
            AppendError::NoSpace | AppendError::Busy | AppendError::TooLong { .. } => SubmitError::Log(error),
        })?);
    }
    *next = after;
    Ok(records)
}

fn entry(inner: &Inner, record: &mut ControlRecord) -> Result<Entry, SubmitError> {
    let sidecar = personal::seal(inner.vault(), record).map_err(|failed| match failed {
        SealFailed::Vault(error) => SubmitError::Vault(error),
        SealFailed::Form => SubmitError::Form,
    })?;
    let leaf = record.encode();
    if leaf.len() > ENTRY_LEN_MAX { Err(SubmitError::Form) } else { Ok(Entry { leaf, sidecar }) }
}

/// Taking access away works when the disk is nearly full; giving it does not.
fn lane(ask: &Ask) -> Lane {
    let ends = matches!(
        ask,
        Ask::Revoke { .. }
            | Ask::Return { .. }
            | Ask::Suspend { .. }
            | Ask::Kill { .. }
            | Ask::CloseLogin { .. }
            | Ask::Deny { .. }
            | Ask::Withdraw { .. }
            | Ask::RefuseHold { .. }
            | Ask::DropHold { .. }
            | Ask::Recover { .. }
            | Ask::Sweep
    );
    if ends { Lane::Outcome } else { Lane::Intent }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

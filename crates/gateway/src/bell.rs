//! One wake for each worker and batch: the sessions of a worker wait here for their records, and only the worker's ringer
//! waits for the log. Waking a task of another thread is a system call; waking one of the same thread is not.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use daypass_journal::Journal;

/// Where the sessions of one worker wait.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Wakes the ringer.
    ringer: Option<Waker>,
    /// Who waits for which record.
    waiting: Vec<(u64, Waker)>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes `waker` when record `index` is covered; `true` says that it is already.
    pub(crate) fn wait(&self, journal: &Journal, index: u64, waker: &Waker) -> bool {
        let mut inner = self.lock();
        // The ringer cannot run out from under us: it takes the same lock.
        if journal.wake_when_covered(index, inner.ringer.as_ref().unwrap_or(waker)) {
            return true;
        }
        match inner.waiting.iter_mut().find(|(_, known)| known.will_wake(waker)) {
            Some(known) => known.0 = known.0.min(index),
            None => inner.waiting.push((index, waker.clone())),
        }
        false
    }

    /// Rings for as long as the worker runs: wakes everybody whose record is covered.
    pub(crate) async fn ring(&self, journal: &Journal) {
        let mut due = Vec::new();
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.ringer.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                inner.ringer = Some(cx.waker().clone());
            }
            let (covered, closed) = (journal.covered().size(), journal.is_closed());
            due.extend(inner.waiting.extract_if(.., |(index, _)| closed || *index < covered));
            drop(inner);
            due.drain(..).for_each(|(_, waker)| waker.wake());
            Poll::<()>::Pending
        })
        .await;
    }
}

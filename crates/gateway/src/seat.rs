//! What a session shares with the outside: how it is, and what it is told.
//!
//! The session's task owns everything else. Whoever wants something of it leaves it here and wakes it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use daypass_access::id::{HoldId, RoleId, SessionId};
use daypass_access::pipeline::{Entitlement, Right};
use daypass_access::state::PassHolder;
use daypass_access::time::Micros;
use daypass_pg::session::Statement;
use daypass_pg::startup::CancelKey;
use rand::RngExt;
use tokio::sync::oneshot;

use crate::live::{EndReason, LiveAction, LiveKind, SessionState, SessionView};

/// Text shown to watchers is cut to this, in bytes.
const SHOWN_LEN_MAX: usize = 4096;

/// What became of a hold.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Released,
    Refused(String),
}

/// What a session is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) entitlement: Option<Arc<Entitlement>>,
    pub(crate) end: Option<EndReason>,
    pub(crate) cancel: Vec<oneshot::Sender<()>>,
    /// SECURITY: a verdict is on one hold, by name; it must never let a later one through.
    pub(crate) verdict: Option<(HoldId, Verdict)>,
}

/// The action a session is at.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) number: u64,
    pub(crate) at: Micros,
    pub(crate) statement: Arc<Statement>,
    pub(crate) kind: LiveKind,
}

#[derive(Debug)]
struct Shared {
    state: SessionState,
    ends: Micros,
    backend_pid: u32,
    current: Option<Current>,
    hold: Option<HoldId>,
    rights: Vec<Right>,
    told: Told,
    waker: Option<Waker>,
}

/// A session's place among the live ones.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) session: SessionId,
    pub(crate) holder: PassHolder,
    pub(crate) asked_role: Option<RoleId>,
    pub(crate) started: Micros,
    pub(crate) origin: Arc<str>,
    /// What the session is named by when it is to be cancelled.
    pub(crate) key: CancelKey,
    shared: Mutex<Shared>,
    has_news: AtomicBool,
    pub(crate) actions: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) shown_len: AtomicU64,
}

impl Seat {
    pub(crate) fn new(
        session: SessionId,
        holder: PassHolder,
        asked_role: Option<RoleId>,
        started: Micros,
        origin: Arc<str>,
        key: CancelKey,
    ) -> Self {
        Self {
            session,
            holder,
            asked_role,
            started,
            origin,
            key,
            shared: Mutex::new(Shared {
                state: SessionState::Opening,
                ends: started,
                backend_pid: 0,
                current: None,
                hold: None,
                rights: Vec::new(),
                told: Told::default(),
                waker: None,
            }),
            has_news: AtomicBool::new(false),
            actions: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            shown_len: AtomicU64::new(0),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the session something.
    pub(crate) fn tell(&self, tell: impl FnOnce(&mut Told)) {
        let waker = {
            let mut shared = self.shared();
            tell(&mut shared.told);
            self.has_news.store(true, Ordering::Release);
            shared.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether these rights are news to the session.
    pub(crate) fn learns(&self, entitlement: &Entitlement) -> bool {
        let mut shared = self.shared();
        let news = shared.rights != entitlement.rights;
        if news {
            shared.rights.clone_from(&entitlement.rights);
        }
        news
    }

    /// Whether the session was told to end, and why; the news stays where it is.
    pub(crate) fn told_to_end(&self) -> Option<EndReason> {
        self.shared().told.end
    }

    /// Takes what the session was told since the last time.
    pub(crate) fn take(&self) -> Option<Told> {
        self.has_news.swap(false, Ordering::Acquire).then(|| std::mem::take(&mut self.shared().told))
    }

    pub(crate) fn wake_by(&self, waker: &Waker) {
        self.shared().waker = Some(waker.clone());
    }

    pub(crate) fn is_open(&self, backend_pid: u32) {
        let mut shared = self.shared();
        shared.state = SessionState::Active;
        shared.backend_pid = backend_pid;
    }

    pub(crate) fn ends_at(&self, ends: Micros) {
        self.shared().ends = ends;
    }

    pub(crate) fn is_at(&self, current: Current) {
        self.shared().current = Some(current);
    }

    pub(crate) fn finished(&self, number: u64) {
        let mut shared = self.shared();
        if shared.current.as_ref().is_some_and(|current| current.number == number) {
            shared.current = None;
        }
    }

    /// The hold its current action waits in.
    pub(crate) fn hold(&self) -> Option<HoldId> {
        self.shared().hold.clone()
    }

    pub(crate) fn waits_in(&self, hold: Option<HoldId>) {
        let mut shared = self.shared();
        shared.state = if hold.is_some() { SessionState::Held } else { SessionState::Active };
        shared.hold = hold;
    }

    pub(crate) fn action(&self, current: &Current) -> LiveAction {
        let shown = current.statement.shown();
        let shown = String::from_utf8_lossy(shown.get(..SHOWN_LEN_MAX).unwrap_or(shown));
        LiveAction {
            session: self.session.clone(),
            person: self.holder.person.clone(),
            resource: self.holder.resource.clone(),
            grant: self.holder.grant.clone(),
            action: current.number,
            at: current.at,
            kind: current.kind.clone(),
            verb: Arc::clone(&current.statement.verb),
            classes: current.statement.action.classes,
            risks: current.statement.action.risks,
            text: Arc::from(&*shown),
        }
    }

    pub(crate) fn view(&self) -> SessionView {
        let (state, ends, backend_pid, current) = {
            let shared = self.shared();
            (shared.state, shared.ends, shared.backend_pid, shared.current.clone())
        };
        SessionView {
            session: self.session.clone(),
            person: self.holder.person.clone(),
            resource: self.holder.resource.clone(),
            role: self.holder.role.clone(),
            grant: self.holder.grant.clone(),
            started: self.started,
            ends,
            origin: Arc::clone(&self.origin),
            backend_pid,
            state,
            current: current.map(|current| self.action(&current)),
            actions: self.actions.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            bytes_shown: self.shown_len.load(Ordering::Relaxed),
        }
    }
}

/// The live sessions.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    seats: Mutex<HashMap<u32, Arc<Seat>>>,
}

impl Registry {
    fn seats(&self) -> MutexGuard<'_, HashMap<u32, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seats a session made by `make` from a key that no live session has; `None` when the house is full.
    pub(crate) fn seat(
        &self,
        limit: usize,
        secret_len: usize,
        make: impl FnOnce(CancelKey) -> Seat,
    ) -> Option<Arc<Seat>> {
        let mut rng = rand::rng();
        let mut seats = self.seats();
        if seats.len() >= limit {
            return None;
        }
        let mut process: u32 = rng.random_range(1..=0x7fff_ffff);
        while seats.contains_key(&process) {
            process = rng.random_range(1..=0x7fff_ffff);
        }
        let secret = (0..secret_len).map(|_| rng.random()).collect();
        let seat = Arc::new(make(CancelKey { process, secret }));
        seats.insert(process, Arc::clone(&seat));
        Some(seat)
    }

    pub(crate) fn leave(&self, seat: &Seat) {
        self.seats().remove(&seat.key.process);
    }

    /// The session that `key` names. SECURITY: the secret is compared in constant time.
    pub(crate) fn by_key(&self, key: &CancelKey) -> Option<Arc<Seat>> {
        let seat = self.seats().get(&key.process).cloned()?;
        let same_len = seat.key.secret.len() == key.secret.len();
        let differs = seat.key.secret.iter().zip(&key.secret).fold(0, |sum, (a, b)| sum | (a ^ b));
        (same_len && differs == 0).then_some(seat)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Seat>> {
        self.seats().values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats().is_empty()
    }
}

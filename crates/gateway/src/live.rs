//! What can be seen of the sessions from outside: the registry of live ones, and their actions as they happen.
//!
//! Nothing here is evidence: the log is. A subscriber that falls behind loses messages and is told how many.

use std::sync::Arc;

use daypass_access::action::{ClassSet, RiskSet};
use daypass_access::id::{GrantId, PersonId, ResourceId, RoleId, SessionId};
use daypass_access::time::Micros;

/// A live session, as it is now.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its name, in every record of it.
    pub session: SessionId,
    /// Who.
    pub person: PersonId,
    /// Where.
    pub resource: ResourceId,
    /// The role of the grant.
    pub role: RoleId,
    /// The grant the session was opened under.
    pub grant: GrantId,
    /// When it was opened.
    pub started: Micros,
    /// When it ends at the latest, unless extended.
    pub ends: Micros,
    /// Where it came from, `address:port`.
    pub origin: Arc<str>,
    /// Process id of the server process at the target.
    pub backend_pid: u32,
    /// Active or held.
    pub state: SessionState,
    /// The action that runs or is held, when one is; secrets redacted.
    pub current: Option<LiveAction>,
    /// Actions recorded so far.
    pub actions: u64,
    /// Actions denied so far.
    pub denied: u64,
    /// Bytes shown to the person so far.
    pub bytes_shown: u64,
}

/// The state of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Being logged in at the target.
    Opening,
    /// Open.
    Active,
    /// An action waits for a release.
    Held,
}

impl SessionState {
    /// The word used in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Active => "active",
            Self::Held => "held",
        }
    }
}

/// One action, as it happens.
#[derive(Clone, Debug)]
pub struct LiveAction {
    /// The session it happens in.
    pub session: SessionId,
    /// Who.
    pub person: PersonId,
    /// Where.
    pub resource: ResourceId,
    /// The grant the session was opened under: who may see the action is asked of it, also when the session is over.
    pub grant: GrantId,
    /// Its number in the session, from 1.
    pub action: u64,
    /// When.
    pub at: Micros,
    /// What became of it.
    pub kind: LiveKind,
    /// Its verb, for example `select`.
    pub verb: Arc<str>,
    /// Its classes.
    pub classes: ClassSet,
    /// Its risks.
    pub risks: RiskSet,
    /// Its text, secrets redacted, cut to 4 KiB.
    pub text: Arc<str>,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// Recorded and on its way.
    Intent,
    /// Refused by policy.
    Denied,
    /// Waiting for a release.
    Held,
    /// Ended.
    Outcome {
        /// The command tag; empty on error.
        tag: Arc<str>,
        /// The SQLSTATE of an error.
        sqlstate: Option<Arc<str>>,
        /// Rows given or touched.
        rows: u64,
        /// How long it took.
        duration_us: u64,
    },
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client left.
    Client,
    /// The last grant reached its end.
    GrantEnded,
    /// The grant was handed back.
    Returned,
    /// The grant was revoked, or the person suspended.
    Revoked,
    /// The person's tenure ended.
    TenureEnded,
    /// Somebody killed it.
    Killed,
    /// Nothing happened for too long.
    Idle,
    /// The log could not be written.
    AuditUnavailable,
    /// The target left, or broke the protocol.
    Upstream,
    /// The client broke the protocol.
    Error,
    /// The gateway stops.
    Shutdown,
}

impl EndReason {
    /// The word used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::GrantEnded => "grant-ended",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
            Self::TenureEnded => "tenure-ended",
            Self::Killed => "killed",
            Self::Idle => "idle",
            Self::AuditUnavailable => "audit-unavailable",
            Self::Upstream => "upstream",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

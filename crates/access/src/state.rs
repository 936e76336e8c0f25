//! The state of everything: the fold of the control log, and nothing else.
//!
//! [`State::apply`] folds one record in; what can be read is here and in `state/view.rs`. INVARIANT: I18. Nothing here is
//! true because a sweeper ran: every question that depends on time takes `now`.
//!
//! A copy is cheap (shared chunks), so that readers keep one while the next is made.

mod apply;
mod snapshot;
mod table;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{ClassSet, RiskSet};
use crate::fact::{Bound, GrantEnd, GrantOpened, HoldOpened, Narrowing, RequestFiled};
use crate::id::{GrantId, HoldId, LoginId, PassId, PersonId, RequestId, ResourceId, SessionId};
use crate::person::{PersonState, Profile};
use crate::policy::{Files, Policy};
use crate::time::Micros;

pub use apply::ApplyError;
pub use snapshot::SnapshotError;
pub use table::Table;
pub use view::{BlastRadius, PassHolder, PassRefusal, Reach};

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their handle.
    pub id: PersonId,
    /// What decisions need to know.
    pub profile: Profile,
    /// How far they have come.
    pub state: PersonState,
    /// Where the control log has their sealed name and e-mail.
    pub index: u64,
    /// SHA-256 of an invitation code that was not used yet, hex.
    pub invitation_sha256: Option<String>,
    /// First moment at which the code is no longer good.
    pub invitation_ends: Micros,
    /// The highest time step of a one-time password they showed.
    pub factor_step: Option<u64>,
    /// Kinds of factor enrolled.
    pub factors: Vec<String>,
}

/// A login of a person at the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Its name.
    pub id: LoginId,
    /// Whose.
    pub person: PersonId,
    /// SHA-256 of the bearer token, hex.
    pub token_sha256: String,
    /// When it was opened.
    pub opened: Micros,
    /// When the second factor was shown last.
    pub factor_at: Micros,
    /// First moment at which it no longer holds.
    pub ends: Micros,
}

/// What became of a request, as recorded. [`Request::state`] says how it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Waits for its steps.
    Pending,
    /// A grant came of it.
    Approved,
    /// Somebody said no.
    Denied,
    /// The requester took it back.
    Withdrawn,
    /// Nobody decided in time.
    Expired,
}

impl RequestState {
    /// The name used in records and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// Somebody's yes to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The step, from 0.
    pub step: u32,
    /// Who.
    pub by: PersonId,
    /// As what: a team, `manager` or `sponsor`.
    pub through: String,
    /// When.
    pub at: Micros,
    /// What they took away.
    pub narrowed: Option<Narrowing>,
    /// Where the control log has it, with the sealed comment.
    pub index: u64,
}

/// A request for access. Immutable once filed; only what became of it is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// As it was filed.
    pub filed: RequestFiled,
    /// When it was filed.
    pub at: Micros,
    /// Where the control log has it, with the sealed reason.
    pub index: u64,
    /// The approvals so far.
    pub approvals: Vec<Approval>,
    /// What became of it, as recorded.
    pub recorded: RequestState,
    /// Who decided, when somebody did.
    pub decided_by: Option<PersonId>,
    /// When it was decided.
    pub decided_at: Option<Micros>,
    /// The grant that came of it.
    pub grant: Option<GrantId>,
}

impl Request {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.filed.request
    }

    /// How it is at `now`: a pending request past its lifetime is expired, whether or not anybody recorded it (I18).
    #[must_use]
    pub fn state(&self, now: Micros) -> RequestState {
        let late = self.recorded == RequestState::Pending && now >= self.filed.lives_until;
        if late { RequestState::Expired } else { self.recorded }
    }

    /// The step that is open, from 0; `None` when all are satisfied.
    #[must_use]
    pub fn open_step(&self) -> Option<u32> {
        (0_u32..).zip(&self.filed.steps).find_map(|(number, step)| {
            let have = self.approvals.iter().filter(|approval| approval.step == number).count();
            (have < step.count as usize).then_some(number)
        })
    }

    /// What a grant of it would give after everything its approvers took away so far.
    #[must_use]
    pub fn narrowed(&self) -> Narrowed {
        let asked = Narrowed {
            duration_s: self.filed.duration_s,
            classes: self.filed.classes,
            holds: self.filed.holds,
        };
        self.approvals.iter().filter_map(|approval| approval.narrowed.as_ref()).fold(asked, Narrowed::by)
    }
}

/// What is left of a request after narrowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// For how long.
    pub duration_s: u64,
    /// Which classes.
    pub classes: ClassSet,
    /// Which risks wait.
    pub holds: RiskSet,
}

impl Narrowed {
    /// What is left after `narrowing`: never more than before, whatever it says (I8).
    #[must_use]
    pub fn by(self, narrowing: &Narrowing) -> Self {
        Self {
            duration_s: narrowing.duration_s.map_or(self.duration_s, |s| s.min(self.duration_s)),
            classes: narrowing.classes.map_or(self.classes, |c| c.intersection(self.classes)),
            holds: narrowing.holds.map_or(self.holds, |h| h.union(self.holds)),
        }
    }
}

/// How a grant is at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// Its start is to come.
    Scheduled,
    /// It holds.
    Active,
    /// Its time ran out.
    Ended,
    /// Handed back.
    Returned,
    /// Taken away.
    Revoked,
    /// The person's tenure ended.
    TenureEnded,
}

impl GrantState {
    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
            Self::TenureEnded => "tenure-ended",
        }
    }
}

/// Access that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// As it was opened.
    pub opened: GrantOpened,
    /// When the record was made.
    pub at: Micros,
    /// Where the control log has it.
    pub index: u64,
    /// How it ended, as recorded.
    pub ended: Option<Ended>,
    /// The grant that makes it longer, when there is one.
    pub extended_by: Option<GrantId>,
    /// The first grant of its chain.
    pub root: GrantId,
    /// How many grants of its chain come before it.
    pub depth: u32,
    /// Passes made for it so far.
    pub passes: u64,
}

/// How and when a grant ended, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub how: GrantEnd,
    /// When it was recorded.
    pub at: Micros,
    /// Who did it.
    pub by: Option<PersonId>,
    /// Where the control log has it.
    pub index: u64,
}

impl Grant {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &GrantId {
        &self.opened.grant
    }

    /// How it is at `now` by its own times and records; the person's own state comes on top (see [`State::grant_state`]).
    #[must_use]
    pub fn state(&self, now: Micros) -> GrantState {
        match &self.ended {
            Some(ended) => match ended.how {
                GrantEnd::Ended => GrantState::Ended,
                GrantEnd::Returned => GrantState::Returned,
                GrantEnd::Revoked => GrantState::Revoked,
                GrantEnd::TenureEnded => GrantState::TenureEnded,
            },
            None if now >= self.opened.ends && self.opened.bound == Bound::Tenure => GrantState::TenureEnded,
            None if now >= self.opened.ends => GrantState::Ended,
            None if now < self.opened.starts => GrantState::Scheduled,
            None => GrantState::Active,
        }
    }
}

/// A pass that was made and whose grant was not recorded as ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Its name.
    pub id: PassId,
    /// The grant it was made for; it holds for the extensions as well.
    pub grant: GrantId,
    /// Whose.
    pub person: PersonId,
    /// For what.
    pub resource: ResourceId,
    /// SHA-256 of the token, hex.
    pub token_sha256: String,
}

/// How a hold is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum HoldState {
    /// Waits for somebody.
    Waiting,
    /// Somebody let it go on.
    Released {
        /// Who.
        by: PersonId,
        /// When.
        at: Micros,
    },
    /// Somebody refused it.
    Refused {
        /// Who.
        by: PersonId,
        /// When.
        at: Micros,
    },
    /// No longer waiting.
    Dropped {
        /// Why, one word.
        because: String,
    },
}

/// A held action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// As it was opened.
    pub opened: HoldOpened,
    /// When.
    pub at: Micros,
    /// Where the control log has it.
    pub index: u64,
    /// What became of it, as recorded. See [`Hold::state`].
    pub recorded: HoldState,
}

impl Hold {
    /// How it is at `now`: one past its lifetime has lapsed, whether or not anybody recorded it (I18).
    #[must_use]
    pub fn state(&self, now: Micros) -> HoldState {
        if self.recorded == HoldState::Waiting && now >= self.opened.lives_until {
            return HoldState::Dropped { because: "lapsed".to_owned() };
        }
        self.recorded.clone()
    }
}

/// A policy and its text.
#[derive(Clone, Debug, PartialEq)]
struct Pinned {
    files: Arc<Files>,
    policy: Arc<Policy>,
}

/// Everything, at one size of the control log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    size: u64,
    at: Micros,
    people: Arc<BTreeMap<PersonId, Arc<Person>>>,
    policy: Arc<Policy>,
    policy_version: u64,
    /// The policy in force and those that pending requests and live grants are bound to, with their text.
    policies: Arc<BTreeMap<u64, Pinned>>,
    requests: Table<Request>,
    grants: Table<Grant>,
    /// Requests not recorded as decided.
    pending: Arc<BTreeSet<u64>>,
    /// Grants not recorded as ended, by person and resource.
    live: Arc<BTreeMap<(PersonId, ResourceId), Vec<u64>>>,
    /// Logins not recorded as closed, by token hash; old ones go when new ones come.
    logins: Arc<HashMap<String, Arc<Login>>>,
    login_tokens: Arc<BTreeMap<LoginId, String>>,
    logins_opened: u64,
    /// Passes of grants not recorded as ended, by token hash.
    passes: Arc<HashMap<String, Arc<Pass>>>,
    passes_issued: u64,
    holds: Arc<BTreeMap<HoldId, Arc<Hold>>>,
    killed: Arc<BTreeSet<SessionId>>,
    secrets: Arc<BTreeSet<String>>,
    anchors: Arc<BTreeMap<String, Anchor>>,
}

/// The last head of another log that the control log has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Size.
    pub size: u64,
    /// Root, hex.
    pub root: String,
}

impl State {
    /// Number of control records folded in.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The time of the last record.
    #[must_use]
    pub fn at(&self) -> Micros {
        self.at
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its version; 0 when there is none yet.
    #[must_use]
    pub fn policy_version(&self) -> u64 {
        self.policy_version
    }

    /// The text of the policy in force.
    #[must_use]
    pub fn policy_files(&self) -> Option<&Arc<Files>> {
        self.policies.get(&self.policy_version).map(|pinned| &pinned.files)
    }

    /// A policy that is in force, or that a pending request or a live grant is bound to.
    #[must_use]
    pub fn policy_of(&self, version: u64) -> Option<&Arc<Policy>> {
        self.policies.get(&version).map(|pinned| &pinned.policy)
    }

    /// Everybody.
    pub fn people(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.people.values()
    }

    /// Somebody.
    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Arc<Person>> {
        self.people.get(id)
    }

    /// Every request, oldest first.
    #[must_use]
    pub fn requests(&self) -> &Table<Request> {
        &self.requests
    }

    /// A request.
    #[must_use]
    pub fn request(&self, id: &RequestId) -> Option<&Arc<Request>> {
        self.requests.row(id.number()?)
    }

    /// Every grant, oldest first.
    #[must_use]
    pub fn grants(&self) -> &Table<Grant> {
        &self.grants
    }

    /// A grant.
    #[must_use]
    pub fn grant(&self, id: &GrantId) -> Option<&Arc<Grant>> {
        self.grants.row(id.number()?)
    }

    /// Every held action since the founding, by name.
    pub fn holds(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.holds.values()
    }

    /// A held action.
    #[must_use]
    pub fn hold(&self, id: &HoldId) -> Option<&Arc<Hold>> {
        self.holds.get(id)
    }

    /// A login, whether or not it still holds.
    #[must_use]
    pub fn login(&self, id: &LoginId) -> Option<&Arc<Login>> {
        self.login_tokens.get(id).and_then(|token| self.logins.get(token))
    }

    /// Logins not recorded as closed, in no order. Ended ones may be among them.
    pub fn logins(&self) -> impl Iterator<Item = &Arc<Login>> {
        self.logins.values()
    }

    /// Whether a login has that token.
    #[must_use]
    pub fn has_login_token(&self, token_sha256: &str) -> bool {
        self.logins.contains_key(token_sha256)
    }

    /// How many logins there ever were.
    #[must_use]
    pub fn logins_opened(&self) -> u64 {
        self.logins_opened
    }

    /// Whether a pass has that token.
    #[must_use]
    pub fn has_pass_token(&self, token_sha256: &str) -> bool {
        self.passes.contains_key(token_sha256)
    }

    /// How many passes there ever were.
    #[must_use]
    pub fn passes_issued(&self) -> u64 {
        self.passes_issued
    }

    /// Requests not recorded as decided, oldest first. Expired ones may be among them: see [`State::pending_requests`].
    pub fn undecided_requests(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.pending.iter().filter_map(|number| self.requests.row(*number))
    }

    /// Grants not recorded as ended. Ended ones may be among them: see [`State::live_grants`].
    pub fn unended_grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.live.values().flatten().filter_map(|number| self.grants.row(*number))
    }

    /// Holds recorded as waiting. Lapsed ones may be among them: see [`State::waiting_holds`].
    pub fn unfinished_holds(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.holds().filter(|hold| hold.recorded == HoldState::Waiting)
    }

    /// Whether somebody ended that session.
    #[must_use]
    pub fn is_killed(&self, session: &SessionId) -> bool {
        self.killed.contains(session)
    }

    /// Names of the credentials in the vault.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// The last anchored head of another log.
    #[must_use]
    pub fn anchor(&self, log: &str) -> Option<&Anchor> {
        self.anchors.get(log)
    }
}

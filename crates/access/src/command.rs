//! What can be asked of the control plane, and what it says when the answer is no.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::action::{ClassSet, RiskSet};
use crate::fact::{Narrowing, Urgency};
use crate::id::{GrantId, HoldId, LoginId, PersonId, RequestId, ResourceId, RoleId, SessionId};
use crate::person::Profile;
use crate::policy::Files;
use crate::time::Micros;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person, through a login: who they are and how fresh their factor is comes from the state, not from the caller.
    Login(LoginId),
    /// The system itself: its ticker, its gateway, its login page, the machine's console at the founding.
    System,
}

/// A wish, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who asks.
    pub by: Actor,
    /// What for.
    pub ask: Ask,
}

impl Command {
    /// A wish of a person.
    #[must_use]
    pub fn by_login(login: &LoginId, ask: Ask) -> Self {
        Self { by: Actor::Login(login.clone()), ask }
    }

    /// A wish of the system.
    #[must_use]
    pub fn by_system(ask: Ask) -> Self {
        Self { by: Actor::System, ask }
    }
}

/// A person to invite.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPerson {
    /// Their handle.
    pub person: PersonId,
    /// What decisions need to know.
    pub profile: Profile,
    /// Sealed: their name.
    pub name: String,
    /// Sealed: their e-mail address; empty for none.
    pub email: String,
    /// SHA-256 of the invitation code, hex.
    pub invitation_sha256: Option<String>,
}

impl fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPerson")
            .field("person", &self.person)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// What is asked. Texts (`reason`, `comment`, `name`) are personal and get sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Found the installation: first people, first policy. Only the system, only on an empty log.
    Found {
        /// The first people; the policy names one of them as administrator.
        people: Vec<NewPerson>,
        /// The first policy.
        files: Files,
    },
    /// Invite somebody. Administrators.
    Invite(NewPerson),
    /// Make a new invitation code; voids the old one, the factors and the logins. Administrators.
    Reinvite {
        /// Whom.
        person: PersonId,
        /// SHA-256 of the new code, hex.
        invitation_sha256: String,
    },
    /// Somebody came with their invitation code. The system, after it put the factors into the vault.
    Enroll {
        /// Who.
        person: PersonId,
        /// SHA-256 of the code they showed, hex.
        invitation_sha256: String,
        /// Kinds of factor.
        factors: Vec<String>,
    },
    /// Change what decisions know of somebody. Administrators.
    ChangePerson {
        /// Whom.
        person: PersonId,
        /// The whole new profile.
        profile: Profile,
    },
    /// Take everything from somebody. Administrators, those who may kill, and the sponsor.
    Suspend {
        /// Whom.
        person: PersonId,
        /// Why.
        reason: String,
    },
    /// Let somebody ask again. Administrators.
    Restore {
        /// Whom.
        person: PersonId,
    },
    /// Somebody proved who they are. The system.
    OpenLogin {
        /// Who.
        person: PersonId,
        /// SHA-256 of the bearer token, hex.
        token_sha256: String,
        /// The time step of the one-time password they showed.
        factor_step: Option<u64>,
    },
    /// The login's person showed their second factor again. The system, for the login.
    ShowFactor {
        /// In which login.
        login: LoginId,
        /// The time step of the one-time password they showed.
        factor_step: Option<u64>,
    },
    /// End a login.
    CloseLogin {
        /// Which; one's own, or anybody's for administrators.
        login: LoginId,
    },
    /// Somebody failed to prove who they are. The system.
    RefuseLogin {
        /// Who they said they are, when there is such a person.
        person: Option<PersonId>,
        /// From where.
        origin: String,
        /// Why, one word.
        because: String,
    },
    /// Put a policy into effect, whole or not at all. Administrators.
    ApplyPolicy {
        /// The new policy.
        files: Files,
        /// The version it was planned against; refused when another one took effect since.
        planned_on: Option<u64>,
    },
    /// Record that a credential was put into the vault. Administrators.
    SetSecret {
        /// Its name.
        name: String,
    },
    /// Record that a credential was taken out of the vault. Administrators.
    RemoveSecret {
        /// Its name.
        name: String,
    },
    /// Ask for access.
    Request {
        /// To what.
        resource: ResourceId,
        /// In which role; may be left out when only one fits.
        role: Option<RoleId>,
        /// Why.
        reason: String,
        /// For how long; the role's default when left out.
        duration_s: Option<u64>,
        /// From when; at once when left out.
        starts: Option<Micros>,
        /// Only these classes; all of the role's when left out.
        classes: Option<ClassSet>,
        /// How urgent it is.
        urgency: Urgency,
        /// A ticket it belongs to.
        ticket: Option<String>,
    },
    /// Approve the step of a request that is open now.
    Approve {
        /// Which.
        request: RequestId,
        /// What to take away.
        narrow: Option<Narrowing>,
        /// What to say.
        comment: String,
    },
    /// Deny a request: one is enough.
    Deny {
        /// Which.
        request: RequestId,
        /// What to say.
        comment: String,
    },
    /// Take one's own request back.
    Withdraw {
        /// Which.
        request: RequestId,
    },
    /// Make a live grant longer, as a new linked grant.
    Extend {
        /// Which; any of its chain.
        grant: GrantId,
        /// Why; may be empty when policy approves it.
        reason: String,
    },
    /// Hand a grant back before its time.
    Return {
        /// Which.
        grant: GrantId,
    },
    /// Take a grant away. Those who could have approved it, those who may kill, administrators.
    Revoke {
        /// Which.
        grant: GrantId,
    },
    /// Make a pass for one's own live grant.
    IssuePass {
        /// For which.
        grant: GrantId,
        /// SHA-256 of the token, hex.
        token_sha256: String,
    },
    /// End a session. Its own person, those who could have approved its grant, those who may kill, administrators.
    Kill {
        /// Which.
        session: SessionId,
        /// Whose it is.
        person: PersonId,
        /// On what.
        resource: ResourceId,
        /// Under which grant.
        grant: GrantId,
        /// Why.
        reason: String,
    },
    /// An action waits. The system (the gateway).
    OpenHold {
        /// The hold.
        hold: HoldId,
        /// In which session.
        session: SessionId,
        /// The number of the action in the session.
        action: u64,
        /// Under which grant.
        grant: GrantId,
        /// Classes of the action.
        classes: ClassSet,
        /// What made it wait.
        risks: RiskSet,
        /// Binds the hold to the exact action, hex.
        action_commitment: String,
        /// Rows it would touch.
        rows_estimate: Option<u64>,
    },
    /// Let a held action go on.
    ReleaseHold {
        /// Which.
        hold: HoldId,
        /// What to say.
        comment: String,
    },
    /// Refuse a held action.
    RefuseHold {
        /// Which.
        hold: HoldId,
        /// What to say.
        comment: String,
    },
    /// A held action is no longer waiting. The system.
    DropHold {
        /// Which.
        hold: HoldId,
        /// Why, one word.
        because: String,
    },
    /// Record that somebody reads the log. Auditors, administrators, and anybody for what is theirs.
    ReadLog {
        /// Which log.
        log: String,
        /// What kind of reading.
        what: String,
        /// Sealed: what they looked for.
        query: String,
        /// How many records were shown.
        records: u64,
        /// Whose records they asked for.
        about: Option<PersonId>,
    },
    /// Record the head of another log. The system.
    Anchor {
        /// Its name.
        log: String,
        /// Its size.
        size: u64,
        /// Its root, hex.
        root: String,
    },
    /// Record that a torn tail was cut off. The system.
    Recover {
        /// Which log.
        log: String,
        /// Its size after the cut.
        size: u64,
        /// Bytes cut off.
        dropped_len: u64,
    },
    /// Record what time alone has ended. The system; nothing depends on it (I18).
    Sweep,
}

/// Why a command is refused: a code for programs, words for people, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// For programs.
    pub code: Code,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Everything wrong with a policy, for `bad-policy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<crate::policy::PolicyError>,
}

impl Denied {
    pub(crate) fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), policy: Vec::new() }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Denied {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal),+ $(,)?) => {
        /// Why a command is refused, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// The login has ended, or there never was one.
    NotLoggedIn "not-logged-in",
    /// Not allowed, or there is no such thing: the two look the same to who may not know.
    NotAllowed "not-allowed",
    /// There is no such thing.
    Unknown "unknown",
    /// It is there already.
    Exists "exists",
    /// It is not in a state in which that can be done.
    WrongState "wrong-state",
    /// Its time has run out.
    Expired "expired",
    /// I1: nobody approves their own request or releases their own action.
    OwnRequest "own-request",
    /// I2: one person satisfies one step.
    ApprovedAlready "approved-already",
    /// The second factor must be shown again.
    FactorNeeded "factor-needed",
    /// That one-time password was used before.
    FactorReplayed "factor-replayed",
    /// A reason is required.
    ReasonNeeded "reason-needed",
    /// Longer than policy allows.
    TooLong "too-long",
    /// I8: an approver may only narrow.
    NotNarrower "not-narrower",
    /// Several roles fit: say which.
    RoleNeeded "role-needed",
    /// Outside of the person's tenure.
    Tenure "tenure",
    /// Nobody there could approve it.
    NoApprover "no-approver",
    /// The person has it already.
    HaveAlready "have-already",
    /// The policy is wrong; see its errors.
    BadPolicy "bad-policy",
    /// A value is malformed or too large.
    BadValue "bad-value",
    /// Something changed in between: look again.
    Stale "stale",
}

/// Texts from outside are not longer than this.
pub const TEXT_LEN_MAX: usize = 2_000;

/// All files of a policy together are not longer than this, so that a record holds them.
pub const POLICY_LEN_MAX: usize = 48_000;

/// What an accepted command made, for the caller: names of new things, by kind.
pub type Made = BTreeMap<&'static str, String>;

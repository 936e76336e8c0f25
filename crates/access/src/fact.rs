//! What a control record can say: one type for each kind of fact, none with a personal value in it.
//!
//! Field order is part of the format. `by` is the person who did it, `null` when the system did. A field may be added
//! with `#[serde(default)]`; one is never removed, renamed or given another meaning while records say `"v":1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{ClassSet, RiskSet};
use crate::id::{
    GrantId, HoldId, LoginId, PassId, PersonId, RequestId, ResourceId, RoleId, RuleId, SessionId,
};
use crate::person::Profile;
use crate::policy::{Extend, Files, Step};
use crate::time::Micros;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl From<$name> for Fact {
                fn from(fact: $name) -> Self {
                    Self::$name(fact)
                }
            }
        )+

        /// One thing that happened.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Fact {
            $($(#[$doc])* $name($name),)+
        }

        impl Fact {
            /// Every kind of fact there is.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The name of its kind in records.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $kind,)+
                }
            }

            pub(crate) fn write_body(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self {
                    $(Self::$name(fact) => serde_json::to_writer(out, fact),)+
                }
            }

            /// Reads the fields of a fact of that kind; `None` when there is no such kind.
            pub(crate) fn read(kind: &str, record: &[u8]) -> Option<serde_json::Result<Self>> {
                match kind {
                    $($kind => Some(serde_json::from_slice::<$name>(record).map(Self::$name)),)+
                    _ => None,
                }
            }
        }
    };
}

facts! {
    /// Somebody was asked to come. Sealed: `name`, `email`.
    PersonInvited "person-invited" {
        /// Who.
        person: PersonId,
        /// Who asked them; `null` for the first administrator.
        by: Option<PersonId>,
        /// What decisions need to know of them.
        profile: Profile,
        /// SHA-256 of the invitation code, hex; absent when no code was made.
        invitation_sha256: Option<String>,
        /// First moment at which the code is no longer good.
        invitation_ends: Micros,
    }
    /// An administrator made a new invitation code, for example for a lost one. The old code and factors are void.
    PersonReinvited "person-reinvited" {
        /// Who.
        person: PersonId,
        /// Who did it.
        by: Option<PersonId>,
        /// SHA-256 of the invitation code, hex.
        invitation_sha256: String,
        /// First moment at which the code is no longer good.
        invitation_ends: Micros,
    }
    /// Somebody came: their factors are enrolled (they live in the vault).
    PersonEnrolled "person-enrolled" {
        /// Who.
        person: PersonId,
        /// The kinds of factor, for example `password` and `totp`.
        factors: Vec<String>,
    }
    /// What decisions know of somebody was changed. Sealed: `name`, `email`, when they changed.
    PersonChanged "person-changed" {
        /// Who.
        person: PersonId,
        /// Who did it.
        by: Option<PersonId>,
        /// The whole new profile.
        profile: Profile,
    }
    /// Somebody has nothing from here on. Sealed: `reason`.
    PersonSuspended "person-suspended" {
        /// Who.
        person: PersonId,
        /// Who did it.
        by: Option<PersonId>,
    }
    /// Somebody may ask for access again. What they had does not come back.
    PersonRestored "person-restored" {
        /// Who.
        person: PersonId,
        /// Who did it.
        by: Option<PersonId>,
    }
    /// Somebody proved who they are.
    LoginOpened "login-opened" {
        /// The login.
        login: LoginId,
        /// Who.
        person: PersonId,
        /// SHA-256 of the bearer token, hex.
        token_sha256: String,
        /// When the second factor was shown.
        factor_at: Micros,
        /// The time step of the one-time password that was shown: none at or below it is good again.
        factor_step: Option<u64>,
        /// First moment at which it no longer holds.
        ends: Micros,
    }
    /// Somebody showed their second factor again.
    FactorShown "factor-shown" {
        /// In which login.
        login: LoginId,
        /// Who.
        person: PersonId,
        /// The time step of the one-time password that was shown.
        factor_step: Option<u64>,
    }
    /// A login ended before its time.
    LoginClosed "login-closed" {
        /// Which.
        login: LoginId,
        /// Whose.
        person: PersonId,
        /// Who closed it.
        by: Option<PersonId>,
    }
    /// Somebody failed to prove who they are. Sealed: `origin`, from where.
    LoginRefused "login-refused" {
        /// Who they said they are, when there is such a person.
        person: Option<PersonId>,
        /// Why, one word: `password`, `factor`, `unknown`, `throttled`, `suspended`, …
        because: String,
    }
    /// A policy took effect.
    PolicyApplied "policy-applied" {
        /// Counted from 1.
        version: u64,
        /// Who applied it; `null` at the founding.
        by: Option<PersonId>,
        /// Its text, file by file.
        files: Files,
    }
    /// A credential was put into the vault. The value is nowhere but there.
    SecretSet "secret-set" {
        /// Its name.
        name: String,
        /// Who did it.
        by: Option<PersonId>,
    }
    /// A credential was taken out of the vault.
    SecretRemoved "secret-removed" {
        /// Its name.
        name: String,
        /// Who did it.
        by: Option<PersonId>,
    }
    /// Somebody asked for access. Pins everything a grant of it can ever give. Sealed: `reason`; `ticket`, one it belongs
    /// to, as the person wrote it.
    RequestFiled "request-filed" {
        /// The request.
        request: RequestId,
        /// Who asks.
        person: PersonId,
        /// What for.
        resource: ResourceId,
        /// In which role.
        role: RoleId,
        /// For how long, from the start of access.
        duration_s: u64,
        /// When access shall start; `null` for at once.
        starts: Option<Micros>,
        /// How urgent it is.
        urgency: Urgency,
        /// Classes it asks for.
        classes: ClassSet,
        /// Risks that will wait for a release.
        holds: RiskSet,
        /// Name in the vault of the credential it would use.
        credential: String,
        /// Who must approve.
        steps: Vec<Step>,
        /// How its grant may be made longer.
        extend: Option<Extend>,
        /// First moment at which it can no longer be approved (I18).
        lives_until: Micros,
        /// The policy version it is bound to (I13).
        policy: u64,
        /// The grant it makes longer.
        extends: Option<GrantId>,
        /// The rule that let it be asked.
        rule: RuleId,
    }
    /// Somebody approved. Sealed: `comment`.
    RequestApproved "request-approved" {
        /// Which.
        request: RequestId,
        /// The step it counts for, from 0.
        step: u32,
        /// Who.
        by: PersonId,
        /// As what they may: a team, `manager` or `sponsor`.
        through: String,
        /// When they showed their second factor.
        factor_at: Micros,
        /// What they took away.
        narrowed: Option<Narrowing>,
    }
    /// Somebody denied. Sealed: `comment`.
    RequestDenied "request-denied" {
        /// Which.
        request: RequestId,
        /// Who.
        by: PersonId,
    }
    /// The requester took it back.
    RequestWithdrawn "request-withdrawn" {
        /// Which.
        request: RequestId,
        /// Who; the system when the requester lost everything.
        by: Option<PersonId>,
    }
    /// Its lifetime ran out. Only says so: a request past it cannot be approved anyway (I18).
    RequestExpired "request-expired" {
        /// Which.
        request: RequestId,
    }
    /// Access was given.
    GrantOpened "grant-opened" {
        /// The grant.
        grant: GrantId,
        /// The request it answers.
        request: RequestId,
        /// To whom.
        person: PersonId,
        /// To what.
        resource: ResourceId,
        /// In which role.
        role: RoleId,
        /// Classes it allows.
        classes: ClassSet,
        /// Risks that wait for a release.
        holds: RiskSet,
        /// Name in the vault of the credential it uses.
        credential: String,
        /// First moment it holds.
        starts: Micros,
        /// First moment it no longer holds (I3).
        ends: Micros,
        /// What set the end.
        bound: Bound,
        /// The grant it makes longer.
        extends: Option<GrantId>,
        /// Distinct people who approved, in order. Empty when policy approves by itself.
        approvers: Vec<PersonId>,
        /// The rule that let it open.
        rule: RuleId,
    }
    /// Access ended. For `ended` and `tenure-ended` it only says so: the times decide (I18).
    GrantEnded "grant-ended" {
        /// Which.
        grant: GrantId,
        /// How.
        how: GrantEnd,
        /// Who did it; `null` for time.
        by: Option<PersonId>,
    }
    /// A pass was made for a grant.
    PassIssued "pass-issued" {
        /// The pass.
        pass: PassId,
        /// For which grant.
        grant: GrantId,
        /// Whose.
        person: PersonId,
        /// For what.
        resource: ResourceId,
        /// SHA-256 of the token, hex.
        token_sha256: String,
    }
    /// A session was ended by somebody. Sealed: `reason`.
    SessionKilled "session-killed" {
        /// Which.
        session: SessionId,
        /// Whose it was.
        person: PersonId,
        /// On what.
        resource: ResourceId,
        /// Who did it.
        by: Option<PersonId>,
    }
    /// An action waits for somebody's release.
    HoldOpened "hold-opened" {
        /// The hold.
        hold: HoldId,
        /// In which session.
        session: SessionId,
        /// The number of the action in the session.
        action: u64,
        /// Whose.
        person: PersonId,
        /// On what.
        resource: ResourceId,
        /// Under which grant.
        grant: GrantId,
        /// Classes of the action.
        classes: ClassSet,
        /// What made it wait.
        risks: RiskSet,
        /// Binds the hold to the exact action, hex SHA-256 under a secret of the session, so that it hides the text.
        action_commitment: String,
        /// Rows it would touch, as the target estimates.
        rows_estimate: Option<u64>,
        /// First moment at which it can no longer be released.
        lives_until: Micros,
    }
    /// Somebody let a held action go on. Sealed: `comment`.
    HoldReleased "hold-released" {
        /// Which.
        hold: HoldId,
        /// Who.
        by: PersonId,
        /// As what they may: a team, `manager` or `sponsor`.
        through: String,
        /// When they showed their second factor.
        factor_at: Micros,
    }
    /// Somebody refused a held action. Sealed: `comment`.
    HoldRefused "hold-refused" {
        /// Which.
        hold: HoldId,
        /// Who.
        by: PersonId,
    }
    /// A held action is no longer waiting: its person cancelled it, its session ended or nobody came in time.
    HoldDropped "hold-dropped" {
        /// Which.
        hold: HoldId,
        /// Why, one word: `cancelled`, `session-closed`, `lapsed`.
        because: String,
    }
    /// Somebody read the log (I15). Sealed: `query`.
    LogRead "log-read" {
        /// Who.
        by: PersonId,
        /// Which log.
        log: String,
        /// What kind of reading: `search`, `tail`, `show`, `evidence`, `tiles`, `why`, `access`.
        what: String,
        /// How many records were shown.
        records: u64,
        /// Whose records they asked for, when they asked for somebody's.
        about: Option<PersonId>,
    }
    /// The head of another log.
    Anchored "anchored" {
        /// Its name.
        log: String,
        /// Its size.
        size: u64,
        /// Its root, hex.
        root: String,
    }
    /// The log was opened again after a crash, and a torn tail was cut off.
    Recovered "recovered" {
        /// Which log.
        log: String,
        /// Its size after the cut.
        size: u64,
        /// Length of the write that was cut off, bytes.
        dropped_len: u64,
    }
}

/// How urgent a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Any time.
    Low,
    /// Soon.
    #[default]
    Normal,
    /// Something is broken now.
    High,
}

/// What an approver takes away from a request (I8). Only ever narrower.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowing {
    /// Not longer than this.
    pub duration_s: Option<u64>,
    /// Only these classes.
    pub classes: Option<ClassSet>,
    /// These risks wait for a release as well.
    pub holds: Option<RiskSet>,
}

/// What set the end of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The duration that was asked for.
    Asked,
    /// An approver made it shorter.
    Narrowed,
    /// The person's tenure ends.
    Tenure,
    /// The longest extension that policy gives.
    Extension,
}

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantEnd {
    /// Its time ran out.
    Ended,
    /// The person handed it back.
    Returned,
    /// Somebody took it away.
    Revoked,
    /// The person's tenure ended.
    TenureEnded,
}

impl GrantEnd {
    /// The name used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
            Self::TenureEnded => "tenure-ended",
        }
    }
}

/// Values that personal fields are sealed from: `(field, value)`.
pub type PersonalFields = Vec<(&'static str, String)>;

/// Commitments to the personal values of a record; the values are in the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Whose key they are under.
    pub subject: String,
    /// SHA-256 of the sidecar, hex.
    pub sha256: String,
    /// Field to commitment, hex.
    pub fields: BTreeMap<String, String>,
}

//! Activity records: what happened at a target, one log per node. Intent before the act, outcome after it.
//!
//! Same form as control records: `{"v":1,"kind":"intent","at":…,"seq":…, fields …,"sealed":{…}}`. Types borrow, so that
//! writing one on the hot path copies nothing but into the buffer.
//!
//! INVARIANT: I10. Every record of an action carries identity, action, resource, time and its grant; a refused one carries
//! why instead of a grant. Its origin is in the record that opened its session: `session` names it, and a session's
//! actions all come over the one connection it was opened on. A network address is personal, so `origin` is never a member
//! of a record: it is a sealed field (`address:port`) of `session-opened`, `refused` and `cancel`, under the key of the
//! person, or of the subject [`UNKNOWN`] when nobody is known. So is what somebody typed that names no resource.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{ClassSet, RiskSet};
use crate::fact::Sealed;
use crate::pipeline::Gating;
use crate::record::{self, RecordError};
use crate::time::Micros;

pub use crate::record::UNKNOWN;

macro_rules! activities {
    ($($(#[$doc:meta])* $name:ident $kind:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name<'a> {
                $($(#[$meta])* pub $field: $type,)*
            }

            impl $name<'_> {
                /// The name of this kind in records.
                pub const KIND: &'static str = $kind;

                /// Appends the record's bytes to `out`, with `sealed` as its last member.
                pub fn encode<S: Serialize>(&self, at: Micros, seq: u64, sealed: Option<&S>, out: &mut Vec<u8>) {
                    record::open(out, Self::KIND, at, seq);
                    let body = out.len();
                    let written = serde_json::to_writer(&mut *out, self);
                    debug_assert!(written.is_ok(), "an activity is always JSON");
                    record::close(out, body, sealed);
                }
            }
        )+

        /// Any activity.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Activity<'a> {
            $($(#[$doc])* $name($name<'a>),)+
        }

        impl<'a> Activity<'a> {
            /// Every kind there is.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The name of its kind in records.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $kind,)+
                }
            }

            fn read(kind: &str, record: &'a [u8]) -> Option<serde_json::Result<Self>> {
                match kind {
                    $($kind => Some(serde_json::from_slice::<$name<'a>>(record).map(Self::$name)),)+
                    _ => None,
                }
            }
        }
    };
}

activities! {
    /// A session was let in; the target is reached after this is durable. Sealed: `client`, the client's own name for
    /// itself (`application_name`, when it gave one), and `origin`.
    SessionOpened "session-opened" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// Whose.
        #[serde(borrow)] person: Cow<'a, str>,
        /// To what.
        #[serde(borrow)] resource: Cow<'a, str>,
        /// In which role.
        #[serde(borrow)] role: Cow<'a, str>,
        /// Under which grant.
        #[serde(borrow)] grant: Cow<'a, str>,
        /// By which pass.
        #[serde(borrow)] pass: Cow<'a, str>,
        /// Size of the control log it was decided at.
        control: u64,
        /// The deadline it was given (I4).
        ends: Micros,
        /// Which protocol, for example `postgres/3.2`.
        #[serde(borrow)] protocol: Cow<'a, str>,
    }
    /// The target was reached: joins our log to its own.
    TargetReached "target-reached" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// The target's own number for it, for PostgreSQL the backend's process id.
        backend: i64,
        /// Our side of the connection to the target, `address:port`.
        #[serde(borrow)] from: Cow<'a, str>,
        /// Name in the vault of the credential used.
        #[serde(borrow)] credential: Cow<'a, str>,
    }
    /// Somebody was not let in. There is no grant: `because` says why. Sealed: `asked`, what they asked for as they wrote
    /// it, cut to 128 characters, when that is more or other than `resource`; and `origin`.
    Refused "refused" {
        /// The session that would have been.
        #[serde(borrow)] session: Cow<'a, str>,
        /// Who, when the pass was somebody's.
        #[serde(default)] person: Option<Cow<'a, str>>,
        /// What they asked for, when it is a resource that exists.
        #[serde(default)] resource: Option<Cow<'a, str>>,
        /// Size of the control log it was decided at.
        control: u64,
        /// Why, one word.
        #[serde(borrow)] because: Cow<'a, str>,
    }
    /// An action is about to happen. Sealed: `text`, `params`.
    Intent "intent" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// The number of the action in its session, from 1.
        action: u64,
        /// Who.
        #[serde(borrow)] person: Cow<'a, str>,
        /// On what.
        #[serde(borrow)] resource: Cow<'a, str>,
        /// Under which grant.
        #[serde(borrow)] grant: Cow<'a, str>,
        /// Size of the control log it was decided at (I14).
        control: u64,
        /// What it is in one word or two, for example `SELECT`.
        #[serde(borrow)] verb: Cow<'a, str>,
        /// Its classes.
        classes: ClassSet,
        /// Its risks.
        risks: RiskSet,
        /// Proven to change nothing.
        pure_read: bool,
        /// When it had to be durable.
        gate: Gating,
        /// The rule that allowed it.
        #[serde(borrow)] rule: Cow<'a, str>,
        /// The release it waited for, when it was held.
        #[serde(default, skip_serializing_if = "Option::is_none")] hold: Option<Cow<'a, str>>,
    }
    /// An action was refused by a decision. Sealed: `text`, `params`.
    Denied "denied" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// The number of the action in its session.
        action: u64,
        /// Who.
        #[serde(borrow)] person: Cow<'a, str>,
        /// On what.
        #[serde(borrow)] resource: Cow<'a, str>,
        /// Size of the control log it was decided at.
        control: u64,
        /// What it is in one word or two.
        #[serde(borrow)] verb: Cow<'a, str>,
        /// Its classes.
        classes: ClassSet,
        /// Its risks.
        risks: RiskSet,
        /// The classes that were missing; empty when no grant held.
        missing: ClassSet,
        /// The rule that refused it: `no-rule`, or the hold's rule when a release was refused.
        #[serde(borrow)] rule: Cow<'a, str>,
        /// Why, one word: `no-grant`, `not-granted`, `hold-refused`, `hold-lapsed`, …
        #[serde(borrow)] because: Cow<'a, str>,
        /// The hold it waited in, when it was held.
        #[serde(default, skip_serializing_if = "Option::is_none")] hold: Option<Cow<'a, str>>,
    }
    /// An action waits for a release. Sealed: `text`, `params`.
    Held "held" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// The number of the action in its session.
        action: u64,
        /// Who.
        #[serde(borrow)] person: Cow<'a, str>,
        /// On what.
        #[serde(borrow)] resource: Cow<'a, str>,
        /// Under which grant.
        #[serde(borrow)] grant: Cow<'a, str>,
        /// Size of the control log it was decided at.
        control: u64,
        /// What it is in one word or two.
        #[serde(borrow)] verb: Cow<'a, str>,
        /// Its classes.
        classes: ClassSet,
        /// What made it wait.
        risks: RiskSet,
        /// The rule that holds it.
        #[serde(borrow)] rule: Cow<'a, str>,
        /// The hold in the control log.
        #[serde(borrow)] hold: Cow<'a, str>,
    }
    /// What came of an action.
    Outcome "outcome" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// The number of the action in its session.
        action: u64,
        /// `ok`, `error`, `cancelled`, `cut` (the session ended under it).
        #[serde(borrow)] result: Cow<'a, str>,
        /// The target's own word for what it did, for example `UPDATE 3`.
        #[serde(borrow)] tag: Cow<'a, str>,
        /// Rows returned or changed.
        rows: u64,
        /// Bytes of the result.
        bytes: u64,
        /// Bytes that the person sent for it, for a bulk load.
        #[serde(default, skip_serializing_if = "is_zero")] sent: u64,
        /// How long it took, in microseconds, from the decision on.
        took_us: u64,
        /// The target's error code, empty for none.
        #[serde(borrow)] code: Cow<'a, str>,
        /// SHA-256 of bulk data that went either way, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")] data_sha256: Option<Cow<'a, str>>,
    }
    /// A person asked to cancel what runs. Sealed: `origin`.
    Cancel "cancel" {
        /// The session it was for; empty when the key was nobody's.
        #[serde(borrow)] session: Cow<'a, str>,
        /// Whether it was passed on.
        forwarded: bool,
    }
    /// A session ended.
    SessionClosed "session-closed" {
        /// The session.
        #[serde(borrow)] session: Cow<'a, str>,
        /// Whose.
        #[serde(borrow)] person: Cow<'a, str>,
        /// On what.
        #[serde(borrow)] resource: Cow<'a, str>,
        /// Under which grant.
        #[serde(borrow)] grant: Cow<'a, str>,
        /// `client`, `grant-ended`, `revoked`, `tenure-ended`, `offboarded`, `killed`, `idle`, `audit-unavailable`,
        /// `upstream`, `error`.
        #[serde(borrow)] because: Cow<'a, str>,
        /// How many actions it had.
        actions: u64,
        /// Bytes from the target to the person.
        bytes: u64,
        /// How long it lasted, in microseconds.
        took_us: u64,
    }
    /// The log was opened again after a crash, and a torn tail was cut off.
    Recovered "recovered" {
        /// Which log.
        #[serde(borrow)] log: Cow<'a, str>,
        /// Its size after the cut.
        size: u64,
        /// Length of the write that was cut off, bytes.
        dropped_len: u64,
    }
    /// The log is running out of space: new actions are refused, outcomes use the reserve.
    LowSpace "low-space" {
        /// Which log.
        #[serde(borrow)] log: Cow<'a, str>,
        /// Bytes left.
        free_len: u64,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A decoded activity record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityRecord<'a> {
    /// When.
    pub at: Micros,
    /// The node's own count.
    pub seq: u64,
    /// What.
    pub activity: Activity<'a>,
    /// Commitments to its personal values.
    pub sealed: Option<Sealed>,
}

#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    at: Micros,
    seq: u64,
    #[serde(default)]
    sealed: Option<Sealed>,
}

impl<'a> ActivityRecord<'a> {
    /// Reads stored bytes.
    ///
    /// # Errors
    /// Bytes that are no activity record of a known version and kind.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let head: Head<'a> = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.v != record::VERSION {
            return Err(RecordError::Version(head.v));
        }
        let activity = Activity::read(&head.kind, bytes)
            .ok_or_else(|| RecordError::Kind(head.kind.to_string()))?
            .map_err(malformed)?;
        Ok(Self { at: head.at, seq: head.seq, activity, sealed: head.sealed })
    }
}

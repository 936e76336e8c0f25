//! Names of things. One type for each, so that one is never taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the name as it is; what may be a name is checked where names enter (policy, commands).
            #[must_use]
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// A person: staff, contractor, service or agent. A handle, never the name.
    PersonId,
    /// A team of people.
    TeamId,
    /// A resource: what may be accessed.
    ResourceId,
    /// A role: which actions on which resources.
    RoleId,
    /// A request for access, `R-1`.
    RequestId,
    /// A grant, `G-1`.
    GrantId,
    /// A pass, the short-lived credential of a grant, `P-1`.
    PassId,
    /// A login session of a person at the control plane, `L-1`.
    LoginId,
    /// A session at a target, `S-` and 16 hex digits.
    SessionId,
    /// A held action, `H-` and 16 hex digits.
    HoldId,
    /// The rule that decided, for example `role/orders-fix/write` or `no-rule`.
    RuleId,
}

macro_rules! numbered {
    ($($name:ident $prefix:literal),+) => {$(
        impl $name {
            /// The name of number `number`, counted from 1.
            #[must_use]
            pub fn numbered(number: u64) -> Self {
                Self::new(&format!(concat!($prefix, "-{}"), number))
            }

            /// The number in the name; `None` when the name is not of that form.
            #[must_use]
            pub fn number(&self) -> Option<u64> {
                let digits = self.0.strip_prefix(concat!($prefix, "-"))?;
                let number = digits.parse().ok().filter(|number| *number > 0)?;
                (Self::numbered(number).0 == self.0).then_some(number)
            }
        }
    )+};
}

numbered!(RequestId "R", GrantId "G", PassId "P", LoginId "L");

/// Whether `text` may name a person, team, resource or role: 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first.
#[must_use]
pub fn well_formed(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
    let first = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    first && text.len() <= 63 && text.bytes().all(inner)
}

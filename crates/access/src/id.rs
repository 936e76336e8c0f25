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

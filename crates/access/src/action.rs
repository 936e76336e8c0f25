//! What a person is about to do, as the pipeline sees it: protocol-neutral facts.

use serde::{Deserialize, Serialize};

/// A class of action; policy grants classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// Transaction control, harmless settings, listening: part of any grant.
    Session = 0,
    /// Reads data.
    Read = 1,
    /// Changes data.
    Write = 2,
    /// Changes the shape of data: CREATE, ALTER, DROP, TRUNCATE.
    Ddl = 3,
    /// Bulk load through the protocol's copy channel.
    CopyIn = 4,
    /// Bulk export through the protocol's copy channel.
    CopyOut = 5,
    /// Calls code whose effect cannot be seen in the text: CALL, volatile functions, large objects, FunctionCall.
    Call = 6,
    /// A replication connection.
    Replication = 7,
    /// Changes who may do what, runs server-side programs, or could not be understood. The highest class.
    Admin = 8,
}

impl Class {
    /// Every class, lowest first.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::Read,
        Self::Write,
        Self::Ddl,
        Self::CopyIn,
        Self::CopyOut,
        Self::Call,
        Self::Replication,
        Self::Admin,
    ];

    /// The name used in policy, records and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Read => "read",
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::CopyIn => "copy-in",
            Self::CopyOut => "copy-out",
            Self::Call => "call",
            Self::Replication => "replication",
            Self::Admin => "admin",
        }
    }

    /// The class of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// What makes an action risky enough to wait for a second person, when policy says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Risk {
    /// An UPDATE without WHERE.
    UpdateWithoutWhere = 0,
    /// A DELETE without WHERE.
    DeleteWithoutWhere = 1,
    /// DROP of anything.
    Drop = 2,
    /// TRUNCATE.
    Truncate = 3,
    /// GRANT, REVOKE, role membership.
    Grant = 4,
}

impl Risk {
    /// Every risk; also what policy holds when it does not say.
    pub const ALL: [Self; 5] =
        [Self::UpdateWithoutWhere, Self::DeleteWithoutWhere, Self::Drop, Self::Truncate, Self::Grant];

    /// The name used in policy and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UpdateWithoutWhere => "update-without-where",
            Self::DeleteWithoutWhere => "delete-without-where",
            Self::Drop => "drop",
            Self::Truncate => "truncate",
            Self::Grant => "grant",
        }
    }

    /// The risk of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.name() == name)
    }
}

/// A small set of [`Class`] or [`Risk`] values.
macro_rules! bitset {
    ($(#[$doc:meta])* $set:ident of $item:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $set(u16);

        impl $set {
            /// The empty set.
            pub const EMPTY: Self = Self(0);

            /// This set and `item`.
            #[must_use]
            pub const fn with(self, item: $item) -> Self {
                Self(self.0 | 1 << item as u8)
            }

            /// Everything in either set.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// What is in both sets.
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// What is in this set and not in `other`.
            #[must_use]
            pub const fn minus(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Whether `item` is in the set.
            #[must_use]
            pub const fn contains(self, item: $item) -> bool {
                self.0 & 1 << item as u8 != 0
            }

            /// Whether the set is empty.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The items, lowest first.
            pub fn iter(self) -> impl Iterator<Item = $item> {
                $item::ALL.into_iter().filter(move |item| self.contains(*item))
            }
        }

        impl std::fmt::Debug for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_set().entries(self.iter()).finish()
            }
        }

        impl FromIterator<$item> for $set {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                items.into_iter().fold(Self::EMPTY, Self::with)
            }
        }

        impl Serialize for $set {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.iter())
            }
        }

        impl<'de> Deserialize<'de> for $set {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Items;
                impl<'de> serde::de::Visitor<'de> for Items {
                    type Value = $set;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a list of names")
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<$set, A::Error> {
                        let mut set = $set::EMPTY;
                        while let Some(item) = items.next_element::<$item>()? {
                            set = set.with(item);
                        }
                        Ok(set)
                    }
                }
                deserializer.deserialize_seq(Items)
            }
        }
    };
}

bitset! {
    /// A set of classes.
    ClassSet of Class
}
bitset! {
    /// A set of risks.
    RiskSet of Risk
}

impl ClassSet {
    /// The risks that actions of these classes can carry.
    #[must_use]
    pub fn possible_risks(self) -> RiskSet {
        Risk::ALL.into_iter().filter(|risk| !risk.carriers().intersection(self).is_empty()).collect()
    }
}

impl Risk {
    /// The classes an action with this risk can be of.
    #[must_use]
    pub fn carriers(self) -> ClassSet {
        match self {
            Self::UpdateWithoutWhere | Self::DeleteWithoutWhere => ClassSet::EMPTY.with(Class::Write),
            Self::Drop => ClassSet::EMPTY.with(Class::Ddl).with(Class::Admin),
            Self::Truncate => ClassSet::EMPTY.with(Class::Write).with(Class::Ddl),
            Self::Grant => ClassSet::EMPTY.with(Class::Admin),
        }
    }
}

/// What the pipeline needs to know of one action. The text and parameters themselves go into the record, sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Every class the action needs; all of them must be granted.
    pub classes: ClassSet,
    /// What could make it wait for a release.
    pub risks: RiskSet,
    /// Proven to change nothing: it may be forwarded before its record is durable, its result may not be shown.
    pub pure_read: bool,
}

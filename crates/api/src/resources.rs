//! Resources and what one may ask for on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A resource, as the person who asks sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Its name; also the user name of `psql`.
    pub name: String,
    /// `postgres`.
    pub kind: String,
    /// The database behind it.
    pub database: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Asks for a fresh second factor.
    pub sensitive: bool,
    /// Roles the person may ask for on it.
    pub roles: Vec<RoleOffer>,
    /// What the person may do on it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<CurrentAccess>,
}

/// A role that may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleOffer {
    /// Its name.
    pub name: String,
    /// Action classes it allows.
    pub classes: Vec<String>,
    /// Risks that wait for a release.
    pub holds: Vec<String>,
    /// Duration when none is asked for, in seconds.
    pub default_duration_s: u64,
    /// Longest duration for this person, in seconds.
    pub max_duration_s: u64,
    /// Whether a reason must be given.
    pub reason_required: bool,
    /// Approval steps in words, in order; empty: granted at once.
    pub steps: Vec<String>,
}

/// What a person may do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentAccess {
    /// Grants that give it.
    pub grants: Vec<String>,
    /// Action classes allowed.
    pub classes: Vec<String>,
    /// When the last of them ends.
    pub ends_at: u64,
}

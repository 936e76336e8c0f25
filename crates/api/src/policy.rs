//! Policy: check, plan, apply.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/policy/plan` and `POST /v1/policy/apply`: a whole folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFiles {
    /// File name to text: `resources.toml`, `roles.toml`, `teams.toml`, `system.toml`.
    pub files: BTreeMap<String, String>,
    /// Apply only if the version in force is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyInForce {
    /// Its version, from 1.
    pub version: u64,
    /// Its files.
    pub files: BTreeMap<String, String>,
}

/// What would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyPlan {
    /// The version it was compared with.
    pub from_version: u64,
    /// Mistakes; nothing is applied while there is one.
    pub errors: Vec<PolicyProblem>,
    /// Who gains and loses what, in words, one a line: `+ bob may ask for orders-fix on prod-orders`.
    pub changes: Vec<String>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyProblem {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 when it is about the whole file.
    pub line: u64,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A policy was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyApplied {
    /// Its version.
    pub version: u64,
}

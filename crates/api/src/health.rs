//! How the installation is doing: the data of `daypass doctor`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/health`. Without a login only `ok`, `version` and `now` are filled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Whether every check holds.
    pub ok: bool,
    /// The program's version.
    pub version: String,
    /// The server's clock, microseconds.
    pub now: u64,
    /// The logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogHealth>,
    /// Each check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogHealth {
    /// Its origin: the name in its checkpoints.
    pub origin: String,
    /// The verifier key of its signatures.
    pub verifier_key: String,
    /// The path its tiles are served under.
    pub path: String,
    /// Records.
    pub size: u64,
    /// Records durable and under a signed head.
    pub covered: u64,
    /// Syncs since the start.
    pub syncs: u64,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub message: String,
    /// What to do when it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

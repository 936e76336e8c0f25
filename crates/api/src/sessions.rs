//! Sessions and holds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session at a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// `S-…`.
    pub id: String,
    /// Whose.
    pub person: String,
    /// On what.
    pub resource: String,
    /// The grant it runs under.
    pub grant: String,
    /// `opening`, `active`, `held` or `closed`.
    pub status: String,
    /// When it opened.
    pub opened_at: u64,
    /// When it will be cut if nothing changes.
    pub deadline_at: u64,
    /// From where.
    pub origin: String,
    /// Actions so far.
    pub actions: u64,
    /// The action that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The process at the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pid: Option<i64>,
}

/// A held action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// `H-…`.
    pub id: String,
    /// The session that waits.
    pub session: String,
    /// Who waits.
    pub person: String,
    /// Under which grant.
    pub grant: String,
    /// On what.
    pub resource: String,
    /// What makes it wait.
    pub risks: Vec<String>,
    /// The text, when the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Rows it would touch, as the target estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// `waiting`, `released`, `refused` or `abandoned`.
    pub status: String,
    /// Since when.
    pub opened_at: u64,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Whether the reader may decide it.
    pub can_decide: bool,
}

/// Data of an `action` event of `GET /v1/sessions/live`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveAction {
    /// The session it happens in.
    pub session: String,
    /// Who.
    pub person: String,
    /// On what.
    pub resource: String,
    /// Its number in the session, from 1.
    pub action: u64,
    /// When.
    pub at: u64,
    /// `intent`, `denied`, `held` or `outcome`.
    pub kind: String,
    /// What it is in one word, for example `select`.
    pub verb: String,
    /// Its classes.
    pub classes: Vec<String>,
    /// Its risks.
    pub risks: Vec<String>,
    /// Its text, secrets redacted, cut to 4 KiB.
    pub text: String,
    /// Outcome: the command tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Outcome: the SQLSTATE of an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Outcome: rows given or touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Outcome: how long it took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

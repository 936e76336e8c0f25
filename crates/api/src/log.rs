//! Reading the logs: records, why, who had access.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Query of `GET /v1/log/records`. Filters add up; a search result never proves that nothing is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// `control` or `activity`; both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Of which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Under which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// With this action class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Not earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Earlier than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whose opened text contains this, upper and lower case alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Continue after this cursor (`next` of the page before).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Newest first (the default is oldest first).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<bool>,
    /// At most so many records, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Wait up to so many seconds for a first match (to follow), at most 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u64>,
}

/// One record, with what the reader may open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// `control` or the activity log's name.
    pub log: String,
    /// Its position.
    pub index: u64,
    /// When.
    pub at: u64,
    /// Its kind.
    pub kind: String,
    /// The record as stored.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
    /// Personal fields that were opened, by name.
    pub opened: BTreeMap<String, String>,
    /// Personal fields that stay sealed, by name, with `erased`, `withheld` or `not-permitted`.
    pub sealed: BTreeMap<String, String>,
}

/// A page of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordPage {
    /// The records.
    pub items: Vec<Record>,
    /// Where to continue; absent when the logs hold nothing more now and nothing is to be followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the end of the logs was reached.
    pub end: bool,
}

/// `GET /v1/why/{id}`: the chain of records that made something possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// What was asked about: a session, or `session/action`, or a grant.
    pub subject: String,
    /// The chain, first cause first.
    pub steps: Vec<WhyStep>,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyStep {
    /// `control` or the activity log's name.
    pub log: String,
    /// The record's position.
    pub index: u64,
    /// When.
    pub at: u64,
    /// What it says, in words.
    pub words: String,
}

/// `GET /v1/access?resource&at`: who had access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessAt {
    /// On what.
    pub resource: String,
    /// When.
    pub at: u64,
    /// Size of the control log that says so.
    pub control_size: u64,
    /// Who.
    pub people: Vec<AccessHolder>,
}

/// One person's access at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessHolder {
    /// Who.
    pub person: String,
    /// Under which grant.
    pub grant: String,
    /// Under which role.
    pub role: String,
    /// Action classes.
    pub classes: Vec<String>,
    /// From when.
    pub starts_at: u64,
    /// Until when, as it stood at that moment.
    pub ends_at: u64,
    /// Who approved.
    pub approvers: Vec<String>,
}

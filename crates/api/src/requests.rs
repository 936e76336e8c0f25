//! Requests, approvals, grants, passes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hidden::Hidden;

/// `POST /v1/requests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// On what.
    pub resource: String,
    /// Under which role; may be absent when only one can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Why; personal, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long, in seconds; the role's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// When access shall start; at approval when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<u64>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStatus {
    /// Waits for approvals.
    Pending,
    /// Became a grant.
    Approved,
    /// Somebody said no.
    Denied,
    /// Taken back by who asked.
    Withdrawn,
    /// Its lifetime ran out.
    Expired,
}

/// A request: who, what, why, how long, and what it could break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// `R-1`.
    pub id: String,
    /// Who asks.
    pub person: String,
    /// On what.
    pub resource: String,
    /// Under which role.
    pub role: String,
    /// Why; absent when none was given, or the reader may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was filed.
    pub filed_at: u64,
    /// When it expires if nobody decides.
    pub expires_at: u64,
    /// How long access would last, in seconds.
    pub duration_s: u64,
    /// The start that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<u64>,
    /// The policy version it is pinned to.
    pub policy_version: u64,
    /// Action classes it would allow.
    pub classes: Vec<String>,
    /// Risks that would wait for a release.
    pub holds: Vec<String>,
    /// What it could break, in words.
    pub could_break: Vec<String>,
    /// Approval steps, in order.
    pub steps: Vec<Step>,
    /// Whether the reader may approve the open step.
    pub can_approve: bool,
    /// The grant it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// The grant it would extend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Who denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One approval step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Who may satisfy it, in words: `1 of team leads`.
    pub words: String,
    /// People who could satisfy it now.
    pub candidates: Vec<String>,
    /// How many distinct people it needs.
    pub count: u64,
    /// `waiting`, `open`, `satisfied` or `denied`.
    pub status: String,
    /// Approvals so far.
    pub approvals: Vec<Approval>,
}

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// By whom.
    pub person: String,
    /// When.
    pub at: u64,
    /// What they said, when the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `POST /v1/requests/{id}/approve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Approves less than was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow: Option<Narrow>,
    /// Words for who asked; personal, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// A fresh code, when the login's second factor is older than 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<Hidden>,
}

/// Less than was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Narrow {
    /// A shorter duration, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// Fewer classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

/// Body of deny, withdraw, done, revoke, kill and refuse: why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// Why; personal, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A fresh code, when the login's second factor is older than 15 minutes (only where it matters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<Hidden>,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantStatus {
    /// Starts later.
    Scheduled,
    /// Gives access now.
    Active,
    /// Its time ran out.
    Ended,
    /// Handed back early.
    Returned,
    /// Taken away.
    Revoked,
    /// The person's tenure ended.
    TenureEnded,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// `G-1`.
    pub id: String,
    /// The request it came from.
    pub request: String,
    /// Whose.
    pub person: String,
    /// On what.
    pub resource: String,
    /// Under which role.
    pub role: String,
    /// Action classes it allows.
    pub classes: Vec<String>,
    /// Risks that wait for a release.
    pub holds: Vec<String>,
    /// Where it stands.
    pub status: GrantStatus,
    /// When it starts.
    pub starts_at: u64,
    /// When it ends, or ended.
    pub ends_at: u64,
    /// The grant it extends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Who approved.
    pub approvers: Vec<String>,
    /// What an extension would give; absent when none is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<ExtensionOffer>,
    /// Live sessions under it.
    pub sessions: Vec<String>,
}

/// What `POST /v1/grants/{id}/extend` would give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExtensionOffer {
    /// How much longer, in seconds.
    pub by_s: u64,
    /// How many times more.
    pub times_left: u64,
    /// Whether somebody has to approve it.
    pub needs_approval: bool,
}

/// The answer to an extension: the new grant, or the request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Extended {
    /// The request that was filed.
    pub request: String,
    /// The linked grant, when no approval was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// A pass, with everything a client needs to connect. The token is shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pass {
    /// `P-1`.
    pub id: String,
    /// The grant it dies with.
    pub grant: String,
    /// The resource.
    pub resource: String,
    /// The password, `dp_…`.
    pub token: Hidden,
    /// The user name to give: the resource, or `resource/role`.
    pub user: String,
    /// Host of the gateway, as the client knows the API's host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port of the gateway.
    pub port: u16,
    /// The database name to give.
    pub database: String,
    /// When it ends.
    pub ends_at: u64,
    /// The CA that signs the gateway's certificate, PEM; absent when a certificate was given in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

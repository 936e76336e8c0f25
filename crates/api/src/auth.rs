//! Logging in, logging out, enrolling.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hidden::Hidden;

/// `POST /v1/login`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The person's handle.
    pub person: String,
    /// The password.
    pub password: Hidden,
    /// The six digits of the authenticator; each code works once.
    pub totp: Hidden,
}

/// The login session that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginResponse {
    /// `Authorization: Bearer` token, `dl_…`; shown once, kept only as a hash.
    pub token: Hidden,
    /// The login session's id, `L-1`.
    pub login: String,
    /// Who logged in.
    pub person: String,
    /// When the login session ends.
    pub ends_at: u64,
}

/// `POST /v1/enroll`: an invitation becomes a password and a second factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The person's handle.
    pub person: String,
    /// The invitation code, `di_…`; it works once.
    pub code: Hidden,
    /// The new password, at least 12 characters.
    pub password: Hidden,
}

/// The second factor that was made. It is shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrollResponse {
    /// Who is enrolled.
    pub person: String,
    /// The TOTP seed in base32 (RFC 6238: SHA-1, 6 digits, 30 s).
    pub totp_seed: Hidden,
    /// `otpauth://` address for authenticators.
    pub totp_url: Hidden,
}

/// `POST /v1/stepup`: a fresh code makes the login's second factor fresh again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpRequest {
    /// The six digits of the authenticator; each code works once.
    pub totp: Hidden,
}

/// `GET /v1/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// The person's handle.
    pub person: String,
    /// `staff` or `contractor`.
    pub kind: String,
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Teams the person is in.
    pub teams: Vec<String>,
    /// May change people, policy and secrets.
    pub administrator: bool,
    /// May read the logs.
    pub auditor: bool,
    /// May kill sessions and revoke grants of others.
    pub may_kill: bool,
    /// The login session's id.
    pub login: String,
    /// When the login session ends.
    pub login_ends_at: u64,
    /// When the second factor was last given.
    pub factor_at: u64,
    /// When a contractor's tenure ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure_ends_at: Option<u64>,
}

//! People and secrets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hidden::Hidden;

/// Staff or contractor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PersonKind {
    /// An employee.
    Staff,
    /// Somebody of another organisation, with a sponsor and a tenure.
    Contractor,
}

/// `POST /v1/people`: somebody new, who gets an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// The handle: lower-case letters, digits, `-`, `_`, `.`; never the name.
    pub id: String,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// The name; personal, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address; personal, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Staff: who manages them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Contractor: whom they work for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Contractor: who answers for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<String>,
    /// Contractor: when the tenure starts; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure_starts_at: Option<u64>,
    /// Contractor: when the tenure ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure_ends_at: Option<u64>,
    /// Contractor: IANA time zone, `Europe/Paris`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Contractor: working hours, `mon-fri 08:00-18:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// This is a second account of that person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
}

/// What a person needs to enroll. The code is shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Whom it is for.
    pub person: String,
    /// The code, `di_…`; it works once.
    pub code: Hidden,
    /// When it stops working.
    pub ends_at: u64,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The handle.
    pub id: String,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// `invited`, `active`, `suspended`, `offboarded` or `erased`.
    pub status: String,
    /// The name, when the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address, when the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Teams.
    pub teams: Vec<String>,
    /// Staff: the manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Contractor: the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Contractor: the sponsor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<String>,
    /// Contractor: when the tenure starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure_starts_at: Option<u64>,
    /// Contractor: when the tenure ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenure_ends_at: Option<u64>,
    /// Whose second account this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
}

/// `POST /v1/people/{id}/suspend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendRequest {
    /// Why.
    pub reason: String,
}

/// `PUT /v1/secrets/{name}`: the credential of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// The user at the target.
    pub user: String,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Hidden>,
    /// Its client certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_pem: Option<Hidden>,
    /// The key of that certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_pem: Option<Hidden>,
}

/// A secret's name; values never come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretName {
    /// The name that policy's `credential` refers to.
    pub name: String,
}

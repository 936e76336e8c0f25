//! How every refusal and failure looks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, for programs (`code`), for people (`message`), and what to do next (`hint`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable, kebab-case: `unauthenticated`, `factor-too-old`, `not-found`, `denied`, `bad-request`, `throttled`, `busy`, `failed`,
    /// or the code of the rule that denied.
    pub code: String,
    /// Lower case, no full stop.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

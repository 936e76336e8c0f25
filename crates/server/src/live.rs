//! The live sessions, as the API shows them: a thin view of the gateway. Evidence is the log's.

use axum::response::Response;
use daypass_api::sessions::Session;

use crate::app::Caller;
use crate::problem::Problem;

/// The gateway's live sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live;

impl Live {
    /// Every live session.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        Vec::new()
    }

    /// The text of the action that a session holds, secrets redacted.
    pub(crate) fn held_text(&self, _session: &str) -> Option<String> {
        None
    }

    /// Actions as they happen.
    pub(crate) fn events(&self, _caller: Caller) -> Result<Response, Problem> {
        Err(Problem::not_found("live session"))
    }
}

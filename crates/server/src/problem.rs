//! Every refusal and failure of the API, in words. The one place that turns errors into answers.
//!
//! SECURITY: what is ours to fix is logged for operators and told to nobody; what is not allowed and what does not exist
//! look the same to those who may not know.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daypass_access::command::{Code, Denied};
use daypass_api::error::{ErrorBody, ErrorDetail};
use daypass_control::SubmitError;
use daypass_journal::AppendError;

/// A burst is over after so many seconds.
const BUSY_S: u64 = 1;
/// Making room takes a person; asking more often than every so many seconds helps nobody.
const NO_SPACE_S: u64 = 30;

/// An answer that is not 2xx.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, retry_after_s: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not-logged-in", "you are not logged in, or the login has ended")
            .hint("daypass login")
    }

    /// The one answer to an unknown person, a wrong password and a wrong code.
    pub(crate) fn login_refused() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "login-refused", "person, password or code is wrong")
            .hint("each code works once: wait for the next one")
    }

    pub(crate) fn throttled(wait_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "too many failed attempts")
            .hint(format!("try again in {wait_s} s"))
            .again_in(wait_s)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-request", message)
    }

    pub(crate) fn not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not-allowed", "that is not yours to do")
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown",
            format!("there is no such {what}, or it is not yours to see"),
        )
    }

    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the server is busy")
            .hint("try again in a moment")
            .again_in(BUSY_S)
    }

    /// The log has no room for this kind of record: taking access away still works, giving it does not.
    fn no_space() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-space",
            "the log has no room for this, so it is not done",
        )
        .hint("an administrator makes room on the server's disk (`daypass doctor`); then try again")
        .again_in(NO_SPACE_S)
    }

    fn again_in(mut self, wait_s: u64) -> Self {
        self.retry_after_s = Some(wait_s);
        self
    }

    /// Our fault: logged here, told as `failed`.
    pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            why = format!("{why}: {error}");
            source = error.source();
        }
        tracing::error!(error = why, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the server could not do it")
            .hint("daypass doctor; the server's own log says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let detail = ErrorDetail { code: self.code.to_owned(), message: self.message, hint: self.hint };
        let mut response = (self.status, axum::Json(ErrorBody { error: detail })).into_response();
        if let Some(wait_s) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let status = match denied.code {
            Code::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Code::NotAllowed
            | Code::OwnRequest
            | Code::FactorNeeded
            | Code::FactorReplayed
            | Code::Tenure => StatusCode::FORBIDDEN,
            Code::Unknown => StatusCode::NOT_FOUND,
            Code::Exists
            | Code::WrongState
            | Code::Expired
            | Code::ApprovedAlready
            | Code::HaveAlready
            | Code::Stale => StatusCode::CONFLICT,
            Code::ReasonNeeded
            | Code::TooLong
            | Code::NotNarrower
            | Code::RoleNeeded
            | Code::NoApprover
            | Code::BadPolicy
            | Code::BadValue => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut message = denied.message;
        for error in denied.policy.iter().map(ToString::to_string) {
            if !message.contains(&error) {
                message = format!("{message}\n{error}");
            }
        }
        let problem = Self::new(status, denied.code.name(), message);
        if denied.hint.is_empty() { problem } else { problem.hint(denied.hint) }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Denied(denied) => denied.into(),
            SubmitError::Busy | SubmitError::Log(AppendError::Busy) => Self::busy(),
            SubmitError::Log(AppendError::NoSpace) => Self::no_space(),
            error @ (SubmitError::Closed
            | SubmitError::Log(_)
            | SubmitError::Vault(_)
            | SubmitError::Form
            | SubmitError::Broken(_)) => Self::failed(&error),
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::failed(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_take_more_now_says_when_to_come_back() {
        for (error, code, wait_s) in [
            (SubmitError::Busy, "busy", "1"),
            (SubmitError::Log(AppendError::Busy), "busy", "1"),
            (SubmitError::Log(AppendError::NoSpace), "no-space", "30"),
        ] {
            let problem = Problem::from(error);
            assert_eq!(problem.code, code);
            assert!(problem.hint.is_some());
            let response = problem.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), wait_s);
        }
        for error in [SubmitError::Closed, SubmitError::Form, SubmitError::Log(AppendError::Closed)] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(response.headers().get(header::RETRY_AFTER), None, "waiting does not help");
        }
    }
}

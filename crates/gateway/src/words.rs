//! What a person is told when their session ends.

use daypass_pg::error::{Report, Severity, SqlState};

use crate::live::EndReason;

pub(crate) fn audit_unavailable() -> Report<'static> {
    Report {
        severity: Severity::Fatal,
        code: SqlState::IO_ERROR,
        message: "the session cannot go on: the log cannot take records, and nothing happens unrecorded",
        detail: "",
        hint: "tell whoever runs the gateway: `daypass doctor` shows the space left",
    }
}

/// The last words of a session; `None` when there is nobody to tell.
pub(crate) fn end(reason: EndReason) -> Option<Report<'static>> {
    let ended = |message, hint| {
        let (severity, code) = (Severity::Fatal, SqlState::ADMIN_SHUTDOWN);
        Some(Report { severity, code, message, detail: "", hint })
    };
    let again = "ask for access again: daypass request RESOURCE, or daypass connect RESOURCE";
    match reason {
        EndReason::Client => None,
        EndReason::GrantEnded => ended("terminating session: your access has ended", again),
        EndReason::Returned => ended("terminating session: your access was handed back", again),
        EndReason::Revoked => ended("terminating session: your access was revoked", again),
        EndReason::TenureEnded => ended("terminating session: your tenure has ended", "talk to your sponsor"),
        EndReason::Killed => {
            ended("terminating session: it was ended by somebody who may do so", "talk to whoever watches it")
        }
        EndReason::Shutdown => ended("terminating session: the gateway stops", "connect again in a moment"),
        EndReason::Idle => Some(Report {
            severity: Severity::Fatal,
            code: SqlState::IDLE_SESSION_TIMEOUT,
            message: "terminating session: nothing happened for too long",
            detail: "",
            hint: "connect again; your access may still hold",
        }),
        EndReason::AuditUnavailable => Some(audit_unavailable()),
        EndReason::Upstream => Some(Report {
            severity: Severity::Fatal,
            code: SqlState::CONNECTION_FAILURE,
            message: "terminating session: the target closed the connection",
            detail: "",
            hint: "connect again",
        }),
        EndReason::Error => Some(Report {
            severity: Severity::Fatal,
            code: SqlState::PROTOCOL_VIOLATION,
            message: "terminating session: the protocol was violated",
            detail: "",
            hint: "this is a fault of the client program",
        }),
    }
}

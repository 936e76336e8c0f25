//! What the person is told by the gateway itself.

use daypass_access::action::RiskSet;
use daypass_access::id::ResourceId;
use daypass_access::pipeline::{Because, Denied};

use crate::error::{Report, Severity, SqlState};

/// A report with its own text.
#[derive(Clone, Debug)]
pub(super) struct Words {
    severity: Severity,
    code: SqlState,
    message: String,
    detail: String,
    hint: String,
}

impl Words {
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            severity: self.severity,
            code: self.code,
            message: &self.message,
            detail: &self.detail,
            hint: &self.hint,
        }
    }
}

fn error(code: SqlState, message: String, detail: String, hint: String) -> Words {
    Words { severity: Severity::Error, code, message, detail, hint }
}

/// Policy says no.
pub(super) fn denied(denied: &Denied, resource: &ResourceId) -> Words {
    let (message, hint) = match denied.because {
        Because::NoGrant => (
            format!("denied: no grant on `{resource}` holds now"),
            format!("ask for access again: daypass request {resource}"),
        ),
        Because::NotGranted(classes) => {
            let names: Vec<_> = classes.iter().map(|class| format!("`{}`", class.name())).collect();
            (
                format!("denied: {} is not granted to you on `{resource}`", names.join(", ")),
                format!(
                    "ask for a role that allows it: daypass resources {resource}, then daypass request {resource} --role ROLE"
                ),
            )
        }
    };
    let detail = format!("decided by rule `{}`; recorded", denied.rule);
    error(SqlState::INSUFFICIENT_PRIVILEGE, message, detail, hint)
}

/// A name that cannot be told apart from others for certain.
pub(super) fn odd_name() -> Words {
    let hint = "name statements and portals in plain ASCII".to_owned();
    error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        "denied: a name that is not ASCII".to_owned(),
        String::new(),
        hint,
    )
}

/// A held action was not let through.
pub(super) fn not_released(why: &str) -> Words {
    let hint = "the session goes on; narrow the statement, or talk to whoever refused it".to_owned();
    error(SqlState::INSUFFICIENT_PRIVILEGE, format!("not released: {why}"), String::new(), hint)
}

/// The person gave a held action up.
pub(super) fn cancelled() -> Words {
    let message = "canceling statement due to user request, while it was held".to_owned();
    error(SqlState::QUERY_CANCELED, message, String::new(), String::new())
}

/// More names or text than a session keeps.
pub(super) fn too_much() -> Words {
    error(
        SqlState::LIMIT_EXCEEDED,
        "too many prepared statements in one session".to_owned(),
        String::new(),
        "close those that are no longer used, or reconnect".to_owned(),
    )
}

/// An action waits.
pub(super) fn held(risks: RiskSet) -> Words {
    let names: Vec<_> = risks.iter().map(|risk| risk.name().replace('-', " ")).collect();
    Words {
        severity: Severity::Notice,
        code: SqlState::SUCCESS,
        message: format!("held: {} waits until somebody else releases it", names.join(", ")),
        detail: String::new(),
        hint: "the people who approve have been told; cancel (Ctrl-C in psql) to give it up".to_owned(),
    }
}

/// A statement of that name was never prepared through this session.
pub(super) fn no_such_statement(name: &[u8]) -> Words {
    let message = format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name));
    error(SqlState(*b"26000"), message, String::new(), String::new())
}

/// A portal of that name was never bound through this session.
pub(super) fn no_such_portal(name: &[u8]) -> Words {
    let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
    error(SqlState(*b"34000"), message, String::new(), String::new())
}

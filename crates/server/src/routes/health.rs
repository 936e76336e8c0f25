//! How the installation is doing, the CA, and the description of this API.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use daypass_api::health::{Check, Health, LogHealth};
use daypass_journal::Journal;
use daypass_ledger::note::VerifierKey;
use daypass_vault::namespace;

use crate::app::{App, Caller, Json, Shared};
use crate::problem::Problem;

/// Whether everything works. Without a login only `ok`, `version` and `now`; details for those who are logged in.
#[utoipa::path(get, path = "/v1/health", tag = "health", responses((status = 200, body = Health)), security((), ("login" = [])))]
pub(crate) async fn health(State(app): State<Shared>, request: Request) -> Result<Json<Health>, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &app).await.ok();
    let logs = vec![
        log("control", app.controller.journal(), &app.controller.verifier_key()),
        log("activity", &app.activity, &app.activity_key),
    ];
    let checks = checks(&app);
    let ok = checks.iter().all(|check| check.ok);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let now = app.now().0;
    Ok(Json(match caller {
        Some(_) => Health { ok, version, now, logs, checks },
        None => Health { ok, version, now, logs: Vec::new(), checks: Vec::new() },
    }))
}

fn log(name: &str, journal: &Journal, key: &VerifierKey) -> LogHealth {
    LogHealth {
        origin: key.name().to_owned(),
        verifier_key: key.to_string(),
        path: format!("/log/{name}/"),
        size: journal.size(),
        covered: journal.covered().size(),
        syncs: journal.stats().syncs,
    }
}

fn checks(app: &App) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, journal) in [("control", app.controller.journal()), ("activity", &app.activity)] {
        let space = journal.space();
        checks.push(Check {
            name: format!("space-{name}"),
            ok: !space.is_low(),
            message: format!("{} bytes are preallocated for the {name} log", space.free),
            hint: space
                .is_low()
                .then(|| "make room on the disk: new actions are refused until then".to_owned()),
        });
    }
    let state = app.controller.state();
    let known = app.vault.names(namespace::TARGET);
    let missing: Vec<String> = state
        .policy()
        .resources
        .values()
        .map(|resource| resource.credential.clone())
        .filter(|credential| !known.contains(credential))
        .collect();
    checks.push(Check {
        name: "credentials".to_owned(),
        ok: missing.is_empty(),
        message: if missing.is_empty() {
            "the vault holds the credential of every resource".to_owned()
        } else {
            format!("the vault holds no credential named {}", missing.join(", "))
        },
        hint: (!missing.is_empty()).then(|| "daypass secret set NAME".to_owned()),
    });
    let anchored = state.anchor("activity").map_or(0, |anchor| anchor.size);
    checks.push(Check {
        name: "anchor".to_owned(),
        ok: true,
        message: format!("the control log has anchored {anchored} records of the activity log"),
        hint: None,
    });
    checks
}

/// The CA that signs the server's certificate, for people's machines.
#[utoipa::path(get, path = "/v1/ca.pem", tag = "health", responses((status = 200, content_type = "application/x-pem-file", body = String)))]
pub(crate) async fn ca_pem(State(app): State<Shared>) -> Result<Response, Problem> {
    let pem = app.ca_pem.clone().ok_or_else(|| Problem::not_found("CA"))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"))], pem).into_response())
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "health", responses((status = 200, content_type = "application/json", body = String)))]
pub(crate) async fn openapi() -> Result<Response, Problem> {
    let text = crate::openapi::text().map_err(|error| Problem::failed(&error))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response())
}

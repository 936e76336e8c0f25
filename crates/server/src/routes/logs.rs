//! Reading the logs. INVARIANT: I15. Every reading is a record before anything is shown (`reading.rs`).

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use daypass_access::id::{GrantId, PersonId, ResourceId};
use daypass_access::time::Micros;
use daypass_api::log::{AccessAt, AccessHolder, Record, RecordPage, RecordQuery, Why};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::{App, Asked, Caller, Json, Path, Shared};
use crate::problem::Problem;
use crate::reading::reads;
use crate::records::{self, Cursor, Found, Named};
use crate::routes::requests::WAIT_S_MAX;
use crate::routes::views;
use crate::why;

fn both(app: &App) -> [Named; 2] {
    [
        Named { name: daypass_control::LOG, journal: app.controller.journal().clone() },
        Named { name: "activity", journal: app.activity.clone() },
    ]
}

/// Runs what blocks on the disk off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::failed(&error))?
}

/// Records of both logs, in time order. Auditors and administrators; everybody for their own.
#[utoipa::path(get, path = "/v1/log/records", tag = "log", params(RecordQuery), responses((status = 200, body = RecordPage)), security(("login" = [])))]
pub(crate) async fn records(
    State(app): State<Shared>,
    caller: Caller,
    Asked(mut query): Asked<RecordQuery>,
) -> Result<Json<RecordPage>, Problem> {
    if !caller.is_auditor() {
        match &query.person {
            Some(person) if *person != caller.person.as_str() => return Err(Problem::not_allowed()),
            Some(_) | None => query.person = Some(caller.person.to_string()),
        }
    }
    let after = query.after.as_deref().map(|text| {
        Cursor::parse(text).ok_or_else(|| Problem::bad_request("`after` is a cursor of an earlier page"))
    });
    let mut cursor = after.transpose()?;
    let wait = Duration::from_secs(query.wait_s.unwrap_or(0).min(WAIT_S_MAX));
    let follow = query.wait_s.is_some();
    let deadline = tokio::time::sleep(wait);
    let mut deadline = std::pin::pin!(deadline);
    let found = loop {
        let sizes = (app.controller.journal().covered().size(), app.activity.covered().size());
        let (logs, vault, asked) = (both(&app), app.vault.clone(), query.clone());
        let found = blocking(move || Ok(records::find(&logs, &vault, &asked, cursor, follow)?)).await?;
        if !found.items.is_empty() || !found.end || query.newest == Some(true) {
            break found;
        }
        cursor = Some(found.next);
        let (control, activity) = (app.controller.journal().clone(), app.activity.clone());
        tokio::select! {
            () = &mut deadline => break found,
            _ = control.until_covered(sizes.0) => {}
            _ = activity.until_covered(sizes.1) => {}
        }
    };
    let Found { items, next, end } = found;
    if !follow || !items.is_empty() {
        let what = if follow { "tail" } else { "search" };
        let asked = serde_json::to_string(&query).unwrap_or_default();
        let about = query.person.as_deref().map(PersonId::new);
        reads(&app, &caller, query.log.as_deref().unwrap_or("all"), what, asked, items.len(), about).await?;
    }
    let next = (!end || follow).then(|| next.text());
    Ok(Json(RecordPage { items, next, end }))
}

/// One record.
#[utoipa::path(get, path = "/v1/log/records/{log}/{index}", tag = "log", params(("log" = String, Path), ("index" = u64, Path)), responses((status = 200, body = Record)), security(("login" = [])))]
pub(crate) async fn record(
    State(app): State<Shared>,
    caller: Caller,
    Path((log, index)): Path<(String, u64)>,
) -> Result<Json<Record>, Problem> {
    let named = both(&app).into_iter().find(|named| named.name == log);
    let named = named.ok_or_else(|| Problem::not_found("log"))?;
    let vault = app.vault.clone();
    let found = blocking(move || {
        let stored = named.journal.read(index, 1)?.into_iter().find(|stored| stored.index == index);
        let Some(stored) = stored else { return Ok(None) };
        let body = serde_json::from_slice(&stored.leaf).map_err(|error| Problem::failed(&error))?;
        Ok(Some(records::show(&vault, named.name, &stored, body)))
    });
    let record = found.await?;
    let whose =
        record.as_ref().and_then(|record| record.body.get("person")).and_then(|person| person.as_str());
    let about = whose.map(PersonId::new);
    if !caller.is_auditor() && about.as_ref() != Some(&caller.person) {
        return Err(Problem::not_found("record"));
    }
    reads(&app, &caller, &log, "show", index.to_string(), usize::from(record.is_some()), about).await?;
    record.map(Json).ok_or_else(|| Problem::not_found("record"))
}

/// Why a session, an action (`S-…/3`), a grant or a request was possible. Auditors, administrators, and whose it is.
#[utoipa::path(get, path = "/v1/why/{id}", tag = "log", params(("id" = String, Path)), responses((status = 200, body = Why)), security(("login" = [])))]
pub(crate) async fn why(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Why>, Problem> {
    let (state, activity, asked) = (app.controller.state(), app.activity.clone(), id.clone());
    let vault = app.vault.clone();
    let subject = blocking(move || Ok(why::subject(&state, &activity, &vault, &asked)?)).await?;
    let subject = subject.filter(|subject| caller.is_auditor() || subject.person == caller.person);
    let subject = subject.ok_or_else(|| Problem::not_found("session, action, grant or request"))?;
    let about = Some(subject.person.clone());
    let answer = why::why(&app.controller.state(), &id, subject);
    reads(&app, &caller, "all", "why", id, answer.steps.len(), about).await?;
    Ok(Json(answer))
}

/// Which resource, and when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccessQuery {
    /// The resource.
    resource: String,
    /// When, in microseconds since the epoch; now when absent.
    at: Option<u64>,
}

/// Who had access to a resource at a moment. Auditors and administrators.
#[utoipa::path(get, path = "/v1/access", tag = "log", params(AccessQuery), responses((status = 200, body = AccessAt)), security(("login" = [])))]
pub(crate) async fn access(
    State(app): State<Shared>,
    caller: Caller,
    Asked(query): Asked<AccessQuery>,
) -> Result<Json<AccessAt>, Problem> {
    if !caller.is_auditor() {
        return Err(Problem::not_allowed());
    }
    let at = query.at.map_or(caller.now, Micros);
    if at > caller.now {
        return Err(Problem::bad_request("`at` is in the future"));
    }
    let controller = app.controller.clone();
    let state = blocking(move || controller.at(at).map_err(|error| Problem::failed(&error))).await?;
    let resource = ResourceId::new(&query.resource);
    let mut people = Vec::new();
    for (person, grants) in state.who_has_access(&resource, at) {
        people.extend(grants.iter().map(|grant| AccessHolder {
            person: person.to_string(),
            grant: grant.opened.grant.to_string(),
            role: grant.opened.role.to_string(),
            classes: views::classes(grant.opened.classes),
            starts_at: grant.opened.starts.0,
            ends_at: grant.opened.ends.0,
            approvers: grant.opened.approvers.iter().map(ToString::to_string).collect(),
        }));
    }
    let asked = format!("{} at {}", query.resource, at.0);
    reads(&app, &caller, daypass_control::LOG, "access", asked, people.len(), None).await?;
    Ok(Json(AccessAt { resource: query.resource, at: at.0, control_size: state.size(), people }))
}

/// Everything that proves what was done under a grant, as one file. Auditors and administrators.
#[utoipa::path(get, path = "/v1/evidence/grants/{id}", tag = "log", params(("id" = String, Path)), responses((status = 200, content_type = "application/zip", body = Vec<u8>)), security(("login" = [])))]
pub(crate) async fn evidence(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    if !caller.is_auditor() {
        return Err(Problem::not_allowed());
    }
    let grant = GrantId::new(&id);
    let opened = caller.state.grant(&grant).ok_or_else(|| Problem::not_found("grant"))?;
    let about = Some(opened.opened.person.clone());
    let built = crate::evidence::of_grant(&app, &grant).await?;
    reads(&app, &caller, "all", "evidence", id.clone(), built.records, about).await?;
    let name = format!("attachment; filename=\"daypass-{id}.evidence.zip\"");
    let name = HeaderValue::from_str(&name).map_err(|error| Problem::failed(&error))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, built.zip).into_response())
}

//! Grants: look, extend, hand back, revoke, make passes.

use axum::extract::State;
use daypass_access::command::Ask;
use daypass_access::fact::Fact;
use daypass_access::id::GrantId;
use daypass_access::state::GrantState;
use daypass_api::List;
use daypass_api::requests::{Because, Extended, Grant, Pass};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::{App, Asked, Caller, Json, Path, Shared};
use crate::login::token;
use crate::problem::Problem;
use crate::routes::{requests, views};

/// Which grants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GrantQuery {
    /// `true`: also those that ended.
    all: Option<bool>,
    /// `true`: only the reader's own.
    mine: Option<bool>,
    /// At most so many, newest first; 100 when absent, at most 1000.
    limit: Option<u64>,
}

/// Grants the reader may see, newest first; those that ended only when asked for.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", params(GrantQuery), responses((status = 200, body = List<Grant>)), security(("login" = [])))]
pub(crate) async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Asked(query): Asked<GrantQuery>,
) -> Result<Json<List<Grant>>, Problem> {
    let limit = usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(100);
    let live = |state| matches!(state, GrantState::Active | GrantState::Scheduled);
    let grants = caller.state.grants().iter().rev();
    let items = grants
        .filter(|grant| query.all == Some(true) || live(caller.state.grant_state(grant, caller.now)))
        .filter(|grant| query.mine != Some(true) || grant.opened.person == caller.person)
        .filter(|grant| views::sees_grant(&caller, grant))
        .take(limit)
        .map(|grant| views::grant(&app, &caller.state, grant, caller.now))
        .collect();
    Ok(Json(List { items }))
}

fn after(app: &App, id: &GrantId) -> Result<Json<Grant>, Problem> {
    let state = app.controller.state();
    let grant = state.grant(id).ok_or_else(|| Problem::not_found("grant"))?;
    Ok(Json(views::grant(app, &state, grant, app.now())))
}

/// Makes a live grant longer: at once, or as a request, as policy says. Live sessions move over.
#[utoipa::path(post, path = "/v1/grants/{id}/extend", tag = "grants", params(("id" = String, Path)), request_body = Because, responses((status = 200, body = Extended)), security(("login" = [])))]
pub(crate) async fn extend(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Because>,
) -> Result<Json<Extended>, Problem> {
    app.step_up(&caller, body.totp.as_ref().map(|code| code.expose())).await?;
    let ask = Ask::Extend { grant: GrantId::new(&id), reason: body.reason.unwrap_or_default() };
    let outcome = app.controller.submit(caller.asks(ask)).await?;
    let request =
        outcome.facts().find_map(requests::match_filed).ok_or_else(|| Problem::not_found("grant"))?;
    let opened = outcome.facts().find_map(|fact| {
        if let Fact::GrantOpened(opened) = fact { outcome.state.grant(&opened.grant) } else { None }
    });
    let grant = opened.map(|grant| views::grant(&app, &outcome.state, grant, app.now()));
    Ok(Json(Extended { request: request.to_string(), grant }))
}

/// Hands a grant back before its time.
#[utoipa::path(post, path = "/v1/grants/{id}/done", tag = "grants", params(("id" = String, Path)), responses((status = 200, body = Grant)), security(("login" = [])))]
pub(crate) async fn done(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Grant>, Problem> {
    let id = GrantId::new(&id);
    app.controller.submit(caller.asks(Ask::Return { grant: id.clone() })).await?;
    after(&app, &id)
}

/// Takes a grant away; its sessions are cut within a second.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", tag = "grants", params(("id" = String, Path)), responses((status = 200, body = Grant)), security(("login" = [])))]
pub(crate) async fn revoke(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Grant>, Problem> {
    let id = GrantId::new(&id);
    app.controller.submit(caller.asks(Ask::Revoke { grant: id.clone() })).await?;
    after(&app, &id)
}

/// Makes a pass for one's own live grant. The token is shown once.
#[utoipa::path(post, path = "/v1/grants/{id}/passes", tag = "grants", params(("id" = String, Path)), responses((status = 200, body = Pass)), security(("login" = [])))]
pub(crate) async fn pass(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Pass>, Problem> {
    let token = token::make("dp_");
    let ask = Ask::IssuePass { grant: GrantId::new(&id), token_sha256: hex::encode(token.sha256) };
    let outcome = app.controller.submit(caller.asks(ask)).await?;
    let issued = outcome
        .facts()
        .find_map(|fact| if let Fact::PassIssued(issued) = fact { Some(issued) } else { None });
    let issued = issued.ok_or_else(|| Problem::not_found("grant"))?;
    let grant = outcome.state.grant(&issued.grant).ok_or_else(|| Problem::not_found("grant"))?;
    let resource = outcome.state.policy().resources.get(&issued.resource);
    Ok(Json(Pass {
        id: issued.pass.to_string(),
        grant: issued.grant.to_string(),
        resource: issued.resource.to_string(),
        token: token.text,
        user: format!("{}/{}", issued.resource, grant.opened.role),
        host: app.postgres_host.clone(),
        port: app.postgres_port,
        database: resource.map(|resource| resource.database.clone()).unwrap_or_default(),
        ends_at: grant.opened.ends.0,
        ca_pem: app.ca_pem.clone(),
    }))
}

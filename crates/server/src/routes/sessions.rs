//! Live sessions and holds.

use axum::extract::State;
use axum::response::Response;
use daypass_access::command::Ask;
use daypass_access::id::{GrantId, HoldId, PersonId, ResourceId, SessionId};
use daypass_access::state::HoldState;
use daypass_api::requests::Because;
use daypass_api::sessions::{Hold, Session};
use daypass_api::{Done, List};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::{Asked, Caller, Json, Path, Shared};
use crate::problem::Problem;
use crate::reading::OfOthers;
use crate::routes::views;

fn sees(caller: &Caller, session: &Session) -> bool {
    let grant = caller.state.grant(&GrantId::new(&session.grant));
    grant.is_some_and(|grant| views::sees_grant(caller, grant))
}

/// Live sessions the reader may see.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", responses((status = 200, body = List<Session>)), security(("login" = [])))]
pub(crate) async fn list(State(app): State<Shared>, caller: Caller) -> Result<Json<List<Session>>, Problem> {
    let mut items: Vec<Session> =
        app.live.sessions().into_iter().filter(|session| sees(&caller, session)).collect();
    for hold in caller.state.waiting_holds(caller.now) {
        let held = items.iter_mut().find(|session| session.id == hold.opened.session.as_str());
        if let Some(session) = held {
            session.hold = Some(hold.opened.hold.to_string());
        }
    }
    Ok(Json(List { items }))
}

/// Actions of live sessions as they happen, as server-sent events: `action` with JSON data, `missed` with a count when the
/// reader was too slow. Nothing here is evidence: the log is.
#[utoipa::path(get, path = "/v1/sessions/live", tag = "sessions", responses((status = 200, content_type = "text/event-stream", body = String)), security(("login" = [])))]
pub(crate) async fn live(State(app): State<Shared>, caller: Caller) -> Result<Response, Problem> {
    let auditor = caller.is_auditor();
    let ask = Ask::ReadLog {
        log: "activity".to_owned(),
        what: "live".to_owned(),
        query: if auditor { "all" } else { "own sessions and those of grants they decide" }.to_owned(),
        records: 0,
        about: (!auditor).then(|| caller.person.clone()),
    };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(app.live.events(app.controller.clone(), caller))
}

/// Cuts a live session within a second.
#[utoipa::path(post, path = "/v1/sessions/{id}/kill", tag = "sessions", params(("id" = String, Path)), request_body = Because, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn kill(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Because>,
) -> Result<Json<Done>, Problem> {
    let session = app.live.sessions().into_iter().find(|session| session.id == id && sees(&caller, session));
    let session = session.ok_or_else(|| Problem::not_found("live session"))?;
    let ask = Ask::Kill {
        session: SessionId::new(&session.id),
        person: PersonId::new(&session.person),
        resource: ResourceId::new(&session.resource),
        grant: GrantId::new(&session.grant),
        reason: body.reason.unwrap_or_default(),
    };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(Json(Done {}))
}

/// Which holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HoldQuery {
    /// `true`: also those that were decided.
    all: Option<bool>,
}

/// Held actions the reader may see, oldest first; those that were decided only when asked for.
#[utoipa::path(get, path = "/v1/holds", tag = "sessions", params(HoldQuery), responses((status = 200, body = List<Hold>)), security(("login" = [])))]
pub(crate) async fn holds(
    State(app): State<Shared>,
    caller: Caller,
    Asked(query): Asked<HoldQuery>,
) -> Result<Json<List<Hold>>, Problem> {
    let state = std::sync::Arc::clone(&caller.state);
    let wanted =
        state.holds().filter(|hold| query.all == Some(true) || hold.state(caller.now) == HoldState::Waiting);
    let (mut items, mut others): (Vec<Hold>, _) = (Vec::new(), OfOthers::default());
    for hold in wanted {
        let text = app.live.held_text(&hold.opened.session);
        let Some(seen) = views::hold(&caller, hold, text) else { continue };
        let own = state.same_human(&hold.opened.person, &caller.person);
        if seen.text.is_some() && !own && !views::may_release(&caller, hold) {
            others.add(&hold.opened.person);
        }
        items.push(seen);
    }
    others.record(&app, &caller, "holds").await?;
    items.sort_by_key(|hold| hold.opened_at);
    Ok(Json(List { items }))
}

/// Lets a held action go on. Needs a second factor no older than 15 minutes: send a fresh code along when it is.
#[utoipa::path(post, path = "/v1/holds/{id}/release", tag = "sessions", params(("id" = String, Path)), request_body = Because, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn release(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Because>,
) -> Result<Json<Done>, Problem> {
    app.step_up(&caller, body.totp.as_ref().map(|code| code.expose())).await?;
    let ask = Ask::ReleaseHold { hold: HoldId::new(&id), comment: body.reason.unwrap_or_default() };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(Json(Done {}))
}

/// Refuses a held action.
#[utoipa::path(post, path = "/v1/holds/{id}/refuse", tag = "sessions", params(("id" = String, Path)), request_body = Because, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn refuse(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Because>,
) -> Result<Json<Done>, Problem> {
    app.step_up(&caller, body.totp.as_ref().map(|code| code.expose())).await?;
    let ask = Ask::RefuseHold { hold: HoldId::new(&id), comment: body.reason.unwrap_or_default() };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(Json(Done {}))
}

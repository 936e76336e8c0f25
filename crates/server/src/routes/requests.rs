//! Requests: file, look, approve, deny, withdraw.

use std::time::Duration;

use axum::extract::State;
use daypass_access::action::{Class, ClassSet};
use daypass_access::command::Ask;
use daypass_access::fact::{Fact, Narrowing, Urgency};
use daypass_access::id::{RequestId, ResourceId, RoleId};
use daypass_access::state::{Request as Folded, RequestState};
use daypass_access::time::Micros;
use daypass_api::List;
use daypass_api::requests::{ApproveRequest, Because, Narrow, NewRequest, Request};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::{App, Asked, Caller, Json, Path, Shared};
use crate::problem::Problem;
use crate::reading::{OfOthers, written_to};
use crate::routes::views;

/// Longest wait of a long poll, in seconds.
pub(crate) const WAIT_S_MAX: u64 = 60;

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestQuery {
    /// `true`: only those that wait for a decision.
    pending: Option<bool>,
    /// `true`: only the reader's own.
    mine: Option<bool>,
    /// At most so many, newest first; 100 when absent, at most 1000.
    limit: Option<u64>,
}

/// Requests the reader may see, newest first.
#[utoipa::path(get, path = "/v1/requests", tag = "requests", params(RequestQuery), responses((status = 200, body = List<Request>)), security(("login" = [])))]
pub(crate) async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Asked(query): Asked<RequestQuery>,
) -> Result<Json<List<Request>>, Problem> {
    let limit = usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(100);
    let state = std::sync::Arc::clone(&caller.state);
    let wanted = state
        .requests()
        .iter()
        .rev()
        .filter(|request| query.pending != Some(true) || request.state(caller.now) == RequestState::Pending)
        .filter(|request| query.mine != Some(true) || request.filed.person == caller.person)
        .filter(|request| views::sees_request(&caller, request))
        .take(limit);
    let (mut items, mut others) = (Vec::new(), OfOthers::default());
    for request in wanted {
        items.push(view(&app, &caller, request, &mut others).await?);
    }
    others.record(&app, &caller, "requests").await?;
    Ok(Json(List { items }))
}

/// Asks for access. Granted at once when policy needs no approval.
#[utoipa::path(post, path = "/v1/requests", tag = "requests", request_body = NewRequest, responses((status = 200, body = Request)), security(("login" = [])))]
pub(crate) async fn file(
    State(app): State<Shared>,
    caller: Caller,
    Json(body): Json<NewRequest>,
) -> Result<Json<Request>, Problem> {
    let ask = Ask::Request {
        resource: ResourceId::new(&body.resource),
        role: body.role.as_deref().map(RoleId::new),
        reason: body.reason.unwrap_or_default(),
        duration_s: body.duration_s,
        starts: body.starts_at.map(Micros),
        classes: None,
        urgency: Urgency::Normal,
        ticket: None,
    };
    let outcome = app.controller.submit(caller.asks(ask)).await?;
    let filed = outcome.facts().find_map(|fact| match_filed(fact).cloned());
    after(&app, caller, &filed.ok_or_else(|| Problem::not_found("request"))?).await
}

pub(crate) fn match_filed(fact: &Fact) -> Option<&RequestId> {
    if let Fact::RequestFiled(filed) = fact { Some(&filed.request) } else { None }
}

/// The request as it is now, for the caller.
async fn after(app: &App, mut caller: Caller, id: &RequestId) -> Result<Json<Request>, Problem> {
    (caller.state, caller.now) = (app.controller.state(), app.now());
    let request = caller.state.request(id).cloned().filter(|request| views::sees_request(&caller, request));
    let request = request.ok_or_else(|| Problem::not_found("request"))?;
    let mut others = OfOthers::default();
    let seen = view(app, &caller, &request, &mut others).await?;
    others.record(app, &caller, "requests").await?;
    Ok(Json(seen))
}

/// The request as the caller sees it; notes when it opens what others wrote to others.
async fn view(
    app: &App,
    caller: &Caller,
    request: &Folded,
    others: &mut OfOthers,
) -> Result<Request, Problem> {
    let seen = views::request(app, caller, request).await?;
    let mut approvals = seen.steps.iter().flat_map(|step| &step.approvals);
    let opens = seen.reason.is_some() || seen.comment.is_some() || approvals.any(|a| a.comment.is_some());
    if opens && !written_to(caller, request) {
        others.add(&request.filed.person);
    }
    Ok(seen)
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Wait up to so many seconds, at most 60, while it is pending.
    wait_s: Option<u64>,
}

/// One request; waits for a decision when asked to.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path), WaitQuery), responses((status = 200, body = Request)), security(("login" = [])))]
pub(crate) async fn show(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(query): Asked<WaitQuery>,
) -> Result<Json<Request>, Problem> {
    let id = RequestId::new(&id);
    let before = caller.state.request(&id).filter(|request| views::sees_request(&caller, request));
    let approvals =
        before.map(|request| request.approvals.len()).ok_or_else(|| Problem::not_found("request"))?;
    let mut changes = app.controller.changes();
    let changed = async {
        loop {
            changes.mark_unchanged();
            let (state, now) = (app.controller.state(), app.now());
            let same = state.request(&id).is_some_and(|request| {
                request.state(now) == RequestState::Pending && request.approvals.len() == approvals
            });
            if !same || changes.changed().await.is_err() {
                return;
            }
        }
    };
    let wait = Duration::from_secs(query.wait_s.unwrap_or(0).min(WAIT_S_MAX));
    // Either it changed or the time is up: both answer with what is.
    drop(tokio::time::timeout(wait, changed).await);
    after(&app, caller, &id).await
}

/// Approves the open step. Needs a second factor no older than 15 minutes: send a fresh code along when it is.
#[utoipa::path(post, path = "/v1/requests/{id}/approve", tag = "requests", params(("id" = String, Path)), request_body = ApproveRequest, responses((status = 200, body = Request)), security(("login" = [])))]
pub(crate) async fn approve(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ApproveRequest>,
) -> Result<Json<Request>, Problem> {
    app.step_up(&caller, body.totp.as_ref().map(|code| code.expose())).await?;
    let id = RequestId::new(&id);
    let narrow = body.narrow.map(narrowing).transpose()?;
    let ask = Ask::Approve { request: id.clone(), narrow, comment: body.comment.unwrap_or_default() };
    app.controller.submit(caller.asks(ask)).await?;
    after(&app, caller, &id).await
}

fn narrowing(narrow: Narrow) -> Result<Narrowing, Problem> {
    let class = |name: String| {
        Class::from_name(&name)
            .ok_or_else(|| Problem::bad_request(format!("there is no action class `{name}`")))
    };
    let classes = narrow.classes.map(|names| names.into_iter().map(class).collect::<Result<ClassSet, _>>());
    Ok(Narrowing { duration_s: narrow.duration_s, classes: classes.transpose()?, holds: None })
}

/// Denies the request: one is enough.
#[utoipa::path(post, path = "/v1/requests/{id}/deny", tag = "requests", params(("id" = String, Path)), request_body = Because, responses((status = 200, body = Request)), security(("login" = [])))]
pub(crate) async fn deny(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Because>,
) -> Result<Json<Request>, Problem> {
    app.step_up(&caller, body.totp.as_ref().map(|code| code.expose())).await?;
    let id = RequestId::new(&id);
    let ask = Ask::Deny { request: id.clone(), comment: body.reason.unwrap_or_default() };
    app.controller.submit(caller.asks(ask)).await?;
    after(&app, caller, &id).await
}

/// Takes one's own request back.
#[utoipa::path(post, path = "/v1/requests/{id}/withdraw", tag = "requests", params(("id" = String, Path)), responses((status = 200, body = Request)), security(("login" = [])))]
pub(crate) async fn withdraw(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Request>, Problem> {
    let id = RequestId::new(&id);
    app.controller.submit(caller.asks(Ask::Withdraw { request: id.clone() })).await?;
    after(&app, caller, &id).await
}

//! The table of routes. What each does is in the file of its subject.

pub(crate) mod auth;
#[expect(unused_qualifications, reason = "written by utoipa's path macro")]
pub(crate) mod grants;
pub(crate) mod health;
#[expect(unused_qualifications, reason = "written by utoipa's path macro")]
pub(crate) mod logs;
pub(crate) mod people;
pub(crate) mod policy;
#[expect(unused_qualifications, reason = "written by utoipa's path macro")]
pub(crate) mod requests;
pub(crate) mod resources;
pub(crate) mod secrets;
#[expect(unused_qualifications, reason = "written by utoipa's path macro")]
pub(crate) mod sessions;
pub(crate) mod tiles;
mod views;

pub(crate) use views::{classes, risks, sees_grant};

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use crate::app::Shared;
use crate::problem::Problem;

/// Longest request body, in bytes: a policy of the longest allowed length, escaped, fits.
const BODY_LEN_MAX: usize = 256 << 10;
/// Longest time a request takes: long polls wait 60 s at most.
const REQUEST_MAX: Duration = Duration::from_secs(120);

/// Every route of the API.
pub(crate) fn router(app: Shared) -> Router {
    Router::new()
        .route("/v1/login", post(auth::login))
        .route("/v1/logout", post(auth::logout))
        .route("/v1/stepup", post(auth::stepup))
        .route("/v1/enroll", post(auth::enroll))
        .route("/v1/whoami", get(auth::whoami))
        .route("/v1/resources", get(resources::list))
        .route("/v1/requests", get(requests::list).post(requests::file))
        .route("/v1/requests/{id}", get(requests::show))
        .route("/v1/requests/{id}/approve", post(requests::approve))
        .route("/v1/requests/{id}/deny", post(requests::deny))
        .route("/v1/requests/{id}/withdraw", post(requests::withdraw))
        .route("/v1/grants", get(grants::list))
        .route("/v1/grants/{id}/extend", post(grants::extend))
        .route("/v1/grants/{id}/done", post(grants::done))
        .route("/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/v1/grants/{id}/passes", post(grants::pass))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/live", get(sessions::live))
        .route("/v1/sessions/{id}/kill", post(sessions::kill))
        .route("/v1/holds", get(sessions::holds))
        .route("/v1/holds/{id}/release", post(sessions::release))
        .route("/v1/holds/{id}/refuse", post(sessions::refuse))
        .route("/v1/log/records", get(logs::records))
        .route("/v1/log/records/{log}/{index}", get(logs::record))
        .route("/v1/why/{*id}", get(logs::why))
        .route("/v1/access", get(logs::access))
        .route("/v1/evidence/grants/{id}", get(logs::evidence))
        .route("/v1/policy", get(policy::show))
        .route("/v1/policy/plan", post(policy::plan))
        .route("/v1/policy/apply", post(policy::apply))
        .route("/v1/people", get(people::list).post(people::invite))
        .route("/v1/people/{id}/invite", post(people::reinvite))
        .route("/v1/people/{id}/suspend", post(people::suspend))
        .route("/v1/people/{id}/restore", post(people::restore))
        .route("/v1/secrets", get(secrets::list))
        .route("/v1/secrets/{name}", put(secrets::set).delete(secrets::remove))
        .route("/v1/health", get(health::health))
        .route("/v1/ca.pem", get(health::ca_pem))
        .route("/v1/openapi.json", get(health::openapi))
        .route("/log/{name}/{*path}", get(tiles::file))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .layer(middleware::from_fn(guard))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(app)
}

async fn nothing() -> Problem {
    Problem::not_found("route")
}

/// A deadline around every request, and headers that keep answers out of caches and frames.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy().into_response(),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

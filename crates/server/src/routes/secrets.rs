//! Credentials of targets. Values go in and never come out.

use axum::extract::State;
use daypass_access::command::Ask;
use daypass_api::people::{PutSecret, SecretName};
use daypass_api::{Done, List};
use daypass_vault::namespace;
use zeroize::Zeroizing;

use crate::app::{Caller, Json, Path, Shared};
use crate::problem::Problem;

/// Names of the credentials. Administrators.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", responses((status = 200, body = List<SecretName>)), security(("login" = [])))]
pub(crate) async fn list(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<List<SecretName>>, Problem> {
    if !caller.is_administrator() {
        return Err(Problem::not_allowed());
    }
    let items = app.vault.names(namespace::TARGET).into_iter().map(|name| SecretName { name }).collect();
    Ok(Json(List { items }))
}

/// Puts a credential in, or replaces it. Administrators. Recorded first, so no change is unexplained.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path)), request_body = PutSecret, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn set(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<PutSecret>,
) -> Result<Json<Done>, Problem> {
    let text = serde_json::to_vec(&body).map(Zeroizing::new).map_err(|error| Problem::failed(&error))?;
    app.controller.submit(caller.asks(Ask::SetSecret { name: name.clone() })).await?;
    let vault = app.vault.clone();
    let put = tokio::task::spawn_blocking(move || vault.put(namespace::TARGET, &name, &text)).await;
    put.map_err(|error| Problem::failed(&error))?.map_err(|error| Problem::failed(&error))?;
    Ok(Json(Done {}))
}

/// Takes a credential out. Administrators.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path)), responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn remove(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<Done>, Problem> {
    app.controller.submit(caller.asks(Ask::RemoveSecret { name: name.clone() })).await?;
    let vault = app.vault.clone();
    let removed = tokio::task::spawn_blocking(move || vault.remove(namespace::TARGET, &name)).await;
    removed.map_err(|error| Problem::failed(&error))?.map_err(|error| Problem::failed(&error))?;
    Ok(Json(Done {}))
}

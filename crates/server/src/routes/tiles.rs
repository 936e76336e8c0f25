//! The logs in tlog-tiles layout: checkpoint, tiles, entry bundles, sidecars (sealed).

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use daypass_ledger::tile::TileFile;

use crate::app::{Caller, Path, Shared};
use crate::files;
use crate::problem::Problem;
use crate::reading::reads;

const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// A published file of a log. Auditors and administrators, or everybody when the configuration says `[log] public = true`.
/// Recorded when the checkpoint is read, or a tile an hour after the last record.
#[utoipa::path(get, path = "/log/{name}/{path}", tag = "log", params(("name" = String, Path), ("path" = String, Path)), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)), security((), ("login" = [])))]
pub(crate) async fn file(
    State(app): State<Shared>,
    Path((name, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (log, journal) = match name.as_str() {
        "control" => ("control", app.controller.journal()),
        "activity" => ("activity", &app.activity),
        _ => return Err(Problem::not_found("log")),
    };
    let tile = TileFile::parse(&path);
    if tile.is_none() && path != "checkpoint" {
        return Err(Problem::not_found("file"));
    }
    // SECURITY: sidecars are sealed, but they are personal: never public.
    let open = app.log_public && !matches!(tile, Some(TileFile::Sidecar { .. }));
    if !open {
        let (mut parts, _) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, &app).await?;
        if !caller.is_auditor() {
            return Err(Problem::not_allowed());
        }
        let login = caller.login_id();
        // SECURITY: who knows the size needs no checkpoint, so the first tile is recorded just as well.
        if tile.is_none() || !app.tile_readers.is_recorded(login, log, caller.now) {
            let records = usize::try_from(journal.covered().size()).unwrap_or(usize::MAX);
            reads(&app, &caller, log, "tiles", String::new(), records, None).await?;
            app.tile_readers.recorded(login, log, caller.now);
        }
    }
    let Some(tile) = tile else {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        return Ok(([(header::CONTENT_TYPE, text)], journal.checkpoint()).into_response());
    };
    // The path is written from the parsed tile: nothing of the request reaches the file system.
    let folder =
        if log == "control" { files::control(&app.data_dir) } else { files::activity(&app.data_dir) };
    let bytes = tokio::task::spawn_blocking(move || std::fs::read(folder.join(tile.path()))).await;
    let bytes = bytes.map_err(|error| Problem::failed(&error))?;
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Problem::not_found("file")),
        Err(error) => return Err(error.into()),
    };
    let binary = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, binary), (header::CACHE_CONTROL, IMMUTABLE)], bytes).into_response())
}

//! What every route shares, and who is calling.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use daypass_access::command::{Ask, Command};
use daypass_access::id::{LoginId, PersonId};
use daypass_access::state::{Login, State};
use daypass_access::time::Micros;
use daypass_control::{Controller, Outcome};
use daypass_journal::Journal;
use daypass_ledger::note::VerifierKey;
use daypass_vault::Vault;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::live::Live;
use crate::login::password::Passwords;
use crate::login::throttle::{Claim, Origin, Throttle};
use crate::login::token;
use crate::problem::Problem;
use crate::reading::TileReaders;

/// Everything the routes work with.
pub(crate) struct App {
    pub(crate) controller: Controller,
    pub(crate) vault: Vault,
    pub(crate) activity: Journal,
    pub(crate) activity_key: VerifierKey,
    pub(crate) live: Live,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) tile_readers: TileReaders,
    pub(crate) log_public: bool,
    pub(crate) log_name: String,
    pub(crate) ca_pem: Option<String>,
    pub(crate) postgres_host: Option<String>,
    pub(crate) postgres_port: u16,
    pub(crate) data_dir: std::path::PathBuf,
    /// One enrolment at a time: the vault and the log change together.
    pub(crate) enrolling: tokio::sync::Mutex<()>,
}

pub(crate) type Shared = Arc<App>;

impl App {
    /// The later of clock and log: what the log has seen is never in the future.
    pub(crate) fn now(&self) -> Micros {
        self.controller.now().max(self.controller.state().at())
    }

    /// Submits a command of the system.
    pub(crate) async fn system(&self, ask: Ask) -> Result<Outcome, Problem> {
        Ok(self.controller.submit(Command::by_system(ask)).await?)
    }

    /// Lets an attempt to prove something through. Of those turned away, the first in each wait is recorded.
    pub(crate) async fn admit(
        &self,
        claim: Claim<'_>,
        person: Option<&PersonId>,
        peer: SocketAddr,
    ) -> Result<(), Problem> {
        let attempt = self.throttle.attempt(claim, Origin::from(peer.ip()), self.now());
        let Err(wait) = attempt else { return Ok(()) };
        if wait.first {
            self.refused(person, peer, "throttled").await?;
        }
        Err(Problem::throttled(wait.wait_s))
    }

    /// Records that somebody did not prove who they are.
    pub(crate) async fn refused(
        &self,
        person: Option<&PersonId>,
        peer: SocketAddr,
        because: &str,
    ) -> Result<(), Problem> {
        let (person, origin) = (person.cloned(), peer.ip().to_string());
        self.system(Ask::RefuseLogin { person, origin, because: because.to_owned() }).await?;
        Ok(())
    }

    /// Shows a second factor again, when a code came with the request.
    pub(crate) async fn step_up(&self, caller: &Caller, code: Option<&str>) -> Result<(), Problem> {
        let Some(code) = code else { return Ok(()) };
        let claim = Claim::Login(caller.login.id.as_str());
        self.admit(claim, Some(&caller.person), caller.peer).await?;
        let step = crate::login::totp::step(&self.vault, caller.person.as_str(), code, self.now());
        let shown = match step {
            Some(step) => {
                let ask = Ask::ShowFactor { login: caller.login.id.clone(), factor_step: Some(step) };
                self.system(ask).await.map(|_| ())
            }
            None => Err(Problem::login_refused()),
        };
        if let Err(problem) = shown {
            self.refused(Some(&caller.person), caller.peer, "factor").await?;
            return Err(problem);
        }
        self.throttle.succeeded(claim, Origin::from(caller.peer.ip()), self.now());
        Ok(())
    }
}

/// Where a connection comes from. Put into every request by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(Problem::unauthenticated)
    }
}

/// A person with a login that holds now, and the state that says so.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) login: Arc<Login>,
    pub(crate) person: PersonId,
    pub(crate) state: Arc<State>,
    pub(crate) now: Micros,
    pub(crate) peer: SocketAddr,
}

impl Caller {
    /// A wish of this person.
    pub(crate) fn asks(&self, ask: Ask) -> Command {
        Command::by_login(self.login_id(), ask)
    }

    pub(crate) fn login_id(&self) -> &LoginId {
        &self.login.id
    }

    pub(crate) fn is_administrator(&self) -> bool {
        self.state.is_administrator(&self.person, self.now)
    }

    pub(crate) fn is_auditor(&self) -> bool {
        self.state.is_auditor(&self.person, self.now)
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let Peer(peer) = Peer::from_request_parts(parts, app).await?;
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let offered = header.and_then(|value| value.strip_prefix("Bearer "));
        let offered =
            offered.filter(|text| text.len() <= token::LEN_MAX).ok_or_else(Problem::unauthenticated)?;
        let (state, now) = (app.controller.state(), app.now());
        // SECURITY: looked up by hash, so comparing takes no longer for a token that is nearly right.
        let login = state.authenticate_login(&hex::encode(token::hash(offered)), now);
        let login = Arc::clone(login.ok_or_else(Problem::unauthenticated)?);
        let person = login.person.clone();
        Ok(Self { login, person, state, now, peer })
    }
}

/// JSON in and out, with the API's own errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let axum::Json(value) =
            axum::Json::from_request(request, app).await.map_err(|rejection: JsonRejection| {
                // SECURITY: the parser's message names fields and positions; it does not repeat values of known fields.
                Problem::bad_request(deepest(&rejection))
            })?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A query string, with the API's own errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let axum::extract::Query(value) = axum::extract::Query::from_request_parts(parts, app)
            .await
            .map_err(|rejection: QueryRejection| Problem::bad_request(deepest(&rejection)))?;
        Ok(Self(value))
    }
}

/// The variable part of a path, with the API's own errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let axum::extract::Path(value) = axum::extract::Path::from_request_parts(parts, app)
            .await
            .map_err(|rejection: PathRejection| Problem::bad_request(deepest(&rejection)))?;
        Ok(Self(value))
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

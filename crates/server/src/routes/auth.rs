//! Logging in and out, enrolling, stepping up.

use axum::extract::State;
use daypass_access::command::Ask;
use daypass_access::fact::Fact;
use daypass_access::id::PersonId;
use daypass_access::state::State as Folded;
use daypass_api::Done;
use daypass_api::auth::{EnrollRequest, EnrollResponse, LoginRequest, LoginResponse, StepUpRequest, Whoami};
use daypass_api::hidden::Hidden;
use daypass_vault::{Secret, namespace};

use crate::app::{App, Caller, Json, Peer, Shared};
use crate::login::password::{self, PasswordError};
use crate::login::throttle::{Claim, Origin};
use crate::login::{token, totp};
use crate::problem::Problem;
use crate::routes::views;

/// Longest handle that is looked at, in bytes.
const PERSON_LEN_MAX: usize = 128;

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::busy(),
            PasswordError::Broken => Self::failed(&std::io::Error::other("argon2id failed")),
        }
    }
}

/// Opens a login session with password and second factor.
///
/// Unknown person, wrong password and wrong code get the same answer, after the same work.
#[utoipa::path(post, path = "/v1/login", tag = "login", request_body = LoginRequest, responses(
    (status = 200, body = LoginResponse),
    (status = 401, body = daypass_api::error::ErrorBody, description = "one answer for every wrong proof"),
    (status = 429, body = daypass_api::error::ErrorBody, description = "too many failures of this person from this origin"),
))]
pub(crate) async fn login(
    State(app): State<Shared>,
    Peer(peer): Peer,
    Json(body): Json<LoginRequest>,
) -> Result<Json<LoginResponse>, Problem> {
    let person = known(&app.controller.state(), &body.person);
    let claim = claim(person.as_ref(), &body.person);
    app.admit(claim, person.as_ref(), peer).await?;
    let opened = match prove(&app, person.as_ref(), &body).await? {
        Ok(step) => open(&app, person.as_ref(), step).await,
        Err(because) => Err((because, Problem::login_refused())),
    };
    match opened {
        Ok(response) => {
            app.throttle.succeeded(claim, Origin::from(peer.ip()), app.now());
            Ok(Json(response))
        }
        Err((because, problem)) => {
            app.refused(person.as_ref(), peer, because).await?;
            Err(problem)
        }
    }
}

fn known(state: &Folded, person: &str) -> Option<PersonId> {
    let person = (person.len() <= PERSON_LEN_MAX).then(|| PersonId::new(person))?;
    state.person(&person).map(|person| person.id.clone())
}

fn claim<'a>(person: Option<&'a PersonId>, name: &'a str) -> Claim<'a> {
    person.map_or(Claim::Nobody(name), |person| Claim::Person(person.as_str()))
}

/// The time step of the code when everything is right, or what was wrong, for the record only.
async fn prove(
    app: &App,
    person: Option<&PersonId>,
    body: &LoginRequest,
) -> Result<Result<u64, &'static str>, Problem> {
    // What is too long is nobody's password. SECURITY: it is looked at all the same, cut, so that the answer takes as long.
    let offered = body.password.expose().as_bytes();
    let fits = offered.len() <= password::LEN_MAX;
    let known = person.filter(|_| fits).and_then(|p| app.vault.get(namespace::PASSWORD, p.as_str()));
    let offered = Secret::new(offered.get(..password::LEN_MAX).unwrap_or(offered).to_vec());
    let right = app.passwords.check(known, offered).await?;
    // The code is looked at in every case, so that the answer takes as long.
    let name = person.map_or("nobody", PersonId::as_str);
    let step = totp::step(&app.vault, name, body.totp.expose(), app.now());
    Ok(match (person, right, step) {
        (None, ..) => Err("unknown"),
        (Some(_), false, _) => Err("password"),
        (Some(_), true, None) => Err("factor"),
        (Some(_), true, Some(step)) => Ok(step),
    })
}

async fn open(
    app: &App,
    person: Option<&PersonId>,
    step: u64,
) -> Result<LoginResponse, (&'static str, Problem)> {
    let person = person.ok_or_else(|| ("unknown", Problem::login_refused()))?.clone();
    let token = token::make("dl_");
    let ask = Ask::OpenLogin { person, token_sha256: hex::encode(token.sha256), factor_step: Some(step) };
    // A used code, a suspended person or one outside of the tenure: the same answer as for a wrong proof.
    let outcome = app.system(ask).await.map_err(|_| ("refused", Problem::login_refused()))?;
    let opened = outcome
        .facts()
        .find_map(|fact| if let Fact::LoginOpened(opened) = fact { Some(opened) } else { None });
    let opened = opened.ok_or_else(|| ("refused", Problem::login_refused()))?;
    Ok(LoginResponse {
        token: token.text,
        login: opened.login.to_string(),
        person: opened.person.to_string(),
        ends_at: opened.ends.0,
    })
}

/// Ends the login session.
#[utoipa::path(post, path = "/v1/logout", tag = "login", responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn logout(State(app): State<Shared>, caller: Caller) -> Result<Json<Done>, Problem> {
    let ask = Ask::CloseLogin { login: caller.login_id().clone() };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(Json(Done {}))
}

/// Shows the second factor again; approving needs one no older than 15 minutes.
#[utoipa::path(post, path = "/v1/stepup", tag = "login", request_body = StepUpRequest, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn stepup(
    State(app): State<Shared>,
    caller: Caller,
    Json(body): Json<StepUpRequest>,
) -> Result<Json<Done>, Problem> {
    app.step_up(&caller, Some(body.totp.expose())).await?;
    Ok(Json(Done {}))
}

/// Turns an invitation into a password and a second factor.
#[utoipa::path(post, path = "/v1/enroll", tag = "login", request_body = EnrollRequest, responses(
    (status = 200, body = EnrollResponse),
    (status = 401, body = daypass_api::error::ErrorBody),
))]
pub(crate) async fn enroll(
    State(app): State<Shared>,
    Peer(peer): Peer,
    Json(body): Json<EnrollRequest>,
) -> Result<Json<EnrollResponse>, Problem> {
    let length = body.password.expose().chars().count();
    if length < password::LEN_MIN || body.password.expose().len() > password::LEN_MAX {
        return Err(Problem::bad_request("a password has 12 characters at least and 256 bytes at most"));
    }
    let refused = || {
        Problem::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "invitation-refused",
            "the invitation is wrong, used or too old",
        )
        .hint("ask an administrator for a new one")
    };
    let now = app.now();
    let state = app.controller.state();
    let named = known(&state, &body.person);
    let claim = claim(named.as_ref(), &body.person);
    app.admit(claim, named.as_ref(), peer).await?;
    let code = hex::encode(token::hash(body.code.expose()));
    let invited = state.invited_with(&code, now).filter(|person| person.id.as_str() == body.person);
    let Some(person) = invited.map(|person| person.id.clone()) else {
        app.refused(named.as_ref(), peer, "invitation").await?;
        return Err(refused());
    };
    // One at a time from here on: vault and log change together.
    let _turn = app.enrolling.lock().await;
    if app.controller.state().invited_with(&code, now).is_none() {
        return Err(refused());
    }
    let phc = app.passwords.hash(Secret::new(body.password.expose().as_bytes().to_vec())).await?;
    let factor = totp::make(person.as_str(), &app.log_name);
    let (vault, name) = (app.vault.clone(), person.to_string());
    let seed = factor.seed.clone();
    let stored = tokio::task::spawn_blocking(move || {
        vault.put_all(&[(namespace::PASSWORD, &name, phc.expose()), (namespace::TOTP, &name, seed.expose())])
    });
    match stored.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Problem::failed(&error)),
        Err(error) => return Err(Problem::failed(&error)),
    }
    let factors = vec!["password".to_owned(), "totp".to_owned()];
    app.system(Ask::Enroll { person: person.clone(), invitation_sha256: code, factors }).await?;
    app.throttle.succeeded(claim, Origin::from(peer.ip()), app.now());
    Ok(Json(EnrollResponse {
        person: person.to_string(),
        totp_seed: Hidden(factor.base32.expose().to_owned()),
        totp_url: factor.url,
    }))
}

/// Who is logged in, and what they may do here.
#[utoipa::path(get, path = "/v1/whoami", tag = "login", responses((status = 200, body = Whoami)), security(("login" = [])))]
pub(crate) async fn whoami(State(app): State<Shared>, caller: Caller) -> Result<Json<Whoami>, Problem> {
    let person = caller.state.person(&caller.person).ok_or_else(Problem::unauthenticated)?;
    let policy = caller.state.policy();
    Ok(Json(Whoami {
        person: caller.person.to_string(),
        kind: person.profile.kind.name().to_owned(),
        name: views::personal_text(&app, person.index, "name").await?,
        teams: views::teams(&caller.state, &caller.person),
        administrator: caller.is_administrator(),
        auditor: caller.is_auditor(),
        may_kill: policy.is_member(&caller.person, &policy.system.may_kill),
        login: caller.login.id.to_string(),
        login_ends_at: caller.login.ends.0,
        factor_at: caller.login.factor_at.0,
        tenure_ends_at: person.profile.tenure.map(|tenure| tenure.ends.0),
    }))
}

//! Who you are: login, enroll, logout, whoami.

use std::fs;

use daypass_api::Done;
use daypass_api::auth::{EnrollRequest, EnrollResponse, LoginRequest, LoginResponse, Whoami};
use daypass_api::hidden::Hidden;
use serde_json::json;

use super::{Context, verify};
use crate::args::operate::{EnrollArgs, LoginArgs, TrustArgs};
use crate::client::{Client, normalise, offered_authority};
use crate::home::Login;
use crate::report::report;
use crate::trouble::Trouble;
use crate::{ask, trust, when};

pub(crate) async fn login(c: &Context, args: LoginArgs) -> Result<(), Trouble> {
    let stored = c.home.login()?;
    let url = address(c, args.url.as_deref(), stored.as_ref())?;
    let client = trusted(c, &url, &args.trust).await?;
    let known = stored.filter(|login| login.url == url).map(|login| login.person);
    let person = match args.person.or(known) {
        Some(person) => person,
        None => ask::text("Who are you?", None, "--person")?,
    };
    let password = ask::secret("Password:", args.password_stdin)?;
    let code = match args.code {
        Some(code) => code,
        None => ask::text("Code of your second factor:", None, "--code")?,
    };
    let request =
        LoginRequest { person, password: Hidden((*password).clone()), totp: Hidden(code.trim().to_owned()) };
    let opened: LoginResponse = client.post("/v1/login", &request).await?;
    c.home.store_login(&Login {
        v: 1,
        url: url.clone(),
        person: opened.person.clone(),
        token: opened.token,
        ends: opened.ends_at,
    })?;
    if let Err(trouble) = verify::remember_keys(c, &c.client()?).await {
        c.out.note(format!("the keys of the logs could not be remembered: {}", report(&trouble).message))?;
    }
    if c.out.is_json() {
        return c.out.json(&json!({"person": opened.person, "url": url, "ends_at": opened.ends_at}));
    }
    c.out.line(format!("logged in as {} at {url} until {}", opened.person, c.out.clock(opened.ends_at)))
}

pub(crate) async fn enroll(c: &Context, args: EnrollArgs) -> Result<(), Trouble> {
    let url = address(c, args.url.as_deref(), c.home.login()?.as_ref())?;
    let client = trusted(c, &url, &args.trust).await?;
    let code = match args.invitation {
        Some(code) => code,
        None => ask::text("Invitation code:", None, "<CODE>")?,
    };
    let password = ask::new_secret("New password (12 characters or more):", args.password_stdin)?;
    let request =
        EnrollRequest { person: args.person, code: Hidden(code), password: Hidden((*password).clone()) };
    let enrolled: EnrollResponse = client.post("/v1/enroll", &request).await?;
    if c.out.is_json() {
        return c.out.json(&enrolled);
    }
    c.out.line(format!("enrolled as {}", enrolled.person))?;
    c.out.line("Put this into your authenticator now; it is not shown again:")?;
    c.out.facts(&[("seed", enrolled.totp_seed.0), ("address", enrolled.totp_url.0)])?;
    c.out.line(format!("Then: daypass login {url} --person {}", enrolled.person))
}

pub(crate) async fn logout(c: &Context) -> Result<(), Trouble> {
    let told = match c.client() {
        Ok(client) => client.post::<Done>("/v1/logout", &json!({})).await.map(|_| ()),
        Err(error) => Err(error),
    };
    c.home.forget_login()?;
    match told {
        // It is gone here whatever the control plane says; a token it no longer knows is no trouble.
        Ok(()) | Err(Trouble::NotLoggedIn | Trouble::LoginEnded | Trouble::Api(_)) => {
            c.out.line("logged out")
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn whoami(c: &Context) -> Result<(), Trouble> {
    let client = c.client()?;
    let me: Whoami = client.fetch("/v1/whoami").await?;
    if c.out.is_json() {
        return c.out.json(&me);
    }
    let may: Vec<&str> = [
        (me.administrator, "administer"),
        (me.auditor, "read the log"),
        (me.may_kill, "end access of others"),
    ]
    .into_iter()
    .filter_map(|(holds, words)| holds.then_some(words))
    .collect();
    c.out.facts(&[
        ("person", format!("{} ({})", me.person, me.kind)),
        ("name", me.name.unwrap_or_default()),
        ("teams", me.teams.join(", ")),
        ("may", may.join(", ")),
        ("tenure ends", me.tenure_ends_at.map(|at| c.out.clock(at)).unwrap_or_default()),
        ("at", client.url().to_owned()),
        ("login", format!("{}, until {}", me.login, c.out.clock(me.login_ends_at))),
        (
            "second factor",
            format!("given {} ago", when::span(when::now().saturating_sub(me.factor_at) / 1_000_000)),
        ),
    ])
}

fn address(c: &Context, given: Option<&str>, stored: Option<&Login>) -> Result<String, Trouble> {
    given.or(c.server.as_deref()).map(normalise).or_else(|| stored.map(|login| login.url.clone())).ok_or_else(
        || {
            Trouble::input(
                "no address of a control plane was given",
                "run `daypass login https://<control plane>:8440`",
            )
        },
    )
}

/// A client that trusts what `trust` names, what was stored, or what the person confirms; stores the authority.
async fn trusted(c: &Context, url: &str, trust: &TrustArgs) -> Result<Client, Trouble> {
    if let Some(path) = &trust.ca {
        let pem = fs::read(path).map_err(Trouble::file(path, "read"))?;
        let client = Client::new(url, &pem)?;
        c.home.store_authority(url, &pem)?;
        return Ok(client);
    }
    if let (Some(pem), None) = (c.home.authority(url)?, &trust.fingerprint) {
        return Client::new(url, &pem);
    }
    let pem = offered_authority(url).await?;
    let offered = trust::fingerprint(&pem)?;
    let believed = match &trust.fingerprint {
        Some(expected) => trust::same_fingerprint(expected, &offered),
        None => {
            c.out.note(format!(
                "`{url}` is new to you. Its authority has the SHA-256 fingerprint\n  {offered}"
            ))?;
            ask::confirm("Is that the one you were given?", "--fingerprint or --ca")?
        }
    };
    if !believed {
        return Err(Trouble::Untrusted {
            url: url.to_owned(),
            source: format!("it offers the authority {offered}, which is not the one expected"),
        });
    }
    let client = Client::new(url, &pem)?;
    c.home.store_authority(url, &pem)?;
    Ok(client)
}

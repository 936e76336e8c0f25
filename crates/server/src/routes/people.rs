//! People: look, invite, suspend.

use axum::extract::State;
use daypass_access::command::{Ask, NewPerson as NewInCore};
use daypass_access::id::PersonId;
use daypass_access::person::{self, Hours, PersonState, Profile, Tenure};
use daypass_access::state::Person as Folded;
use daypass_access::time::Micros;
use daypass_api::hidden::Hidden;
use daypass_api::people::{Invitation, NewPerson, Person, PersonKind, SuspendRequest};
use daypass_api::{Done, List};

use crate::app::{App, Caller, Json, Path, Shared};
use crate::login::token;
use crate::problem::Problem;
use crate::reading::OfOthers;
use crate::routes::views;

/// Everybody, for administrators and auditors; oneself, for everybody.
#[utoipa::path(get, path = "/v1/people", tag = "people", responses((status = 200, body = List<Person>)), security(("login" = [])))]
pub(crate) async fn list(State(app): State<Shared>, caller: Caller) -> Result<Json<List<Person>>, Problem> {
    let all = caller.is_auditor();
    let (mut items, mut others) = (Vec::new(), OfOthers::default());
    for person in caller.state.people().filter(|person| all || person.id == caller.person) {
        let seen = view(&app, &caller, person).await?;
        let opens = seen.name.is_some() || seen.email.is_some();
        if opens && !caller.state.same_human(&person.id, &caller.person) {
            others.add(&person.id);
        }
        items.push(seen);
    }
    others.record(&app, &caller, "people").await?;
    Ok(Json(List { items }))
}

async fn view(app: &App, caller: &Caller, person: &Folded) -> Result<Person, Problem> {
    let profile = &person.profile;
    let kind = match profile.kind {
        person::PersonKind::Contractor => PersonKind::Contractor,
        person::PersonKind::Staff | person::PersonKind::Service | person::PersonKind::Agent => {
            PersonKind::Staff
        }
    };
    let status = match person.state {
        PersonState::Invited => "invited",
        PersonState::Active => "active",
        PersonState::Suspended => "suspended",
    };
    Ok(Person {
        id: person.id.to_string(),
        kind,
        status: status.to_owned(),
        name: views::personal_text(app, person.index, "name").await?,
        email: views::personal_text(app, person.index, "email").await?,
        teams: views::teams(&caller.state, &person.id),
        manager: profile.manager.as_ref().map(ToString::to_string),
        organisation: profile.organisation.clone(),
        sponsor: profile.sponsor.as_ref().map(ToString::to_string),
        tenure_starts_at: profile.tenure.map(|tenure| tenure.starts.0),
        tenure_ends_at: profile.tenure.map(|tenure| tenure.ends.0),
        alias_of: profile.alias_of.as_ref().map(ToString::to_string),
    })
}

fn profile(body: &NewPerson, now: Micros) -> Result<Profile, Problem> {
    let mut profile = Profile::new(match body.kind {
        PersonKind::Staff => person::PersonKind::Staff,
        PersonKind::Contractor => person::PersonKind::Contractor,
    });
    profile.manager = body.manager.as_deref().map(PersonId::new);
    profile.alias_of = body.alias_of.as_deref().map(PersonId::new);
    profile.organisation.clone_from(&body.organisation);
    profile.sponsor = body.sponsor.as_deref().map(PersonId::new);
    profile.tenure = body
        .tenure_ends_at
        .map(|ends| Tenure { starts: body.tenure_starts_at.map_or(now, Micros), ends: Micros(ends) });
    profile.time_zone.clone_from(&body.time_zone);
    profile.hours = body.hours.as_deref().map(hours).transpose()?;
    Ok(profile)
}

/// Reads `mon-fri 08:00-18:00`.
fn hours(text: &str) -> Result<Hours, Problem> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |name: &str| DAYS.iter().zip(1_u8..).find(|(day, _)| **day == name).map(|(_, number)| number);
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let read = || {
        let (days, times) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (first, last) = (day(first)?, day(last)?);
        let days =
            if first <= last { (first..=last).collect() } else { (first..=7).chain(1..=last).collect() };
        let (from, until) = times.split_once('-')?;
        Some(Hours { days, from_min: minute(from)?, until_min: minute(until)? })
    };
    let hours = read().filter(Hours::well_formed);
    hours.ok_or_else(|| Problem::bad_request("hours look like `mon-fri 08:00-18:00`"))
}

/// Invites somebody. The code is shown once. Administrators.
#[utoipa::path(post, path = "/v1/people", tag = "people", request_body = NewPerson, responses((status = 200, body = Invitation)), security(("login" = [])))]
pub(crate) async fn invite(
    State(app): State<Shared>,
    caller: Caller,
    Json(body): Json<NewPerson>,
) -> Result<Json<Invitation>, Problem> {
    let code = token::make("di_");
    let person = PersonId::new(&body.id);
    let ask = Ask::Invite(NewInCore {
        person: person.clone(),
        profile: profile(&body, caller.now)?,
        name: body.name.unwrap_or_default(),
        email: body.email.unwrap_or_default(),
        invitation_sha256: Some(hex::encode(code.sha256)),
    });
    app.controller.submit(caller.asks(ask)).await?;
    invitation(&app, &person, code.text)
}

fn invitation(app: &App, person: &PersonId, code: Hidden) -> Result<Json<Invitation>, Problem> {
    let state = app.controller.state();
    let invited = state.person(person).ok_or_else(|| Problem::not_found("person"))?;
    Ok(Json(Invitation { person: person.to_string(), code, ends_at: invited.invitation_ends.0 }))
}

/// Makes a new invitation code; the old one, the factors and the logins are void. Administrators.
#[utoipa::path(post, path = "/v1/people/{id}/invite", tag = "people", params(("id" = String, Path)), responses((status = 200, body = Invitation)), security(("login" = [])))]
pub(crate) async fn reinvite(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Invitation>, Problem> {
    let code = token::make("di_");
    let person = PersonId::new(&id);
    let ask = Ask::Reinvite { person: person.clone(), invitation_sha256: hex::encode(code.sha256) };
    app.controller.submit(caller.asks(ask)).await?;
    invitation(&app, &person, code.text)
}

/// Takes everything from somebody: grants, passes, logins, sessions.
#[utoipa::path(post, path = "/v1/people/{id}/suspend", tag = "people", params(("id" = String, Path)), request_body = SuspendRequest, responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn suspend(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<SuspendRequest>,
) -> Result<Json<Done>, Problem> {
    app.controller
        .submit(caller.asks(Ask::Suspend { person: PersonId::new(&id), reason: body.reason }))
        .await?;
    Ok(Json(Done {}))
}

/// Lets somebody who was suspended ask again. What they had does not come back. Administrators.
#[utoipa::path(post, path = "/v1/people/{id}/restore", tag = "people", params(("id" = String, Path)), responses((status = 200, body = Done)), security(("login" = [])))]
pub(crate) async fn restore(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Done>, Problem> {
    app.controller.submit(caller.asks(Ask::Restore { person: PersonId::new(&id) })).await?;
    Ok(Json(Done {}))
}

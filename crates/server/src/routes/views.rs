//! From the state to what the API shows. What may be seen is decided here, what may be done never is: that is `decide`.

use daypass_access::action::{Class, ClassSet, RiskSet};
use daypass_access::decide::{may_approve, may_decide};
use daypass_access::id::PersonId;
use daypass_access::policy::{Approver, ExtendApproval, Step};
use daypass_access::state::{Grant, GrantState, Hold, HoldState, Request, RequestState, State};
use daypass_access::time::Micros;
use daypass_api::requests as api;
use daypass_api::sessions::Hold as HoldView;

use crate::app::{App, Caller};
use crate::problem::Problem;

/// A personal field of control record `index`.
pub(crate) async fn personal_text(app: &App, index: u64, field: &str) -> Result<Option<String>, Problem> {
    let controller = app.controller.clone();
    let personal = tokio::task::spawn_blocking(move || controller.personal(index)).await;
    let personal = personal.map_err(|error| Problem::failed(&error))??;
    Ok(personal.text(field).filter(|text| !text.is_empty()))
}

/// Teams of a person.
pub(crate) fn teams(state: &State, person: &PersonId) -> Vec<String> {
    let teams = state.policy().teams.iter();
    teams.filter(|(_, team)| team.members.contains(person)).map(|(name, _)| name.to_string()).collect()
}

pub(crate) fn classes(classes: ClassSet) -> Vec<String> {
    classes.iter().map(|class| class.name().to_owned()).collect()
}

pub(crate) fn risks(risks: RiskSet) -> Vec<String> {
    risks.iter().map(|risk| risk.name().to_owned()).collect()
}

/// People who may satisfy step `number` of a request now. Who could is gathered from the policy in force, who may is
/// [`may_approve`]'s word, so that what is shown is what will be decided.
fn candidates(state: &State, request: &Request, number: u32, step: &Step, now: Micros) -> Vec<PersonId> {
    let profile = state.person(&request.filed.person).map(|person| &person.profile);
    let mut people: Vec<PersonId> = Vec::new();
    for approver in &step.any_of {
        match approver {
            Approver::Manager => people.extend(profile.and_then(|profile| profile.manager.clone())),
            Approver::Sponsor => people.extend(profile.and_then(|profile| profile.sponsor.clone())),
            Approver::Team(team) => {
                people.extend(
                    state.policy().teams.get(team).into_iter().flat_map(|team| team.members.iter().cloned()),
                );
            }
        }
    }
    people.sort_unstable();
    people.dedup();
    people.retain(|person| may_approve(state, request, number, person, now).is_some());
    people
}

/// A step in words: `1 of leads, manager`.
pub(crate) fn step_words(step: &Step) -> String {
    let any_of: Vec<String> = step.any_of.iter().map(ToString::to_string).collect();
    format!("{} of {}", step.count, any_of.join(", "))
}

/// Whether the caller may see a request at all: their own, one they could decide, or as administrator or auditor.
pub(crate) fn sees_request(caller: &Caller, request: &Request) -> bool {
    let state = &caller.state;
    state.same_human(&caller.person, &request.filed.person)
        || caller.is_auditor()
        || may_decide(state, request, &caller.person, caller.now)
        || request.approvals.iter().any(|approval| approval.by == caller.person)
}

fn request_status(state: &RequestState) -> api::RequestStatus {
    match state {
        RequestState::Pending => api::RequestStatus::Pending,
        RequestState::Approved => api::RequestStatus::Approved,
        RequestState::Denied => api::RequestStatus::Denied,
        RequestState::Withdrawn => api::RequestStatus::Withdrawn,
        RequestState::Expired => api::RequestStatus::Expired,
    }
}

/// A request, as the caller may see it.
pub(crate) async fn request(app: &App, caller: &Caller, request: &Request) -> Result<api::Request, Problem> {
    let (filed, state, now) = (&request.filed, &caller.state, caller.now);
    let status = request_status(&request.state(now));
    let open = (status == api::RequestStatus::Pending).then(|| request.open_step()).flatten();
    let mut steps = Vec::with_capacity(filed.steps.len());
    let mut can_approve = false;
    for (number, step) in (0_u32..).zip(&filed.steps) {
        let mut approvals = Vec::new();
        for approval in request.approvals.iter().filter(|approval| approval.step == number) {
            let comment = personal_text(app, approval.index, "comment").await?;
            approvals.push(api::Approval { person: approval.by.to_string(), at: approval.at.0, comment });
        }
        let candidates = candidates(state, request, number, step, now);
        let already = |person: &PersonId| request.approvals.iter().any(|a| state.same_human(&a.by, person));
        let satisfied = approvals.len() as u64 >= u64::from(step.count);
        let status = match open {
            _ if satisfied => "satisfied",
            Some(open) if open == number => "open",
            Some(_) | None => "waiting",
        };
        can_approve |= status == "open"
            && may_approve(state, request, number, &caller.person, now).is_some()
            && !already(&caller.person);
        steps.push(api::Step {
            words: step_words(step),
            candidates: candidates
                .iter()
                .filter(|person| !already(person))
                .map(ToString::to_string)
                .collect(),
            count: u64::from(step.count),
            status: status.to_owned(),
            approvals,
        });
    }
    let left = request.narrowed();
    Ok(api::Request {
        id: filed.request.to_string(),
        person: filed.person.to_string(),
        resource: filed.resource.to_string(),
        role: filed.role.to_string(),
        reason: personal_text(app, request.index, "reason").await?,
        status,
        filed_at: request.at.0,
        expires_at: filed.lives_until.0,
        duration_s: left.duration_s,
        starts_at: filed.starts.map(|at| at.0),
        policy_version: filed.policy,
        classes: classes(left.classes),
        holds: risks(left.holds),
        could_break: could_break(state, request, now),
        steps,
        can_approve,
        grant: request.grant.as_ref().map(ToString::to_string),
        extends: filed.extends.as_ref().map(ToString::to_string),
        denied_by: request
            .decided_by
            .as_ref()
            .filter(|_| status == api::RequestStatus::Denied)
            .map(ToString::to_string),
        comment: None,
    })
}

/// What a request could break, in words.
fn could_break(state: &State, request: &Request, now: Micros) -> Vec<String> {
    let zone = state.person(&request.filed.person).and_then(|person| person.profile.time_zone.clone());
    let zone = zone.and_then(|name| jiff::tz::TimeZone::get(&name).ok());
    let Some(radius) = state.blast_radius(request.id(), now, zone.as_ref()) else { return Vec::new() };
    let mut words = Vec::new();
    let place = format!("database `{}` at {}", radius.database, radius.address);
    for class in radius.dangerous.iter() {
        words.push(match class {
            Class::Session | Class::Read => continue,
            Class::Write => format!("may change data in {place}"),
            Class::Ddl => format!("may create, alter and drop tables in {place}"),
            Class::CopyIn => format!("may load data in bulk into {place}"),
            Class::CopyOut => format!("may export data in bulk from {place}"),
            Class::Call => "may call functions whose effect cannot be seen beforehand".to_owned(),
            Class::Replication => "may stream every change of the server".to_owned(),
            Class::Admin => "may do anything the account at the target may do".to_owned(),
        });
    }
    if !radius.unheld.is_empty() {
        words.push(format!("nobody is asked before: {}", risks(radius.unheld).join(", ")));
    }
    if radius.sensitive {
        words.push("the resource is marked sensitive".to_owned());
    }
    if radius.within_hours == Some(false) {
        words.push("outside of the person's working hours".to_owned());
    }
    if !radius.conflicts.is_empty() {
        words.push(format!("possible conflicts: {}", radius.conflicts.join(", ")));
    }
    if radius.others > 0 {
        words.push(format!("{} others have access to it now", radius.others));
    }
    words
}

/// Whether the caller may see a grant.
pub(crate) fn sees_grant(caller: &Caller, grant: &Grant) -> bool {
    let policy = caller.state.policy();
    caller.state.same_human(&caller.person, &grant.opened.person)
        || caller.is_auditor()
        || policy.is_member(&caller.person, &policy.system.may_kill)
        || caller.state.request(&grant.opened.request).is_some_and(|request| sees_request(caller, request))
}

/// A grant.
pub(crate) fn grant(app: &App, state: &State, grant: &Grant, now: Micros) -> api::Grant {
    let opened = &grant.opened;
    let status = match state.grant_state(grant, now) {
        GrantState::Scheduled => api::GrantStatus::Scheduled,
        GrantState::Active => api::GrantStatus::Active,
        GrantState::Ended => api::GrantStatus::Ended,
        GrantState::Returned => api::GrantStatus::Returned,
        GrantState::Revoked => api::GrantStatus::Revoked,
        GrantState::TenureEnded => api::GrantStatus::TenureEnded,
    };
    let live = matches!(status, api::GrantStatus::Active | api::GrantStatus::Scheduled);
    let extend = state.request(&opened.request).and_then(|request| request.filed.extend);
    let extension = extend
        .filter(|extend| live && grant.extended_by.is_none() && grant.depth < extend.times)
        .map(|extend| api::ExtensionOffer {
            by_s: extend.by_s,
            times_left: u64::from(extend.times.saturating_sub(grant.depth)),
            needs_approval: extend.approval == ExtendApproval::Same,
        });
    let id = opened.grant.to_string();
    let sessions = app.live.sessions().into_iter().filter(|session| session.grant == id);
    api::Grant {
        request: opened.request.to_string(),
        person: opened.person.to_string(),
        resource: opened.resource.to_string(),
        role: opened.role.to_string(),
        classes: classes(opened.classes),
        holds: risks(opened.holds),
        status,
        starts_at: opened.starts.0,
        ends_at: grant.ended.as_ref().map_or(opened.ends, |ended| ended.at.min(opened.ends)).0,
        extends: opened.extends.as_ref().map(ToString::to_string),
        approvers: opened.approvers.iter().map(ToString::to_string).collect(),
        extension,
        sessions: sessions.map(|session| session.id).collect(),
        id,
    }
}

/// Whether the caller may let a held action go on: as one who may decide the request its access began with, or as one of
/// those who may release any; never their own.
pub(crate) fn may_release(caller: &Caller, hold: &Hold) -> bool {
    let (state, now, policy) = (&caller.state, caller.now, caller.state.policy());
    if state.same_human(&caller.person, &hold.opened.person) || !state.in_good_standing(&caller.person, now) {
        return false;
    }
    let root = state.grant(&hold.opened.grant).and_then(|grant| state.grant(&grant.root));
    let request = root.and_then(|root| state.request(&root.opened.request));
    policy.is_member(&caller.person, &policy.system.may_release)
        || request.is_some_and(|request| may_decide(state, request, &caller.person, now))
}

/// A hold, when the caller may see it; `text` is what the gateway shows of the action its session holds now, which is this
/// one only as long as it waits.
pub(crate) fn hold(caller: &Caller, hold: &Hold, text: Option<String>) -> Option<HoldView> {
    let (state, now) = (&caller.state, caller.now);
    let could_decide = may_release(caller, hold);
    let own = state.same_human(&caller.person, &hold.opened.person);
    if !own && !could_decide && !caller.is_auditor() {
        return None;
    }
    let (status, decided_by) = match hold.state(now) {
        HoldState::Waiting => ("waiting", None),
        HoldState::Released { by, .. } => ("released", Some(by.to_string())),
        HoldState::Refused { by, .. } => ("refused", Some(by.to_string())),
        HoldState::Dropped { .. } => ("abandoned", None),
    };
    Some(HoldView {
        id: hold.opened.hold.to_string(),
        session: hold.opened.session.to_string(),
        person: hold.opened.person.to_string(),
        grant: hold.opened.grant.to_string(),
        resource: hold.opened.resource.to_string(),
        risks: risks(hold.opened.risks),
        text: text.filter(|_| status == "waiting"),
        rows: hold.opened.rows_estimate,
        status: status.to_owned(),
        opened_at: hold.at.0,
        decided_by,
        can_decide: could_decide && status == "waiting",
    })
}

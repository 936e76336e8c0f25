//! Requests and who approves them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, span, text, unknown};
use crate::action::ClassSet;
use crate::command::{Ask, Code, Denied};
use crate::fact::{
    Bound, Fact, GrantOpened, Narrowing, RequestApproved, RequestDenied, RequestFiled, RequestWithdrawn,
};
use crate::id::{GrantId, PersonId, RequestId, ResourceId, RoleId, RuleId};
use crate::person::PersonKind;
use crate::policy::{Approver, Role, Step};
use crate::state::{Narrowed, Request, RequestState, State};
use crate::time::Micros;

/// The shortest access worth giving.
const DURATION_MIN_S: u64 = 60;
/// How far ahead access can be asked for.
const AHEAD_MAX_S: u64 = 30 * 24 * 3600;
/// How many requests of one person can wait at a time.
const PENDING_MAX: usize = 20;

/// As what `person` may approve step `step` of `request` at `now`; `None` when they may not.
///
/// INVARIANT: I1. Never the requester, under whatever account; being an administrator opens nothing here.
/// I13: a team counts with the members it has now *and* had under the policy the request is bound to, so that a change of
/// policy never adds an approver to a request, and takes one away at once.
#[must_use]
pub fn may_approve(
    state: &State,
    request: &Request,
    step: u32,
    person: &PersonId,
    now: Micros,
) -> Option<Approver> {
    let step = request.filed.steps.get(step as usize)?;
    step_opens_to(state, &request.filed, step, person, now)
}

/// Whether `person` may deny `request`, revoke its grant or release what is held under it: who may approve any of its steps.
#[must_use]
pub fn may_decide(state: &State, request: &Request, person: &PersonId, now: Micros) -> bool {
    decides_as(state, &request.filed, person, now).is_some()
}

pub(super) fn decides_as(
    state: &State,
    filed: &RequestFiled,
    person: &PersonId,
    now: Micros,
) -> Option<Approver> {
    filed.steps.iter().find_map(|step| step_opens_to(state, filed, step, person, now))
}

fn step_opens_to(
    state: &State,
    filed: &RequestFiled,
    step: &Step,
    person: &PersonId,
    now: Micros,
) -> Option<Approver> {
    if state.same_human(person, &filed.person) || !state.in_good_standing(person, now) {
        return None;
    }
    let requester = &state.person(&filed.person)?.profile;
    let pinned = state.policy_of(filed.policy);
    let opens = |approver: &&Approver| match approver {
        Approver::Manager => requester.manager.as_ref() == Some(person),
        Approver::Sponsor => requester.sponsor.as_ref() == Some(person),
        Approver::Team(team) => {
            let team = std::slice::from_ref(team);
            state.policy().is_member(person, team)
                && pinned.is_some_and(|pinned| pinned.is_member(person, team))
        }
    };
    step.any_of.iter().find(opens).cloned()
}

/// Whether the steps can all be satisfied by distinct people. I2.
fn reachable(state: &State, filed: &RequestFiled, now: Micros) -> bool {
    let slots: Vec<&Step> = filed.steps.iter().flat_map(|step| (0..step.count).map(move |_| step)).collect();
    let mut options: BTreeMap<&PersonId, BTreeSet<usize>> = BTreeMap::new();
    for person in state.people() {
        let fits = |step: &Step| step_opens_to(state, filed, step, &person.id, now).is_some();
        let fitting = slots.iter().enumerate().filter(|(_, step)| fits(step)).map(|(at, _)| at);
        options.entry(state.human(&person.id)).or_default().extend(fitting);
    }
    let options: Vec<BTreeSet<usize>> = options.into_values().filter(|slots| !slots.is_empty()).collect();
    let mut taken: Vec<Option<usize>> = vec![None; slots.len()];
    let filled =
        (0..options.len()).filter(|one| seat(*one, &options, &mut taken, &mut BTreeSet::new())).count();
    filled == slots.len()
}

/// Finds a slot for `one`, moving others when that helps (augmenting path).
fn seat(
    one: usize,
    options: &[BTreeSet<usize>],
    taken: &mut [Option<usize>],
    tried: &mut BTreeSet<usize>,
) -> bool {
    let Some(fitting) = options.get(one) else { return false };
    for slot in fitting {
        if !tried.insert(*slot) {
            continue;
        }
        let holder = taken.get(*slot).copied().flatten();
        if holder.is_none_or(|holder| seat(holder, options, taken, tried)) {
            if let Some(seat) = taken.get_mut(*slot) {
                *seat = Some(one);
            }
            return true;
        }
    }
    false
}

impl<'s> Case<'s> {
    pub(super) fn request(&mut self, ask: &Ask) -> Result<(), Denied> {
        let Ask::Request { resource, role, reason, duration_s, starts, classes, urgency, ticket } = ask
        else {
            return Ok(());
        };
        let person = self.caller()?.person;
        text("reason", reason)?;
        text("ticket", ticket.as_deref().unwrap_or_default())?;
        let (role_id, role) = self.role_to_ask(&person, resource, role.as_ref())?;
        let policy = self.state.policy();
        let target = policy.resources.get(resource).ok_or_else(|| no_way(resource))?;
        if target.sensitive {
            self.fresh_caller()?;
        }
        self.sponsor_stands(&person)?;
        if role.reason_required && reason.trim().is_empty() {
            let hint = "say what it is for, with `--reason`";
            return Err(Denied::new(Code::ReasonNeeded, "a reason is required", hint));
        }
        let duration_s =
            duration_s.unwrap_or_else(|| role.default_duration_s.min(self.longest(&person, role)));
        self.check_duration(&person, role, duration_s)?;
        self.check_start(&person, *starts)?;
        let classes = narrower_classes(*classes, role.allow)?;
        self.check_pending(&person, resource, &role_id)?;
        let filed = RequestFiled {
            request: RequestId::numbered(self.state.requests().len() + 1),
            person: person.clone(),
            resource: resource.clone(),
            role: role_id.clone(),
            duration_s,
            starts: *starts,
            urgency: *urgency,
            classes,
            holds: role.hold,
            credential: role.credential.clone().unwrap_or_else(|| target.credential.clone()),
            steps: role.steps.clone(),
            extend: role.extend,
            lives_until: self.now.plus_s(policy.system.request_life_s),
            policy: self.state.policy_version(),
            extends: None,
            rule: RuleId::new(&format!("role/{role_id}/who-may-ask")),
        };
        self.file(&filed, reason, ticket.as_deref())
    }

    /// Files a request, and opens its grant at once when policy asks for nobody.
    pub(super) fn file(
        &mut self,
        filed: &RequestFiled,
        reason: &str,
        ticket: Option<&str>,
    ) -> Result<(), Denied> {
        if !reachable(self.state, filed, self.now) {
            let steps: Vec<String> = filed.steps.iter().map(step_words).collect();
            let message = format!("nobody could approve this: it needs {}", steps.join(", then "));
            let hint = "ask an administrator to add people to the team, or to set your manager or sponsor";
            return Err(Denied::new(Code::NoApprover, message, hint));
        }
        let person = filed.person.clone();
        let personal = vec![("reason", reason.to_owned()), ("ticket", ticket.unwrap_or_default().to_owned())];
        self.keep_sealed(filed.clone(), &person, personal);
        if filed.steps.is_empty() {
            let asked = Narrowed { duration_s: filed.duration_s, classes: filed.classes, holds: filed.holds };
            let grant = self.grant_of(filed, asked, Vec::new())?;
            self.keep(grant);
        }
        Ok(())
    }

    fn role_to_ask(
        &self,
        person: &PersonId,
        resource: &ResourceId,
        asked: Option<&RoleId>,
    ) -> Result<(RoleId, &'s Role), Denied> {
        let fitting: Vec<(&RoleId, &'s Role)> = self
            .state
            .policy()
            .roles_for(person, resource)
            .filter(|(id, _)| asked.is_none_or(|asked| asked == *id))
            .collect();
        match fitting.as_slice() {
            [] => Err(no_way(resource)),
            [(id, role)] => Ok(((*id).clone(), role)),
            several => {
                let names: Vec<String> = several.iter().map(|(id, _)| format!("`{id}`")).collect();
                let message = format!("several roles fit: {}", names.join(", "));
                Err(Denied::new(Code::RoleNeeded, message, "say which with `--role`"))
            }
        }
    }

    fn sponsor_stands(&self, person: &PersonId) -> Result<(), Denied> {
        let sponsor = self.state.person(person).and_then(|person| person.profile.sponsor.as_ref());
        match sponsor {
            Some(sponsor) if !self.state.in_good_standing(sponsor, self.now) => {
                let message = format!("your sponsor `{sponsor}` has no active account");
                let hint = "ask an administrator for another sponsor";
                Err(Denied::new(Code::Tenure, message, hint))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn longest(&self, person: &PersonId, role: &Role) -> u64 {
        match self.state.person(person).map(|person| person.profile.kind) {
            Some(PersonKind::Staff | PersonKind::Service | PersonKind::Agent) => role.max_duration_s,
            Some(PersonKind::Contractor) | None => role.max_duration_s.min(role.contractor_max_s),
        }
    }

    fn check_duration(&self, person: &PersonId, role: &Role, duration_s: u64) -> Result<(), Denied> {
        let longest = self.longest(person, role);
        if duration_s > longest {
            let message = format!("{} is longer than policy gives", span(duration_s));
            return Err(Denied::new(Code::TooLong, message, format!("ask for at most {}", span(longest))));
        }
        if duration_s < DURATION_MIN_S {
            let hint = format!("ask for at least {}", span(DURATION_MIN_S));
            return Err(Denied::new(Code::BadValue, "that is too short to be of use", hint));
        }
        Ok(())
    }

    fn check_start(&self, person: &PersonId, starts: Option<Micros>) -> Result<(), Denied> {
        let Some(starts) = starts else { return Ok(()) };
        if starts < self.now || starts > self.now.plus_s(AHEAD_MAX_S) {
            let hint = format!("choose a start from now to {} days ahead", AHEAD_MAX_S / 86_400);
            return Err(Denied::new(Code::BadValue, "access cannot start then", hint));
        }
        let tenure = self.state.person(person).and_then(|person| person.profile.tenure);
        if tenure.is_some_and(|tenure| !tenure.contains(starts)) {
            let hint = "choose a start within your tenure, or have your sponsor make it longer";
            return Err(Denied::new(Code::Tenure, "that is outside of your tenure", hint));
        }
        Ok(())
    }

    fn check_pending(&self, person: &PersonId, resource: &ResourceId, role: &RoleId) -> Result<(), Denied> {
        let mine: Vec<&Request> = self
            .state
            .pending_requests(self.now)
            .filter(|request| request.filed.person == *person)
            .map(|request| &**request)
            .collect();
        let twin = mine.iter().find(|request| {
            let filed = &request.filed;
            filed.resource == *resource && filed.role == *role && filed.extends.is_none()
        });
        if let Some(twin) = twin {
            let hint = format!("wait for it, or `daypass withdraw {}` first", twin.id());
            return Err(Denied::new(Code::Exists, format!("{} waits for the same already", twin.id()), hint));
        }
        if mine.len() >= PENDING_MAX {
            let message = format!("{} of your requests are waiting", mine.len());
            return Err(Denied::new(Code::BadValue, message, "withdraw some with `daypass withdraw`"));
        }
        Ok(())
    }

    fn pending(&self, id: &RequestId) -> Result<&'s Request, Denied> {
        let request = self.state.request(id).ok_or_else(|| unknown("request", id, "requests"))?;
        match request.state(self.now) {
            RequestState::Pending => Ok(request),
            RequestState::Expired => {
                let message = format!("{id} was not decided in time");
                Err(Denied::new(Code::Expired, message, "it can no longer be approved: ask again"))
            }
            other @ (RequestState::Approved | RequestState::Denied | RequestState::Withdrawn) => {
                let message = format!("{id} is {} already", other.name());
                Err(Denied::new(Code::WrongState, message, "nothing to do; see `daypass requests`"))
            }
        }
    }

    pub(super) fn approve(
        &mut self,
        id: &RequestId,
        narrow: Option<&Narrowing>,
        comment: &str,
    ) -> Result<(), Denied> {
        text("comment", comment)?;
        let by = self.caller()?.person;
        let request = self.pending(id)?.clone();
        let step = self.step_for(&request, &by)?;
        let caller = self.fresh_caller()?;
        let through = may_approve(self.state, &request, step, &by, self.now);
        let through = through.ok_or_else(|| not_this_step(&request, step))?;
        let narrowed = check_narrowing(&request, narrow)?;
        let fact = RequestApproved {
            request: id.clone(),
            step,
            by: by.clone(),
            through: through.to_string(),
            factor_at: caller.factor_at,
            narrowed: narrowed.clone(),
        };
        self.keep_sealed(fact, &by, vec![("comment", comment.to_owned())]);
        let mut after = request;
        after.approvals.push(crate::state::Approval {
            step,
            by,
            through: through.to_string(),
            at: self.now,
            narrowed,
            index: 0,
        });
        if after.open_step().is_none() {
            let approvers = self.distinct_approvers(&after)?;
            let grant = self.grant_of(&after.filed, after.narrowed(), approvers)?;
            self.keep(grant);
        }
        Ok(())
    }

    /// The step that `by` would approve. I1, I2.
    fn step_for(&self, request: &Request, by: &PersonId) -> Result<u32, Denied> {
        let id = request.id();
        if self.state.same_human(by, &request.filed.person) {
            let message = format!("{id} is your own request");
            let steps: Vec<String> = request.filed.steps.iter().map(step_words).collect();
            let hint = format!("it needs {}, and nobody approves their own", steps.join(", then "));
            return Err(Denied::new(Code::OwnRequest, message, hint));
        }
        if !may_decide(self.state, request, by, self.now) {
            let steps: Vec<String> = request.filed.steps.iter().map(step_words).collect();
            let message = format!("{id} is not yours to approve");
            return Err(Denied::new(
                Code::NotAllowed,
                message,
                format!("it needs {}", steps.join(", then ")),
            ));
        }
        if request.approvals.iter().any(|approval| self.state.same_human(&approval.by, by)) {
            let message = format!("you have approved {id} already");
            return Err(Denied::new(Code::ApprovedAlready, message, "the next step needs somebody else"));
        }
        let all_done =
            || Denied::new(Code::WrongState, format!("{id} has all its approvals"), "nothing to do");
        request.open_step().ok_or_else(all_done)
    }

    /// The approvers, when they are still distinct people other than the requester: accounts can turn out to be aliases
    /// between two approvals.
    fn distinct_approvers(&self, request: &Request) -> Result<Vec<PersonId>, Denied> {
        let mut humans = BTreeSet::from([self.state.human(&request.filed.person)]);
        for approval in &request.approvals {
            if !humans.insert(self.state.human(&approval.by)) {
                let message = format!("the approvals of {} are not by distinct people", request.id());
                let hint = "the request cannot be approved any more: withdraw it and ask again";
                return Err(Denied::new(Code::OwnRequest, message, hint));
            }
        }
        Ok(request.approvals.iter().map(|approval| approval.by.clone()).collect())
    }

    /// The grant of a request that has all it needs. I3, I7: its clock starts now, or at the start that was asked for.
    fn grant_of(
        &self,
        filed: &RequestFiled,
        left: Narrowed,
        approvers: Vec<PersonId>,
    ) -> Result<Fact, Denied> {
        let person = self.state.person(&filed.person);
        let standing = self.state.in_good_standing(&filed.person, self.now);
        let person = person.filter(|_| standing).ok_or_else(|| {
            let message = format!("`{}` cannot have access now", filed.person);
            Denied::new(Code::Tenure, message, "their account is suspended or outside of its tenure")
        })?;
        let before = filed.extends.as_ref().and_then(|grant| self.state.grant(grant));
        let starts = match before {
            Some(before) => before.opened.ends,
            None => filed.starts.map_or(self.now, |starts| starts.max(self.now)),
        };
        let asked = starts.plus_s(left.duration_s);
        let bounded = person.profile.tenure.map_or(asked, |tenure| asked.min(tenure.ends));
        if bounded <= starts {
            let message = format!("the tenure of `{}` ends before this access would start", filed.person);
            return Err(Denied::new(Code::Tenure, message, "an administrator can make the tenure longer"));
        }
        let bound = if bounded < asked {
            Bound::Tenure
        } else if before.is_some() {
            Bound::Extension
        } else if left.duration_s < filed.duration_s {
            Bound::Narrowed
        } else {
            Bound::Asked
        };
        let rule = if filed.steps.is_empty() { "no-steps" } else { "steps" };
        Ok(Fact::from(GrantOpened {
            grant: GrantId::numbered(self.state.grants().len() + 1),
            request: filed.request.clone(),
            person: filed.person.clone(),
            resource: filed.resource.clone(),
            role: filed.role.clone(),
            classes: left.classes,
            holds: left.holds,
            credential: filed.credential.clone(),
            starts,
            ends: bounded,
            bound,
            extends: filed.extends.clone(),
            approvers,
            rule: RuleId::new(&format!("role/{}/{rule}", filed.role)),
        }))
    }

    pub(super) fn deny(&mut self, id: &RequestId, comment: &str) -> Result<(), Denied> {
        text("comment", comment)?;
        let by = self.caller()?.person;
        let request = self.pending(id)?;
        if self.state.same_human(&by, &request.filed.person) {
            let hint = format!("run `daypass withdraw {id}`");
            return Err(Denied::new(Code::OwnRequest, format!("{id} is your own request"), hint));
        }
        let may =
            may_decide(self.state, request, &by, self.now) || self.state.is_administrator(&by, self.now);
        if !may {
            let hint = "those who may approve it, and administrators, can deny it";
            return Err(Denied::new(Code::NotAllowed, format!("{id} is not yours to deny"), hint));
        }
        let fact = RequestDenied { request: id.clone(), by: by.clone() };
        self.keep_sealed(fact, &by, vec![("comment", comment.to_owned())]);
        Ok(())
    }

    pub(super) fn withdraw(&mut self, id: &RequestId) -> Result<(), Denied> {
        let by = self.caller()?.person;
        let request = self.pending(id)?;
        if !self.state.same_human(&by, &request.filed.person) {
            let hint = format!("to refuse somebody else's, run `daypass deny {id}`");
            return Err(Denied::new(Code::NotAllowed, format!("{id} is not your request"), hint));
        }
        self.keep(RequestWithdrawn { request: id.clone(), by: Some(by) });
        Ok(())
    }
}

fn no_way(resource: &ResourceId) -> Denied {
    let message = format!("there is no way for you to ask for `{resource}`");
    Denied::new(Code::NotAllowed, message, "see what you can ask for with `daypass resources`")
}

/// A step in words: `1 of leads or the manager`.
pub(super) fn step_words(step: &Step) -> String {
    let who: Vec<String> = step.any_of.iter().map(|approver| format!("`{approver}`")).collect();
    format!("{} of {}", step.count, who.join(", "))
}

fn not_this_step(request: &Request, step: u32) -> Denied {
    let words = request.filed.steps.get(step as usize).map(step_words).unwrap_or_default();
    let message = format!("step {} of {} is open, and not yours", step + 1, request.id());
    Denied::new(Code::NotAllowed, message, format!("it needs {words} first"))
}

fn narrower_classes(asked: Option<ClassSet>, allowed: ClassSet) -> Result<ClassSet, Denied> {
    let Some(asked) = asked else { return Ok(allowed) };
    let outside: Vec<&str> = asked.minus(allowed).iter().map(crate::action::Class::name).collect();
    if !outside.is_empty() {
        let names: Vec<&str> = allowed.iter().map(crate::action::Class::name).collect();
        let message = format!("the role does not allow {}", outside.join(", "));
        return Err(Denied::new(Code::NotAllowed, message, format!("it allows {}", names.join(", "))));
    }
    if asked.is_empty() {
        return Err(Denied::new(
            Code::BadValue,
            "no class was asked for",
            "leave `--allow` out, or name one",
        ));
    }
    Ok(asked)
}

/// I8: an approver may only narrow.
fn check_narrowing(request: &Request, narrow: Option<&Narrowing>) -> Result<Option<Narrowing>, Denied> {
    let Some(narrow) = narrow.filter(|narrow| **narrow != Narrowing::default()) else { return Ok(None) };
    let now = request.narrowed();
    let not = |message: String, hint: String| Err(Denied::new(Code::NotNarrower, message, hint));
    if let Some(duration_s) = narrow.duration_s {
        if duration_s > now.duration_s {
            let message = format!("{} is longer than what was asked for", span(duration_s));
            return not(message, format!("give at most {}, or have them ask again", span(now.duration_s)));
        }
        if duration_s < DURATION_MIN_S {
            return not(
                format!("{} is too short to be of use", span(duration_s)),
                "deny the request instead".to_owned(),
            );
        }
    }
    if let Some(classes) = narrow.classes {
        let wider: Vec<&str> = classes.minus(now.classes).iter().map(crate::action::Class::name).collect();
        if !wider.is_empty() {
            let message = format!("{} was not asked for", wider.join(", "));
            return not(message, "leave it out, or have them ask again".to_owned());
        }
        if classes.is_empty() {
            return not("nothing would be left".to_owned(), "deny the request instead".to_owned());
        }
    }
    Ok(Some(narrow.clone()))
}

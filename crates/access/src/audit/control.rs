//! The control log, record by record: was each fact allowed to be, by what was known before it?

use super::{Anchored, Audit};
use crate::decide::{may_approve, may_decide};
use crate::fact::{
    Bound, Fact, GrantEnd, GrantEnded, GrantOpened, HoldReleased, LoginOpened, PassIssued, RequestApproved,
    RequestFiled,
};
use crate::id::PersonId;
use crate::person::PersonKind;
use crate::policy::Role;
use crate::record::ControlRecord;
use crate::state::{GrantState, HoldState, Narrowed, Request, RequestState, State};
use crate::time::Micros;

impl Audit {
    /// Takes the next record of the control log.
    pub fn control(&mut self, index: u64, leaf: &[u8]) {
        self.report.control += 1;
        let log = self.control_log.clone();
        if self.broken {
            return;
        }
        let record = match ControlRecord::decode(leaf) {
            Ok(record) => record,
            Err(error) => {
                self.broken = true;
                self.must("form", false, &log, index, || format!("{error}; what follows was not judged"));
                return;
            }
        };
        self.must("form", record.encode() == leaf, &log, index, || {
            "the record is not in the form that Daypass writes".to_owned()
        });
        self.must("form", record.at >= self.state.at(), &log, index, || {
            "the record is older than the one before it".to_owned()
        });
        self.judge(&log, index, record.at, &record.fact);
        if let Err(error) = self.state.apply(index, &record) {
            self.broken = true;
            self.must("I11", false, &log, index, || format!("{error}; what follows was not judged"));
            return;
        }
        if let Fact::Anchored(anchor) = &record.fact {
            let (log, root) = (anchor.log.clone(), anchor.root.clone());
            self.anchors.push(Anchored { log, size: anchor.size, root, index });
        }
        self.history.note(index, record.at, &record.fact, &self.state);
    }

    fn judge(&mut self, log: &str, index: u64, at: Micros, fact: &Fact) {
        let here = Here { log, index, at };
        match fact {
            Fact::RequestFiled(fact) => self.judge_filed(here, fact),
            Fact::RequestApproved(fact) => self.judge_approved(here, fact),
            Fact::GrantOpened(fact) => self.judge_grant(here, fact),
            Fact::GrantEnded(fact) => self.judge_ended(here, fact),
            Fact::PassIssued(fact) => self.judge_pass(here, fact),
            Fact::HoldReleased(fact) => self.judge_release(here, fact),
            Fact::LoginOpened(fact) => self.judge_login(here, fact),
            Fact::PersonInvited(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::PersonReinvited(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::PersonChanged(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::PersonRestored(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::PolicyApplied(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::SecretSet(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::SecretRemoved(f) => self.judge_administrator(here, f.by.as_ref()),
            Fact::RequestDenied(_)
            | Fact::RequestWithdrawn(_)
            | Fact::RequestExpired(_)
            | Fact::PersonEnrolled(_)
            | Fact::PersonSuspended(_)
            | Fact::FactorShown(_)
            | Fact::LoginClosed(_)
            | Fact::LoginRefused(_)
            | Fact::SessionKilled(_)
            | Fact::HoldOpened(_)
            | Fact::HoldRefused(_)
            | Fact::HoldDropped(_)
            | Fact::LogRead(_)
            | Fact::Anchored(_)
            | Fact::Recovered(_) => {}
        }
    }

    fn hold_to(
        &mut self,
        here: Here<'_>,
        invariant: &'static str,
        holds: bool,
        message: impl FnOnce() -> String,
    ) {
        self.must(invariant, holds, here.log, here.index, message);
    }

    /// People, policy and secrets are an administrator's, but for the founding.
    fn judge_administrator(&mut self, here: Here<'_>, by: Option<&PersonId>) {
        let founding = self.state.policy_version() == 0;
        let holds = by.map_or(founding, |by| self.state.is_administrator(by, here.at));
        self.hold_to(here, "I6", holds, || match by {
            Some(by) => format!("`{by}` was no administrator"),
            None => "the system does not do that by itself".to_owned(),
        });
    }

    fn judge_filed(&mut self, here: Here<'_>, filed: &RequestFiled) {
        let version = self.state.policy_version();
        let life_s = self.state.policy().system.request_life_s;
        let pinned = filed.policy == version;
        self.hold_to(here, "I13", pinned, || {
            format!("it is bound to policy {}, not {version}", filed.policy)
        });
        let lives = filed.lives_until <= here.at.plus_s(life_s);
        self.hold_to(here, "I18", lives, || "it lives longer than policy says".to_owned());
        let wrong = match &filed.extends {
            Some(_) => extension_is_wrong(&self.state, filed),
            None => request_is_wrong(&self.state, filed),
        };
        self.hold_to(here, "I6", wrong.is_none(), || wrong.unwrap_or_default());
        let standing = self.state.in_good_standing(&filed.person, here.at);
        self.hold_to(here, "I6", standing, || format!("`{}` could have nothing then", filed.person));
    }

    fn judge_approved(&mut self, here: Here<'_>, fact: &RequestApproved) {
        let Some(request) = self.state.request(&fact.request).cloned() else { return };
        let (id, by) = (&fact.request, &fact.by);
        let own = self.state.same_human(by, &request.filed.person);
        self.hold_to(here, "I1", !own, || format!("`{by}` approved their own request {id}"));
        let twice = request.approvals.iter().any(|approval| self.state.same_human(&approval.by, by));
        self.hold_to(here, "I2", !twice, || format!("`{by}` satisfied two steps of {id}"));
        let open = request.open_step() == Some(fact.step);
        let may = own || may_approve(&self.state, &request, fact.step, by, here.at).is_some();
        self.hold_to(here, "I6", open && may, || format!("step {} of {id} was not `{by}`'s", fact.step + 1));
        let pending = request.state(here.at) == RequestState::Pending;
        self.hold_to(here, "I18", pending, || {
            format!("{id} could no longer be approved: {}", request.state(here.at).name())
        });
        let wider = fact.narrowed.as_ref().is_some_and(|narrowed| {
            let left = request.narrowed();
            narrowed.duration_s.is_some_and(|s| s > left.duration_s)
                || narrowed.classes.is_some_and(|classes| !classes.minus(left.classes).is_empty())
        });
        self.hold_to(here, "I8", !wider, || format!("`{by}` gave more than {id} asks for"));
        let fresh = fact.factor_at <= here.at
            && fact.factor_at.plus_s(self.state.policy().system.factor_age_max_s) >= here.at;
        self.hold_to(here, "I1", fresh, || format!("`{by}` approved {id} without a fresh second factor"));
    }

    fn judge_grant(&mut self, here: Here<'_>, grant: &GrantOpened) {
        let id = &grant.grant;
        self.report.grants += 1;
        let Some(request) = self.state.request(&grant.request).cloned() else {
            return self.hold_to(here, "I6", false, || format!("{id} has no request"));
        };
        let pending = request.state(here.at) == RequestState::Pending && request.open_step().is_none();
        self.hold_to(here, "I18", pending, || format!("{} was not approved in time", request.id()));
        let left = request.narrowed();
        let wrong = differs(&request, &left, grant);
        self.hold_to(here, "I8", wrong.is_none(), || {
            format!("{id} is not what was approved: {}", wrong.unwrap_or_default())
        });
        let by: Vec<&PersonId> = request.approvals.iter().map(|approval| &approval.by).collect();
        let mut humans: Vec<&PersonId> = by.iter().map(|by| self.state.human(by)).collect();
        humans.push(self.state.human(&grant.person));
        humans.sort_unstable();
        let distinct = humans.windows(2).all(|pair| pair.first() != pair.get(1));
        self.hold_to(here, "I2", distinct, || format!("the approvers of {id} are not distinct people"));
        let named = by.into_iter().eq(&grant.approvers);
        self.hold_to(here, "I14", named, || format!("{id} names other approvers than approved it"));
        let tenure = self.state.person(&grant.person).and_then(|person| person.profile.tenure);
        let bounded = grant.starts < grant.ends
            && grant.ends <= grant.starts.plus_s(left.duration_s)
            && tenure.is_none_or(|tenure| grant.ends <= tenure.ends);
        self.hold_to(here, "I3", bounded, || format!("{id} ends later than it may"));
        let before = grant.extends.as_ref().and_then(|before| self.state.grant(before));
        let clock = match before {
            Some(before) => grant.starts == before.opened.ends && before.ended.is_none(),
            None => grant.extends.is_none() && grant.starts >= here.at,
        };
        self.hold_to(here, "I7", clock, || format!("the clock of {id} did not start when access started"));
    }

    fn judge_ended(&mut self, here: Here<'_>, fact: &GrantEnded) {
        let Some(grant) = self.state.grant(&fact.grant).cloned() else { return };
        let id = &fact.grant;
        let tenure = self.state.person(&grant.opened.person).and_then(|person| person.profile.tenure);
        let holds = match fact.how {
            GrantEnd::Ended => here.at >= grant.opened.ends,
            GrantEnd::TenureEnded => {
                tenure.is_some_and(|tenure| here.at >= tenure.ends)
                    || (grant.opened.bound == Bound::Tenure && here.at >= grant.opened.ends)
            }
            GrantEnd::Returned => {
                fact.by.as_ref().is_some_and(|by| self.state.same_human(by, &grant.opened.person))
            }
            GrantEnd::Revoked => fact.by.is_some(),
        };
        self.hold_to(here, "I5", holds, || {
            format!("{id} was not over when it was recorded as {}", fact.how.name())
        });
    }

    fn judge_pass(&mut self, here: Here<'_>, fact: &PassIssued) {
        let grant = self.state.grant(&fact.grant).cloned();
        let holds = grant.is_some_and(|grant| {
            grant.opened.person == fact.person
                && grant.opened.resource == fact.resource
                && self.state.grant_state(&grant, here.at) == GrantState::Active
        });
        self.hold_to(here, "I4", holds, || {
            format!("{} did not hold when {} was made", fact.grant, fact.pass)
        });
    }

    fn judge_release(&mut self, here: Here<'_>, fact: &HoldReleased) {
        let Some(hold) = self.state.hold(&fact.hold).cloned() else { return };
        let by = &fact.by;
        let own = self.state.same_human(by, &hold.opened.person);
        self.hold_to(here, "I1", !own, || format!("`{by}` released their own action"));
        let waiting = hold.state(here.at) == HoldState::Waiting;
        self.hold_to(here, "I18", waiting, || format!("{} no longer waited", fact.hold));
        let root = self.state.grant(&self.state.root_of(&hold.opened.grant)).cloned();
        let request = root.and_then(|root| self.state.request(&root.opened.request).cloned());
        let system = &self.state.policy().system;
        let team = self.state.in_good_standing(by, here.at)
            && self.state.policy().is_member(by, &system.may_release);
        let may = team || request.is_some_and(|request| may_decide(&self.state, &request, by, here.at));
        self.hold_to(here, "I6", own || may, || format!("`{by}` may not release {}", fact.hold));
    }

    fn judge_login(&mut self, here: Here<'_>, fact: &LoginOpened) {
        let standing = self.state.in_good_standing(&fact.person, here.at);
        self.hold_to(here, "I6", standing, || format!("`{}` could not log in", fact.person));
        let tenure = self.state.person(&fact.person).and_then(|person| person.profile.tenure);
        let bounded = tenure.is_none_or(|tenure| fact.ends <= tenure.ends);
        self.hold_to(here, "I3", bounded, || format!("{} lasts beyond the tenure", fact.login));
    }
}

/// The record being judged.
#[derive(Clone, Copy)]
struct Here<'l> {
    log: &'l str,
    index: u64,
    at: Micros,
}

/// What in a request goes beyond the role it names, under the policy in force.
fn request_is_wrong(state: &State, filed: &RequestFiled) -> Option<String> {
    let policy = state.policy();
    let Some((_, role)) = policy.roles_for(&filed.person, &filed.resource).find(|(id, _)| **id == filed.role)
    else {
        return Some(format!(
            "`{}` may not ask for role `{}` on `{}`",
            filed.person, filed.role, filed.resource
        ));
    };
    let longest = longest(state, &filed.person, role);
    let resource = policy.resources.get(&filed.resource)?;
    let checks = [
        (filed.duration_s <= longest, "longer than policy gives"),
        (filed.classes.minus(role.allow).is_empty(), "classes that the role does not allow"),
        (role.hold.minus(filed.holds).is_empty(), "fewer holds than the role has"),
        (filed.steps == role.steps, "other steps than the role has"),
        (filed.extend == role.extend, "another extension than the role has"),
        (
            filed.credential == *role.credential.as_ref().unwrap_or(&resource.credential),
            "another credential than the role has",
        ),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| format!("{} asks for {what}", filed.request))
}

fn longest(state: &State, person: &PersonId, role: &Role) -> u64 {
    let contractor = state.person(person).is_none_or(|p| p.profile.kind == PersonKind::Contractor);
    if contractor { role.max_duration_s.min(role.contractor_max_s) } else { role.max_duration_s }
}

/// What in an extension goes beyond the grant it makes longer.
fn extension_is_wrong(state: &State, filed: &RequestFiled) -> Option<String> {
    let before = filed.extends.as_ref().and_then(|id| state.grant(id))?;
    let request = state.request(&before.opened.request)?;
    let gives = request.filed.extend;
    let first = state.grant(&before.root).and_then(|root| state.request(&root.opened.request))?;
    let same = gives.is_none_or(|extend| extend.approval == crate::policy::ExtendApproval::Same);
    let g = &before.opened;
    let checks = [
        (gives.is_some_and(|extend| before.depth < extend.times), "once more than policy gives"),
        (gives.is_some_and(|extend| filed.duration_s <= extend.by_s), "longer than policy gives"),
        (filed.classes.minus(g.classes).is_empty(), "classes that the grant does not have"),
        (g.holds.minus(filed.holds).is_empty(), "fewer holds than the grant has"),
        (filed.credential == g.credential, "another credential than the grant has"),
        (filed.person == g.person && filed.resource == g.resource && filed.role == g.role, "another access"),
        (!same || filed.steps == first.filed.steps, "other steps than the access had"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| format!("{} asks for {what}", filed.request))
}

/// In what a grant differs from what was approved. I8.
fn differs(request: &Request, left: &Narrowed, grant: &GrantOpened) -> Option<&'static str> {
    let filed = &request.filed;
    let checks = [
        (grant.person == filed.person, "another person"),
        (grant.resource == filed.resource, "another resource"),
        (grant.role == filed.role, "another role"),
        (grant.classes == left.classes, "other classes"),
        (grant.holds == left.holds, "other holds"),
        (grant.credential == filed.credential, "another credential"),
        (grant.extends == filed.extends, "another grant it extends"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
}

//! Grants: longer, shorter, handed back, taken away; their passes and sessions.

use super::{Case, hash, text, unknown};
use crate::command::{Ask, Code, Denied};
use crate::fact::{GrantEnd, GrantEnded, PassIssued, RequestFiled, RequestWithdrawn, SessionKilled, Urgency};
use crate::id::{GrantId, PassId, PersonId, RequestId, RuleId};
use crate::policy::{Extend, ExtendApproval};
use crate::state::{Grant, GrantState, Request};

/// How many passes one grant can have in its life.
const PASSES_MAX: u64 = 200;

impl<'s> Case<'s> {
    fn known_grant(&self, id: &GrantId) -> Result<&'s Grant, Denied> {
        self.state.grant(id).map(|grant| &**grant).ok_or_else(|| unknown("grant", id, "status"))
    }

    fn own_grant(&self, id: &GrantId, person: &PersonId) -> Result<&'s Grant, Denied> {
        let own = self.state.grant(id).filter(|grant| grant.opened.person == *person);
        own.map(|grant| &**grant).ok_or_else(|| unknown("grant of yours", id, "status"))
    }

    /// The grant of `id`'s chain that holds now.
    fn active_of(&self, grant: &Grant) -> Result<&'s Grant, Denied> {
        let mut chain = self.state.chain(&grant.root).map(|grant| &**grant);
        chain.find(|grant| self.state.grant_state(grant, self.now) == GrantState::Active).ok_or_else(|| {
            let state = self.state.grant_state(grant, self.now);
            let ask = format!("daypass request {}", grant.opened.resource);
            let hint = match state {
                GrantState::Scheduled => "wait for its start; see `daypass status`".to_owned(),
                GrantState::Active
                | GrantState::Ended
                | GrantState::Returned
                | GrantState::Revoked
                | GrantState::TenureEnded => format!("ask again: `{ask}`"),
            };
            Denied::new(Code::Expired, format!("{} does not hold now: {}", grant.id(), state.name()), hint)
        })
    }

    /// Asks for a new grant that follows the last of the chain without a gap.
    pub(super) fn extend(&mut self, id: &GrantId, reason: &str) -> Result<(), Denied> {
        text("reason", reason)?;
        let person = self.caller()?.person;
        let grant = self.own_grant(id, &person)?;
        self.active_of(grant)?;
        let last = self.state.chain(&grant.root).last().map_or(grant, |grant| &**grant).clone();
        if !matches!(self.state.grant_state(&last, self.now), GrantState::Active | GrantState::Scheduled) {
            return Err(Denied::new(
                Code::WrongState,
                format!("{} is no longer there to extend", last.id()),
                format!("ask again: `daypass request {}`", last.opened.resource),
            ));
        }
        let request =
            self.state.request(&last.opened.request).ok_or_else(|| unknown("grant", id, "status"))?;
        let waiting = self
            .state
            .pending_requests(self.now)
            .find(|request| request.filed.extends.as_ref() == Some(last.id()));
        if let Some(waiting) = waiting {
            let hint = "wait for it; see `daypass requests`";
            let message = format!("{} asks for the same already", waiting.id());
            return Err(Denied::new(Code::Exists, message, hint));
        }
        let extend = self.extension(&last, request)?;
        let role = last.opened.role.clone();
        let steps = match extend.approval {
            ExtendApproval::None => Vec::new(),
            ExtendApproval::Same => {
                self.first_request(&last).map_or_else(Vec::new, |r| r.filed.steps.clone())
            }
        };
        let life = self.now.plus_s(self.state.policy().system.request_life_s);
        let filed = RequestFiled {
            request: RequestId::numbered(self.state.requests().len() + 1),
            person: person.clone(),
            resource: last.opened.resource.clone(),
            role: role.clone(),
            duration_s: extend.by_s,
            starts: Some(last.opened.ends),
            urgency: Urgency::High,
            classes: last.opened.classes,
            holds: last.opened.holds,
            credential: last.opened.credential.clone(),
            steps,
            extend: request.filed.extend,
            lives_until: life.min(last.opened.ends),
            policy: self.state.policy_version(),
            extends: Some(last.id().clone()),
            rule: RuleId::new(&format!("role/{role}/extend")),
        };
        self.file(&filed, reason, None)
    }

    fn first_request(&self, grant: &Grant) -> Option<&Request> {
        let root = self.state.grant(&grant.root)?;
        self.state.request(&root.opened.request).map(|request| &**request)
    }

    /// What policy gives: no more than it gave when the access was asked for (I13), and no more than it gives now.
    fn extension(&self, last: &Grant, request: &Request) -> Result<Extend, Denied> {
        let resource = &last.opened.resource;
        let not = |message: String| {
            Err(Denied::new(Code::TooLong, message, format!("ask again: `daypass request {resource}`")))
        };
        let now = self.state.policy().roles.get(&last.opened.role).and_then(|role| role.extend);
        let (Some(then), Some(now)) = (request.filed.extend, now) else {
            return not(format!("policy does not extend role `{}`", last.opened.role));
        };
        let times = then.times.min(now.times);
        if last.depth >= times {
            return not(format!("{} was extended {} times, as often as policy gives", last.root, last.depth));
        }
        let same = then.approval == ExtendApproval::Same || now.approval == ExtendApproval::Same;
        let approval = if same { ExtendApproval::Same } else { ExtendApproval::None };
        Ok(Extend { by_s: then.by_s.min(now.by_s), times, approval })
    }

    pub(super) fn hand_back(&mut self, id: &GrantId) -> Result<(), Denied> {
        let by = self.caller()?.person;
        let known = self.state.grant(id).filter(|g| self.state.same_human(&g.opened.person, &by));
        let grant = known.cloned().ok_or_else(|| unknown("grant of yours", id, "status"))?;
        self.end_chain(&grant, GrantEnd::Returned, &by)
    }

    pub(super) fn revoke(&mut self, id: &GrantId) -> Result<(), Denied> {
        let by = self.caller()?.person;
        let grant = self.known_grant(id)?.clone();
        if self.state.same_human(&grant.opened.person, &by) {
            let hint = format!("run `daypass done {id}`");
            return Err(Denied::new(Code::NotAllowed, format!("{id} is your own"), hint));
        }
        if !self.may_cut(&by, &grant) {
            let hint = "those who could have approved it, those who may kill, and administrators can";
            return Err(Denied::new(Code::NotAllowed, format!("{id} is not yours to revoke"), hint));
        }
        self.end_chain(&grant, GrantEnd::Revoked, &by)
    }

    /// Ends a grant and what it extends or is extended by: to a person it is one access.
    fn end_chain(&mut self, grant: &Grant, how: GrantEnd, by: &PersonId) -> Result<(), Denied> {
        let state = self.state;
        let holds = |grant: &Grant| {
            matches!(state.grant_state(grant, self.now), GrantState::Active | GrantState::Scheduled)
        };
        if !state.chain(&grant.root).any(|grant| holds(grant)) {
            let state = state.grant_state(grant, self.now);
            let message = format!("{} is {} already", grant.id(), state.name());
            return Err(Denied::new(Code::WrongState, message, "nothing to do"));
        }
        for one in state.chain(&grant.root).filter(|grant| grant.ended.is_none()) {
            self.end_grant(one, how, Some(by));
            let asks = |request: &&std::sync::Arc<Request>| request.filed.extends.as_ref() == Some(one.id());
            if let Some(request) = state.undecided_requests().find(asks) {
                self.keep(RequestWithdrawn { request: request.id().clone(), by: None });
            }
        }
        for hold in state.waiting_holds(self.now) {
            if state.root_of(&hold.opened.grant) == grant.root {
                self.keep_dropped(&hold.opened.hold, how.name());
            }
        }
        Ok(())
    }

    /// Records the end of one grant; one whose time had run out before says that instead.
    pub(super) fn end_grant(&mut self, grant: &Grant, how: GrantEnd, by: Option<&PersonId>) {
        let (how, by) = match self.state.grant_state(grant, self.now) {
            GrantState::Ended => (GrantEnd::Ended, None),
            GrantState::TenureEnded => (GrantEnd::TenureEnded, None),
            GrantState::Scheduled | GrantState::Active | GrantState::Returned | GrantState::Revoked => {
                (how, by)
            }
        };
        self.keep(GrantEnded { grant: grant.id().clone(), how, by: by.cloned() });
    }

    pub(super) fn issue_pass(&mut self, id: &GrantId, token: &str) -> Result<(), Denied> {
        hash("the token", token)?;
        let person = self.caller()?.person;
        let named = self.own_grant(id, &person)?;
        let grant = self.active_of(named)?;
        let sensitive = self
            .state
            .policy()
            .resources
            .get(&grant.opened.resource)
            .is_some_and(|resource| resource.sensitive);
        if sensitive {
            self.fresh_caller()?;
        }
        if grant.passes >= PASSES_MAX {
            let message = format!("{} has had {PASSES_MAX} passes", grant.id());
            return Err(Denied::new(
                Code::TooLong,
                message,
                "use one of them again, or ask again for access",
            ));
        }
        if self.state.has_pass_token(token) {
            return Err(Denied::new(Code::Exists, "that token is in use", "draw a new one"));
        }
        let fact = PassIssued {
            pass: PassId::numbered(self.state.passes_issued() + 1),
            grant: grant.id().clone(),
            person,
            resource: grant.opened.resource.clone(),
            token_sha256: token.to_owned(),
        };
        self.keep(fact);
        Ok(())
    }

    pub(super) fn kill(&mut self, ask: &Ask) -> Result<(), Denied> {
        let Ask::Kill { session, person, resource, grant, reason } = ask else { return Ok(()) };
        let by = self.caller()?.person;
        text("reason", reason)?;
        let known = self.known_grant(grant)?;
        let fits = known.opened.person == *person && known.opened.resource == *resource;
        let own = self.state.same_human(person, &by);
        if !fits || !(own || self.may_cut(&by, known)) {
            let message = format!("session `{session}` is not yours to kill");
            let hint = "its own person, those who could have approved it, those who may kill, and administrators can";
            return Err(Denied::new(Code::NotAllowed, message, hint));
        }
        if self.state.is_killed(session) {
            let message = format!("session `{session}` was killed already");
            return Err(Denied::new(Code::WrongState, message, "nothing to do"));
        }
        let fact = SessionKilled {
            session: session.clone(),
            person: person.clone(),
            resource: resource.clone(),
            by: Some(by.clone()),
        };
        self.keep_sealed(fact, &by, vec![("reason", reason.clone())]);
        Ok(())
    }
}

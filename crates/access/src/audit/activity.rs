//! The activity logs, streaming: was every action decided as the record says, under a grant that held?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Audit, cut_by};
use crate::action::Action;
use crate::activity::{
    self, Activity, ActivityRecord, Denied, Held, Intent, Outcome, SessionClosed, SessionOpened,
};
use crate::fact::Sealed;
use crate::id::{GrantId, PersonId, ResourceId, RoleId};
use crate::pipeline::{Decision, Entitlement, Gating, decide};
use crate::time::Micros;

/// A session that has not closed yet.
#[derive(Debug)]
pub(super) struct Session {
    person: PersonId,
    resource: ResourceId,
    role: RoleId,
    credential: String,
    /// As folded at the size of the last decision.
    known: Arc<Entitlement>,
    /// With everything the control log says in the end.
    hindsight: Arc<Entitlement>,
    /// Actions with an intent and no outcome yet.
    running: BTreeSet<u64>,
    /// The last action that had an intent; numbers only grow.
    last_intent: u64,
    /// Actions that were held: they have an intent once they are released, an outcome in any case.
    held: BTreeSet<u64>,
    opened: Micros,
}

impl Session {
    pub(super) fn unfinished(&self) -> u64 {
        self.running.len() as u64
    }
}

/// What a record says of a decision.
struct Decided<'a> {
    session: &'a str,
    person: &'a str,
    resource: &'a str,
    control: u64,
    action: Action,
    gate: Gating,
    at: Micros,
}

/// What the decision, made again, says.
enum Again {
    Allow { grant: GrantId, rule: String },
    Hold { grant: GrantId, rule: String, risks: crate::action::RiskSet },
    Deny,
}

impl Audit {
    /// Takes the next record of the activity log `log`. The control log must be through.
    pub fn activity(&mut self, log: &str, index: u64, leaf: &[u8]) {
        self.report.activity += 1;
        let record = match ActivityRecord::decode(leaf) {
            Ok(record) => record,
            Err(error) => return self.must("form", false, log, index, || error.to_string()),
        };
        match &record.activity {
            Activity::SessionOpened(opened) => {
                self.has_origin(log, index, record.sealed.as_ref());
                self.opened(log, index, record.at, opened);
            }
            Activity::Intent(intent) => self.intent(log, index, record.at, intent),
            Activity::Denied(denied) => self.denied(log, index, record.at, denied),
            Activity::Held(held) => self.held(log, index, record.at, held),
            Activity::Outcome(outcome) => self.outcome(log, index, outcome),
            Activity::SessionClosed(closed) => self.closed(log, index, record.at, closed),
            Activity::Refused(refused) => {
                self.has_origin(log, index, record.sealed.as_ref());
                let complete = !refused.because.is_empty();
                self.must("I10", complete, log, index, || "a refusal does not say why".to_owned());
            }
            Activity::TargetReached(activity::TargetReached { session, .. }) => {
                let known = self.sessions.contains_key(session.as_ref());
                self.must("I9", known, log, index, || {
                    format!("session `{session}` reached its target before it was let in")
                });
            }
            Activity::Cancel(_) | Activity::Recovered(_) | Activity::LowSpace(_) => {}
        }
    }

    /// From where: sealed, so that what the record shows is a commitment to it.
    fn has_origin(&mut self, log: &str, index: u64, sealed: Option<&Sealed>) {
        let has = sealed.is_some_and(|sealed| sealed.fields.contains_key("origin"));
        self.must("I10", has, log, index, || "no origin".to_owned());
    }

    fn opened(&mut self, log: &str, index: u64, at: Micros, opened: &SessionOpened<'_>) {
        self.report.sessions += 1;
        let (person, resource) = (PersonId::new(&opened.person), ResourceId::new(&opened.resource));
        let credential = self.history.credential(&opened.grant).unwrap_or_default().to_owned();
        let size = self.state.size();
        self.must("I14", opened.control <= size, log, index, || {
            format!("it was decided at {} control records, there are {size}", opened.control)
        });
        let known = self.history.entitlement(&person, &resource, &credential, opened.control);
        let deadline = known.deadline(at);
        self.must("I6", deadline.is_some(), log, index, || {
            format!("`{person}` had no access to `{resource}` when session `{}` was opened", opened.session)
        });
        let grant = known.rights.iter().find(|right| right.grant.as_str() == opened.grant);
        let live = grant.is_some_and(|right| right.starts <= at && at < right.ends);
        self.must("I10", live, log, index, || format!("{} did not hold then", opened.grant));
        let bounded = deadline.is_none_or(|deadline| opened.ends <= deadline);
        self.must("I4", bounded, log, index, || {
            format!("session `{}` was given longer than its grant", opened.session)
        });
        self.must("I10", !opened.pass.is_empty(), log, index, || "no pass".to_owned());
        let session = Session {
            role: RoleId::new(&opened.role),
            hindsight: Arc::new(self.history.hindsight(&person, &resource, &credential)),
            credential,
            known: Arc::new(known),
            running: BTreeSet::new(),
            last_intent: 0,
            held: BTreeSet::new(),
            opened: at,
            person,
            resource,
        };
        let before = self.sessions.insert(opened.session.to_string(), session);
        self.must("I10", before.is_none(), log, index, || {
            format!("session `{}` opened twice", opened.session)
        });
    }

    /// Makes a recorded decision again, for a session that asked for its role and for one that did not.
    fn again(&mut self, log: &str, index: u64, decided: &Decided<'_>) -> Option<[Again; 2]> {
        let size = self.state.size();
        let Some(session) = self.sessions.get_mut(decided.session) else {
            let named = decided.session.to_owned();
            self.must("I10", false, log, index, || format!("session `{named}` is not open"));
            return None;
        };
        let same = session.person.as_str() == decided.person && session.resource.as_str() == decided.resource;
        if session.known.control_size != decided.control {
            let known = self.history.entitlement(
                &session.person,
                &session.resource,
                &session.credential,
                decided.control,
            );
            session.known = Arc::new(known);
        }
        let (all, hindsight, role) =
            (Arc::clone(&session.known), Arc::clone(&session.hindsight), session.role.clone());
        let of_role = Entitlement {
            rights: all.rights.iter().filter(|right| right.role == role).cloned().collect(),
            ..(*all).clone()
        };
        let killed = self.history.killed.get(decided.session).copied();
        self.must("I10", same, log, index, || "another person or resource than its session".to_owned());
        self.must("I14", decided.control <= size, log, index, || {
            format!("it was decided at {} control records, there are {size}", decided.control)
        });
        let cut = killed.is_none_or(|killed| decided.at <= cut_by(killed));
        self.must("I4", cut, log, index, || "the session had been killed before".to_owned());
        let held = hindsight.deadline(decided.at).is_some();
        self.must("I4", held, log, index, || "the access had ended more than a second before".to_owned());
        Some([run(&of_role, decided), run(&all, decided)])
    }

    fn intent(&mut self, log: &str, index: u64, at: Micros, intent: &Intent<'_>) {
        self.report.actions += 1;
        let decided = Decided {
            session: &intent.session,
            person: &intent.person,
            resource: &intent.resource,
            control: intent.control,
            action: Action { classes: intent.classes, risks: intent.risks, pure_read: intent.pure_read },
            gate: intent.gate,
            at,
        };
        self.must("I10", !intent.verb.is_empty(), log, index, || "no verb".to_owned());
        let Some(again) = self.again(log, index, &decided) else { return };
        let released = intent.hold.as_deref();
        let holds = again.iter().any(|again| match again {
            Again::Allow { grant, rule } => grant.as_str() == intent.grant && *rule == intent.rule,
            Again::Hold { grant, rule, risks } => {
                let life = released.and_then(|hold| self.history.holds.get(hold));
                grant.as_str() == intent.grant
                    && *rule == intent.rule
                    && life.is_some_and(|life| {
                        life.session == intent.session
                            && life.action == intent.action
                            && risks.minus(life.risks).is_empty()
                            && life.released.is_some_and(|when| when <= at)
                    })
            }
            Again::Deny => false,
        });
        let denied = again.iter().all(|again| matches!(again, Again::Deny));
        self.must(if denied { "I6" } else { "I14" }, holds, log, index, || {
            let who = &intent.person;
            if denied {
                format!("`{who}` was let do what no grant allowed ({})", intent.verb)
            } else {
                format!("decided again, the action of `{who}` is not what rule `{}` allowed", intent.rule)
            }
        });
        if let Some(session) = self.sessions.get_mut(intent.session.as_ref()) {
            session.last_intent = session.last_intent.max(intent.action);
            // A released action may have been bound, and so recorded, before it was held.
            let fresh = session.running.insert(intent.action) || intent.hold.is_some();
            self.must("I10", fresh, log, index, || format!("action {} is there twice", intent.action));
        }
    }

    fn denied(&mut self, log: &str, index: u64, at: Micros, denied: &Denied<'_>) {
        self.report.actions += 1;
        let Some(session) = self.sessions.get(denied.session.as_ref()) else {
            let session = &denied.session;
            return self.must("I10", false, log, index, || format!("session `{session}` is not open"));
        };
        let same = session.person.as_str() == denied.person && session.resource.as_str() == denied.resource;
        if !matches!(denied.because.as_ref(), "no-grant" | "not-granted") {
            return self
                .must("I10", same, log, index, || "another person or resource than its session".to_owned());
        }
        let decided = Decided {
            session: &denied.session,
            person: &denied.person,
            resource: &denied.resource,
            control: denied.control,
            action: Action { classes: denied.classes, risks: denied.risks, pure_read: false },
            gate: Gating::default(),
            at,
        };
        let (person, resource) = (&session.person, &session.resource);
        let known = self.history.entitlement(person, resource, &session.credential, decided.control);
        let of_role = Entitlement {
            rights: known.rights.iter().filter(|right| right.role == session.role).cloned().collect(),
            ..known.clone()
        };
        let refused =
            [&of_role, &known].into_iter().any(|rights| matches!(run(rights, &decided), Again::Deny));
        self.must("I10", same, log, index, || "another person or resource than its session".to_owned());
        self.must("I14", refused, log, index, || "decided again, it would have been allowed".to_owned());
    }

    fn held(&mut self, log: &str, index: u64, at: Micros, held: &Held<'_>) {
        // The control log may have refused the hold, its grant having ended: then it is never released.
        let known = self.history.holds.get(held.hold.as_ref());
        let fits = known.is_none_or(|life| life.session == held.session && life.action == held.action);
        self.must("I14", fits, log, index, || format!("hold `{}` is of another action", held.hold));
        let session = self.sessions.get_mut(held.session.as_ref()).filter(|session| session.opened <= at);
        let open = session.is_some_and(|session| session.held.insert(held.action));
        self.must("I10", open, log, index, || format!("session `{}` is not open", held.session));
    }

    fn outcome(&mut self, log: &str, index: u64, outcome: &Outcome<'_>) {
        let session = self.sessions.get_mut(outcome.session.as_ref());
        let known = session.is_some_and(|session| match outcome.result.as_ref() {
            "not-released" => session.held.remove(&outcome.action),
            // A portal may be run again after its end: more outcomes of one action.
            _ => session.running.remove(&outcome.action) || outcome.action <= session.last_intent,
        });
        self.must("I9", known, log, index, || {
            format!("action {} of session `{}` has an outcome and no intent", outcome.action, outcome.session)
        });
    }

    fn closed(&mut self, log: &str, index: u64, at: Micros, closed: &SessionClosed<'_>) {
        let Some(session) = self.sessions.remove(closed.session.as_ref()) else {
            return self
                .must("I10", false, log, index, || format!("session `{}` is not open", closed.session));
        };
        self.report.without_outcome += session.unfinished();
        // Hindsight has the second for cutting in it already.
        let end = session.hindsight.deadline(session.opened);
        let in_time = end.is_none_or(|end| at <= end);
        self.must("I4", in_time, log, index, || {
            format!("session `{}` outlived its access by more than a second", closed.session)
        });
        let killed = self.history.killed.get(closed.session.as_ref()).copied();
        let cut = killed.is_none_or(|killed| at <= cut_by(killed));
        self.must("I4", cut, log, index, || format!("session `{}` outlived its kill", closed.session));
    }
}

fn run(entitlement: &Entitlement, decided: &Decided<'_>) -> Again {
    match decide(entitlement, decided.action, decided.at, decided.gate) {
        Decision::Allow(allow) => {
            Again::Allow { grant: allow.grant().clone(), rule: allow.rule().to_string() }
        }
        Decision::Hold(hold) => {
            Again::Hold { grant: hold.grant().clone(), rule: hold.rule().to_string(), risks: hold.risks }
        }
        Decision::Deny(_) => Again::Deny,
    }
}

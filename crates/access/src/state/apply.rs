//! The fold: one control record into the state.
//!
//! Folding trusts what was decided and only refuses what cannot be folded at all: a record out of place, or about
//! something that does not exist. Whether it should have been decided is the auditor's question (`audit.rs`).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::{
    Anchor, Approval, Ended, Grant, Hold, HoldState, Login, Pass, Person, Pinned, Request, RequestState,
    State,
};
use crate::fact::{
    Fact, GrantEnded, GrantOpened, HoldOpened, LoginOpened, PassIssued, PersonInvited, PolicyApplied,
    RequestApproved, RequestFiled,
};
use crate::id::{GrantId, HoldId, LoginId, PersonId, RequestId};
use crate::person::PersonState;
use crate::policy::Policy;
use crate::record::ControlRecord;
use crate::time::Micros;

/// Why a record cannot be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// The record is not the next one.
    OutOfPlace {
        /// The position that comes next.
        next: u64,
        /// Where it was found.
        index: u64,
        /// Where it says it belongs.
        seq: u64,
    },
    /// It is about something that does not exist, exists already, or is named out of order.
    Reference {
        /// Where the record is.
        index: u64,
        /// What it is about.
        what: String,
    },
    /// The policy in it cannot be read.
    Policy {
        /// Where the record is.
        index: u64,
        /// The first thing wrong.
        error: String,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfPlace { next, index, seq } => {
                write!(f, "control record {index} says it is record {seq}, expected {next}")
            }
            Self::Reference { index, what } => {
                write!(
                    f,
                    "control record {index} is about `{what}`, which does not fit the records before it"
                )
            }
            Self::Policy { index, error } => {
                write!(f, "control record {index} holds a wrong policy: {error}")
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// Where and when a record is.
#[derive(Clone, Copy)]
struct Here {
    index: u64,
    at: Micros,
}

impl Here {
    fn wrong(self, what: impl fmt::Display) -> ApplyError {
        ApplyError::Reference { index: self.index, what: what.to_string() }
    }
}

impl State {
    /// Folds the record at position `index` of the control log in.
    ///
    /// # Errors
    /// A record that is not the next one or does not fit those before it. The state is then unusable: it may have changed.
    pub fn apply(&mut self, index: u64, record: &ControlRecord) -> Result<(), ApplyError> {
        if index != self.size || record.seq != index {
            return Err(ApplyError::OutOfPlace { next: self.size, index, seq: record.seq });
        }
        self.fold(Here { index, at: record.at }, &record.fact)?;
        self.size += 1;
        self.at = self.at.max(record.at);
        Ok(())
    }

    fn fold(&mut self, here: Here, fact: &Fact) -> Result<(), ApplyError> {
        match fact {
            Fact::PersonInvited(_)
            | Fact::PersonReinvited(_)
            | Fact::PersonEnrolled(_)
            | Fact::PersonChanged(_)
            | Fact::PersonSuspended(_)
            | Fact::PersonRestored(_) => self.fold_person(here, fact)?,
            Fact::LoginOpened(fact) => self.login_opened(here, fact)?,
            Fact::FactorShown(fact) => {
                self.factor_step(here, &fact.person, fact.factor_step)?;
                self.change_login(here, &fact.login)?.factor_at = here.at;
            }
            Fact::LoginClosed(fact) => self.login_closed(here, &fact.login)?,
            Fact::PolicyApplied(fact) => self.policy_applied(here, fact)?,
            Fact::SecretSet(fact) => {
                Arc::make_mut(&mut self.secrets).insert(fact.name.clone());
            }
            Fact::SecretRemoved(fact) => {
                Arc::make_mut(&mut self.secrets).remove(&fact.name);
            }
            Fact::RequestFiled(fact) => self.filed(here, fact)?,
            Fact::RequestApproved(fact) => self.approved(here, fact)?,
            Fact::RequestDenied(fact) => {
                self.decided(here, &fact.request, RequestState::Denied, Some(&fact.by))?;
            }
            Fact::RequestWithdrawn(fact) => {
                self.decided(here, &fact.request, RequestState::Withdrawn, fact.by.as_ref())?;
            }
            Fact::RequestExpired(fact) => self.decided(here, &fact.request, RequestState::Expired, None)?,
            Fact::GrantOpened(fact) => self.grant_opened(here, fact)?,
            Fact::GrantEnded(fact) => self.grant_ended(here, fact)?,
            Fact::PassIssued(fact) => self.pass_issued(here, fact)?,
            Fact::SessionKilled(fact) => {
                Arc::make_mut(&mut self.killed).insert(fact.session.clone());
            }
            Fact::HoldOpened(fact) => self.hold_opened(here, fact)?,
            Fact::HoldReleased(fact) => {
                let by = fact.by.clone();
                self.change_hold(here, &fact.hold)?.recorded = HoldState::Released { by, at: here.at };
            }
            Fact::HoldRefused(fact) => {
                let by = fact.by.clone();
                self.change_hold(here, &fact.hold)?.recorded = HoldState::Refused { by, at: here.at };
            }
            Fact::HoldDropped(fact) => {
                let because = fact.because.clone();
                self.change_hold(here, &fact.hold)?.recorded = HoldState::Dropped { because };
            }
            Fact::Anchored(fact) => {
                let anchor = Anchor { size: fact.size, root: fact.root.clone() };
                Arc::make_mut(&mut self.anchors).insert(fact.log.clone(), anchor);
            }
            Fact::LoginRefused(_) | Fact::LogRead(_) | Fact::Recovered(_) => {}
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the facts about people, chosen by `fold`")]
    fn fold_person(&mut self, here: Here, fact: &Fact) -> Result<(), ApplyError> {
        match fact {
            Fact::PersonInvited(fact) => self.invited(here, fact)?,
            Fact::PersonReinvited(fact) => {
                let person = self.change_person(here, &fact.person)?;
                person.invitation_sha256 = Some(fact.invitation_sha256.clone());
                person.invitation_ends = fact.invitation_ends;
                person.state = PersonState::Invited;
                person.factors.clear();
            }
            Fact::PersonEnrolled(fact) => {
                let person = self.change_person(here, &fact.person)?;
                person.state = PersonState::Active;
                person.invitation_sha256 = None;
                person.factors.clone_from(&fact.factors);
            }
            Fact::PersonChanged(fact) => {
                self.change_person(here, &fact.person)?.profile = fact.profile.clone();
            }
            Fact::PersonSuspended(fact) => {
                self.change_person(here, &fact.person)?.state = PersonState::Suspended;
            }
            Fact::PersonRestored(fact) => {
                let person = self.change_person(here, &fact.person)?;
                let fresh = person.factors.is_empty();
                person.state = if fresh { PersonState::Invited } else { PersonState::Active };
            }
            _ => {}
        }
        Ok(())
    }

    fn invited(&mut self, here: Here, fact: &PersonInvited) -> Result<(), ApplyError> {
        let person = Person {
            id: fact.person.clone(),
            profile: fact.profile.clone(),
            state: PersonState::Invited,
            index: here.index,
            invitation_sha256: fact.invitation_sha256.clone(),
            invitation_ends: fact.invitation_ends,
            factor_step: None,
            factors: Vec::new(),
        };
        let before = Arc::make_mut(&mut self.people).insert(fact.person.clone(), Arc::new(person));
        if before.is_some() { Err(here.wrong(&fact.person)) } else { Ok(()) }
    }

    fn change_person(&mut self, here: Here, id: &PersonId) -> Result<&mut Person, ApplyError> {
        let person = Arc::make_mut(&mut self.people).get_mut(id);
        person.map(Arc::make_mut).ok_or_else(|| here.wrong(id))
    }

    fn factor_step(&mut self, here: Here, id: &PersonId, step: Option<u64>) -> Result<(), ApplyError> {
        let person = self.change_person(here, id)?;
        person.factor_step = person.factor_step.max(step);
        Ok(())
    }

    fn login_opened(&mut self, here: Here, fact: &LoginOpened) -> Result<(), ApplyError> {
        self.logins_opened += 1;
        if fact.login != LoginId::numbered(self.logins_opened) {
            return Err(here.wrong(&fact.login));
        }
        self.factor_step(here, &fact.person, fact.factor_step)?;
        let login = Login {
            id: fact.login.clone(),
            person: fact.person.clone(),
            token_sha256: fact.token_sha256.clone(),
            opened: here.at,
            factor_at: fact.factor_at,
            ends: fact.ends,
        };
        let logins = Arc::make_mut(&mut self.logins);
        let tokens = Arc::make_mut(&mut self.login_tokens);
        // What has run out is dropped now and then, by the times in the records alone, so that a replay does the same.
        if self.logins_opened.is_multiple_of(64) {
            logins.retain(|_, login| login.ends > here.at);
            tokens.retain(|_, token| logins.contains_key(token));
        }
        tokens.insert(fact.login.clone(), fact.token_sha256.clone());
        logins.insert(fact.token_sha256.clone(), Arc::new(login));
        Ok(())
    }

    fn change_login(&mut self, here: Here, id: &LoginId) -> Result<&mut Login, ApplyError> {
        let token = self.login_tokens.get(id).ok_or_else(|| here.wrong(id))?;
        let login = Arc::make_mut(&mut self.logins).get_mut(token);
        login.map(Arc::make_mut).ok_or_else(|| here.wrong(id))
    }

    fn login_closed(&mut self, here: Here, id: &LoginId) -> Result<(), ApplyError> {
        let token = Arc::make_mut(&mut self.login_tokens).remove(id).ok_or_else(|| here.wrong(id))?;
        Arc::make_mut(&mut self.logins).remove(&token);
        Ok(())
    }

    fn policy_applied(&mut self, here: Here, fact: &PolicyApplied) -> Result<(), ApplyError> {
        if fact.version != self.policy_version + 1 {
            return Err(here.wrong(format_args!("policy {}", fact.version)));
        }
        let policy = Policy::parse(&fact.files).map_err(|errors| ApplyError::Policy {
            index: here.index,
            error: errors.first().map(ToString::to_string).unwrap_or_default(),
        })?;
        self.policy = Arc::new(policy);
        self.policy_version = fact.version;
        // Who may decide a request, and cut off or release under its grant, is judged by the policy it is bound to.
        let roots = self.unended_grants().filter_map(|grant| self.grant(&grant.root));
        let granted = roots.filter_map(|grant| self.request(&grant.opened.request));
        let pinned: BTreeSet<u64> =
            self.undecided_requests().chain(granted).map(|request| request.filed.policy).collect();
        let policies = Arc::make_mut(&mut self.policies);
        policies.retain(|version, _| pinned.contains(version));
        let (files, policy) = (Arc::new(fact.files.clone()), Arc::clone(&self.policy));
        policies.insert(fact.version, Pinned { files, policy });
        Ok(())
    }

    fn filed(&mut self, here: Here, fact: &RequestFiled) -> Result<(), ApplyError> {
        let number = self.requests.len() + 1;
        if fact.request != RequestId::numbered(number) {
            return Err(here.wrong(&fact.request));
        }
        self.requests.push(Request {
            filed: fact.clone(),
            at: here.at,
            index: here.index,
            approvals: Vec::new(),
            recorded: RequestState::Pending,
            decided_by: None,
            decided_at: None,
            grant: None,
        });
        Arc::make_mut(&mut self.pending).insert(number);
        Ok(())
    }

    fn change_request(&mut self, here: Here, id: &RequestId) -> Result<(u64, &mut Request), ApplyError> {
        let number = id.number().ok_or_else(|| here.wrong(id))?;
        let request = self.requests.change(number).ok_or_else(|| here.wrong(id))?;
        if request.recorded == RequestState::Pending { Ok((number, request)) } else { Err(here.wrong(id)) }
    }

    fn approved(&mut self, here: Here, fact: &RequestApproved) -> Result<(), ApplyError> {
        let (_, request) = self.change_request(here, &fact.request)?;
        request.approvals.push(Approval {
            step: fact.step,
            by: fact.by.clone(),
            through: fact.through.clone(),
            at: here.at,
            narrowed: fact.narrowed.clone(),
            index: here.index,
        });
        Ok(())
    }

    fn decided(
        &mut self,
        here: Here,
        id: &RequestId,
        state: RequestState,
        by: Option<&PersonId>,
    ) -> Result<(), ApplyError> {
        let (number, request) = self.change_request(here, id)?;
        request.recorded = state;
        request.decided_by = by.cloned();
        request.decided_at = Some(here.at);
        Arc::make_mut(&mut self.pending).remove(&number);
        Ok(())
    }

    fn grant_opened(&mut self, here: Here, fact: &GrantOpened) -> Result<(), ApplyError> {
        let number = self.grants.len() + 1;
        if fact.grant != GrantId::numbered(number) {
            return Err(here.wrong(&fact.grant));
        }
        self.decided(here, &fact.request, RequestState::Approved, None)?;
        if let Some(request) = fact.request.number().and_then(|n| self.requests.change(n)) {
            request.grant = Some(fact.grant.clone());
        }
        let (mut root, mut depth) = (fact.grant.clone(), 0);
        if let Some(before) = &fact.extends {
            let before = self.change_grant(here, before)?;
            before.extended_by = Some(fact.grant.clone());
            (root, depth) = (before.root.clone(), before.depth + 1);
        }
        self.grants.push(Grant {
            opened: fact.clone(),
            at: here.at,
            index: here.index,
            ended: None,
            extended_by: None,
            root,
            depth,
            passes: 0,
        });
        let key = (fact.person.clone(), fact.resource.clone());
        Arc::make_mut(&mut self.live).entry(key).or_default().push(number);
        Ok(())
    }

    fn change_grant(&mut self, here: Here, id: &GrantId) -> Result<&mut Grant, ApplyError> {
        id.number().and_then(|number| self.grants.change(number)).ok_or_else(|| here.wrong(id))
    }

    fn grant_ended(&mut self, here: Here, fact: &GrantEnded) -> Result<(), ApplyError> {
        let grant = self.change_grant(here, &fact.grant)?;
        if grant.ended.is_some() {
            return Err(here.wrong(&fact.grant));
        }
        grant.ended = Some(Ended { how: fact.how, at: here.at, by: fact.by.clone(), index: here.index });
        let key = (grant.opened.person.clone(), grant.opened.resource.clone());
        let root = grant.root.clone();
        let live = Arc::make_mut(&mut self.live);
        if let Some(numbers) = live.get_mut(&key) {
            numbers.retain(|number| GrantId::numbered(*number) != fact.grant);
            if numbers.is_empty() {
                live.remove(&key);
            }
        }
        // Passes hold for the whole chain, so they go with the last of it.
        if !self.chain_is_live(&root) && self.passes.values().any(|pass| self.root_of(&pass.grant) == root) {
            let dead: Vec<String> = self
                .passes
                .values()
                .filter(|pass| self.root_of(&pass.grant) == root)
                .map(|pass| pass.token_sha256.clone())
                .collect();
            let passes = Arc::make_mut(&mut self.passes);
            for token in dead {
                passes.remove(&token);
            }
        }
        Ok(())
    }

    pub(crate) fn root_of(&self, grant: &GrantId) -> GrantId {
        self.grant(grant).map_or_else(|| grant.clone(), |grant| grant.root.clone())
    }

    fn chain_is_live(&self, root: &GrantId) -> bool {
        self.chain(root).any(|grant| grant.ended.is_none())
    }

    fn pass_issued(&mut self, here: Here, fact: &PassIssued) -> Result<(), ApplyError> {
        self.passes_issued += 1;
        let grant = self.change_grant(here, &fact.grant)?;
        grant.passes += 1;
        let pass = Pass {
            id: fact.pass.clone(),
            grant: fact.grant.clone(),
            person: fact.person.clone(),
            resource: fact.resource.clone(),
            token_sha256: fact.token_sha256.clone(),
        };
        Arc::make_mut(&mut self.passes).insert(fact.token_sha256.clone(), Arc::new(pass));
        Ok(())
    }

    fn hold_opened(&mut self, here: Here, fact: &HoldOpened) -> Result<(), ApplyError> {
        let hold =
            Hold { opened: fact.clone(), at: here.at, index: here.index, recorded: HoldState::Waiting };
        let before = Arc::make_mut(&mut self.holds).insert(fact.hold.clone(), Arc::new(hold));
        if before.is_some() { Err(here.wrong(&fact.hold)) } else { Ok(()) }
    }

    fn change_hold(&mut self, here: Here, id: &HoldId) -> Result<&mut Hold, ApplyError> {
        let hold = Arc::make_mut(&mut self.holds).get_mut(id);
        let hold = hold.map(Arc::make_mut).ok_or_else(|| here.wrong(id))?;
        if hold.recorded == HoldState::Waiting { Ok(hold) } else { Err(here.wrong(id)) }
    }
}

//! Every command is decided here, purely: state, command and time in, records or a refusal out.
//!
//! `decide.rs` says who asks and hands over to `decide/people.rs`, `decide/requests.rs`, `decide/grants.rs` and
//! `decide/holds.rs`. INVARIANT: the same state, command and time give the same records (I14). Nothing is half done: either
//! all records of a command are kept or none.
//!
//! A clock that was set back does not make anybody's time longer: a moment before the last record counts as that record's.

mod grants;
mod holds;
mod people;
mod requests;
mod sweep;

use crate::command::{Actor, Ask, Code, Command, Denied, TEXT_LEN_MAX};
use crate::fact::{Anchored, Fact, LogRead, PersonalFields, Recovered};
use crate::id::{LoginId, PersonId, TeamId};
use crate::record::{ControlRecord, Sealable};
use crate::state::{Grant, State};
use crate::time::Micros;

pub use requests::{may_approve, may_decide};

/// Decides `command` at `now`: the records to keep, in order, or why not. No record at all means that nothing is to be done.
///
/// # Errors
/// What is wrong and what to do next.
pub fn decide(state: &State, command: &Command, now: Micros) -> Result<Vec<ControlRecord>, Denied> {
    let mut case = Case::open(state, &command.by, now.max(state.at()))?;
    match &command.ask {
        Ask::Found { people, files } => case.found(people, files)?,
        Ask::Invite(new) => case.invite(new)?,
        Ask::Reinvite { person, invitation_sha256 } => case.reinvite(person, invitation_sha256)?,
        Ask::Enroll { person, invitation_sha256, factors } => {
            case.enroll(person, invitation_sha256, factors)?;
        }
        Ask::ChangePerson { person, profile } => case.change_person(person, profile)?,
        Ask::Suspend { person, reason } => case.suspend(person, reason)?,
        Ask::Restore { person } => case.restore(person)?,
        Ask::OpenLogin { person, token_sha256, factor_step } => {
            case.open_login(person, token_sha256, *factor_step)?;
        }
        Ask::ShowFactor { login, factor_step } => case.show_factor(login, *factor_step)?,
        Ask::CloseLogin { login } => case.close_login(login)?,
        Ask::RefuseLogin { person, origin, because } => {
            case.refuse_login(person.as_ref(), origin, because)?;
        }
        Ask::ApplyPolicy { files, planned_on } => case.apply_policy(files, *planned_on)?,
        Ask::SetSecret { name } => case.set_secret(name)?,
        Ask::RemoveSecret { name } => case.remove_secret(name)?,
        ask @ Ask::Request { .. } => case.request(ask)?,
        Ask::Approve { request, narrow, comment } => case.approve(request, narrow.as_ref(), comment)?,
        Ask::Deny { request, comment } => case.deny(request, comment)?,
        Ask::Withdraw { request } => case.withdraw(request)?,
        Ask::Extend { grant, reason } => case.extend(grant, reason)?,
        Ask::Return { grant } => case.hand_back(grant)?,
        Ask::Revoke { grant } => case.revoke(grant)?,
        Ask::IssuePass { grant, token_sha256 } => case.issue_pass(grant, token_sha256)?,
        ask @ Ask::Kill { .. } => case.kill(ask)?,
        ask @ Ask::OpenHold { .. } => case.open_hold(ask)?,
        Ask::ReleaseHold { hold, comment } => case.release_hold(hold, comment)?,
        Ask::RefuseHold { hold, comment } => case.refuse_hold(hold, comment)?,
        Ask::DropHold { hold, because } => case.drop_hold(hold, because)?,
        Ask::ReadLog { log, what, query, records, about } => {
            case.read_log(log, what, query, *records, about.as_ref())?;
        }
        Ask::Anchor { log, size, root } => case.anchor(log, *size, root)?,
        Ask::Recover { log, size, dropped_len } => {
            case.system_only()?;
            case.keep(Recovered { log: log.clone(), size: *size, dropped_len: *dropped_len });
        }
        Ask::Sweep => case.sweep()?,
    }
    Ok(case.records)
}

/// The person who asks, as their login proves it.
#[derive(Clone, Debug)]
struct Caller {
    person: PersonId,
    factor_at: Micros,
}

/// One command being decided.
#[derive(Debug)]
struct Case<'s> {
    state: &'s State,
    now: Micros,
    caller: Option<Caller>,
    records: Vec<ControlRecord>,
}

impl<'s> Case<'s> {
    fn open(state: &'s State, by: &Actor, now: Micros) -> Result<Self, Denied> {
        let caller = match by {
            Actor::System => None,
            Actor::Login(login) => {
                let login = live_login(state, login, now)?;
                Some(Caller { person: login.0, factor_at: login.1 })
            }
        };
        Ok(Self { state, now, caller, records: Vec::new() })
    }

    /// Keeps a fact as the next record.
    fn keep(&mut self, fact: impl Into<Fact>) {
        self.keep_with(fact, None);
    }

    /// Keeps a fact with personal values of `subject` beside it; empty values are left out.
    fn keep_sealed(&mut self, fact: impl Into<Fact>, subject: &PersonId, fields: PersonalFields) {
        let fields: PersonalFields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let personal = (!fields.is_empty()).then(|| Sealable { subject: subject.clone(), fields });
        self.keep_with(fact, personal);
    }

    fn keep_with(&mut self, fact: impl Into<Fact>, personal: Option<Sealable>) {
        let seq = self.state.size().saturating_add(self.records.len() as u64);
        self.records.push(ControlRecord { at: self.now, seq, fact: fact.into(), sealed: None, personal });
    }

    fn by(&self) -> Option<PersonId> {
        self.caller.as_ref().map(|caller| caller.person.clone())
    }

    fn system_only(&self) -> Result<(), Denied> {
        if self.caller.is_none() {
            return Ok(());
        }
        Err(Denied::new(
            Code::NotAllowed,
            "only the system itself does that",
            "nothing to do for a person here",
        ))
    }

    fn caller(&self) -> Result<Caller, Denied> {
        let needed = || Denied::new(Code::NotLoggedIn, "not logged in", "run `daypass login`");
        self.caller.clone().ok_or_else(needed)
    }

    /// The caller, when they showed their second factor recently enough.
    fn fresh_caller(&self) -> Result<Caller, Denied> {
        let caller = self.caller()?;
        let max_s = self.state.policy().system.factor_age_max_s;
        if caller.factor_at.plus_s(max_s) >= self.now {
            return Ok(caller);
        }
        let message = format!("your second factor was shown more than {} minutes ago", max_s / 60);
        Err(Denied::new(Code::FactorNeeded, message, "show it again: repeat the command with `--totp CODE`"))
    }

    fn administrator(&self) -> Result<Caller, Denied> {
        let caller = self.caller()?;
        if self.state.is_administrator(&caller.person, self.now) {
            return Ok(caller);
        }
        let hint = format!("ask one of {}", team_names(&self.state.policy().system.administrators));
        Err(Denied::new(Code::NotAllowed, "only administrators do that", hint))
    }

    fn fresh_administrator(&self) -> Result<Caller, Denied> {
        self.administrator()?;
        self.fresh_caller()
    }

    fn in_team(&self, person: &PersonId, teams: &[TeamId]) -> bool {
        self.state.in_good_standing(person, self.now) && self.state.policy().is_member(person, teams)
    }

    /// Whether `person` may cut somebody off: it only ever takes away, so it is given widely.
    fn may_cut(&self, person: &PersonId, grant: &Grant) -> bool {
        let owner = &grant.opened.person;
        let profile = self.state.person(owner).map(|owner| &owner.profile);
        let leads =
            profile.is_some_and(|p| p.manager.as_ref() == Some(person) || p.sponsor.as_ref() == Some(person));
        let request = self.state.request(&grant.opened.request);
        leads
            || self.in_team(person, &self.state.policy().system.may_kill)
            || self.state.is_administrator(person, self.now)
            || request.is_some_and(|request| may_decide(self.state, request, person, self.now))
    }

    fn read_log(
        &mut self,
        log: &str,
        what: &str,
        query: &str,
        records: u64,
        about: Option<&PersonId>,
    ) -> Result<(), Denied> {
        let caller = self.caller()?;
        let own = about.is_some_and(|about| self.state.same_human(about, &caller.person));
        if !own && !self.state.is_auditor(&caller.person, self.now) {
            let hint = format!(
                "you can read your own with `--person {}`, auditors can read everything",
                caller.person
            );
            return Err(Denied::new(Code::NotAllowed, "only auditors read what others did", hint));
        }
        text("query", query)?;
        text("log", log)?;
        text("what", what)?;
        let by = caller.person;
        let fact = LogRead {
            by: by.clone(),
            log: log.to_owned(),
            what: what.to_owned(),
            records,
            about: about.cloned(),
        };
        self.keep_sealed(fact, &by, vec![("query", query.to_owned())]);
        Ok(())
    }

    fn anchor(&mut self, log: &str, size: u64, root: &str) -> Result<(), Denied> {
        self.system_only()?;
        hash("root", root)?;
        if let Some(last) = self.state.anchor(log) {
            if size < last.size || (size == last.size && root != last.root) {
                let message = format!("log `{log}` has {size} records, its last anchor has {}", last.size);
                let hint = "the log was rolled back or rewritten: stop, keep the disk, run `daypass verify`";
                return Err(Denied::new(Code::Stale, message, hint));
            }
            if size == last.size {
                return Ok(());
            }
        }
        self.keep(Anchored { log: log.to_owned(), size, root: root.to_owned() });
        Ok(())
    }
}

fn live_login(state: &State, id: &LoginId, now: Micros) -> Result<(PersonId, Micros), Denied> {
    let login = state.login(id).filter(|login| now < login.ends);
    let standing = login.filter(|login| state.in_good_standing(&login.person, now));
    standing
        .map(|login| (login.person.clone(), login.factor_at))
        .ok_or_else(|| Denied::new(Code::NotLoggedIn, "your login has ended", "run `daypass login`"))
}

fn team_names(teams: &[TeamId]) -> String {
    match teams {
        [] => "nobody: the policy names no team for it".to_owned(),
        teams => teams.iter().map(|team| format!("`{team}`")).collect::<Vec<_>>().join(", "),
    }
}

fn text(what: &str, value: &str) -> Result<(), Denied> {
    if value.len() <= TEXT_LEN_MAX {
        return Ok(());
    }
    let message = format!("the {what} has {} bytes", value.len());
    Err(Denied::new(Code::BadValue, message, format!("say it in {TEXT_LEN_MAX}")))
}

fn hash(what: &str, value: &str) -> Result<(), Denied> {
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if value.len() == 64 && value.bytes().all(hex) {
        return Ok(());
    }
    let message = format!("{what} is not a SHA-256 in lower-case hex");
    Err(Denied::new(Code::BadValue, message, "send 64 of `0-9a-f`"))
}

fn unknown(what: &str, name: impl std::fmt::Display, list: &str) -> Denied {
    Denied::new(Code::Unknown, format!("there is no {what} `{name}`"), format!("see `daypass {list}`"))
}

/// A span for people: `1 h 30 min`.
pub(crate) fn span(seconds: u64) -> String {
    let (h, min, s) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    let parts = [(h, "h"), (min, "min"), (s, "s")];
    let said: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

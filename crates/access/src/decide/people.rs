//! People, their logins, policy and secrets.

use std::collections::BTreeSet;

use super::{Case, hash, text, unknown};
use crate::command::{Code, Denied, NewPerson, POLICY_LEN_MAX};
use crate::fact::{
    FactorShown, GrantEnd, LoginClosed, LoginOpened, LoginRefused, PersonChanged, PersonEnrolled,
    PersonInvited, PersonReinvited, PersonRestored, PersonSuspended, PolicyApplied, RequestWithdrawn,
    SecretRemoved, SecretSet,
};
use crate::id::{LoginId, PersonId, well_formed};
use crate::person::{PersonKind, PersonState, Profile};
use crate::policy::{Files, Policy};
use crate::record::UNKNOWN;
use crate::state::Person;

/// Names that would be taken for something else.
const RESERVED: [&str; 5] = ["system", "daypass", "manager", "sponsor", UNKNOWN];

impl<'s> Case<'s> {
    pub(super) fn found(&mut self, people: &[NewPerson], files: &Files) -> Result<(), Denied> {
        self.system_only()?;
        if self.state.size() != 0 {
            let hint =
                "an installation is founded once; use `daypass policy apply` and `daypass people invite`";
            return Err(Denied::new(Code::Exists, "this installation was founded already", hint));
        }
        let mut known = BTreeSet::new();
        for new in people {
            if !known.insert(new.person.clone()) {
                return Err(exists(&new.person));
            }
        }
        for new in people {
            self.check_person(&new.person, &new.profile, &known)?;
            self.keep_invited(new, None)?;
        }
        let policy = read_policy(files)?;
        policy.check_people(&known, files).map_err(bad_policy)?;
        if !known.iter().any(|person| policy.is_member(person, &policy.system.administrators)) {
            return Err(nobody_administers());
        }
        self.keep(PolicyApplied { version: 1, by: None, files: files.clone() });
        Ok(())
    }

    pub(super) fn invite(&mut self, new: &NewPerson) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        if self.state.person(&new.person).is_some() {
            return Err(exists(&new.person));
        }
        let mut known = self.known();
        known.insert(new.person.clone());
        self.check_person(&new.person, &new.profile, &known)?;
        self.keep_invited(new, Some(by))
    }

    fn keep_invited(&mut self, new: &NewPerson, by: Option<PersonId>) -> Result<(), Denied> {
        text("name", &new.name)?;
        text("e-mail address", &new.email)?;
        if let Some(code) = &new.invitation_sha256 {
            hash("the invitation", code)?;
        }
        let fact = PersonInvited {
            person: new.person.clone(),
            by,
            profile: new.profile.clone(),
            invitation_sha256: new.invitation_sha256.clone(),
            invitation_ends: self.now.plus_s(self.state.policy().system.invitation_life_s),
        };
        let fields = vec![("name", new.name.clone()), ("email", new.email.clone())];
        self.keep_sealed(fact, &new.person, fields);
        Ok(())
    }

    fn known(&self) -> BTreeSet<PersonId> {
        self.state.people().map(|person| person.id.clone()).collect()
    }

    fn somebody(&self, id: &PersonId) -> Result<&'s Person, Denied> {
        self.state.person(id).map(|person| &**person).ok_or_else(|| unknown("person", id, "people"))
    }

    /// What a profile must be, given that `known` are the people there will be.
    fn check_person(
        &self,
        id: &PersonId,
        profile: &Profile,
        known: &BTreeSet<PersonId>,
    ) -> Result<(), Denied> {
        let bad = |message: String, hint: &str| Err(Denied::new(Code::BadValue, message, hint));
        if !well_formed(id.as_str()) || RESERVED.contains(&id.as_str()) {
            let hint =
                "use 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first, and no word of Daypass itself";
            return bad(format!("`{id}` cannot be a person's handle"), hint);
        }
        let others =
            [("manager", &profile.manager), ("sponsor", &profile.sponsor), ("alias", &profile.alias_of)];
        for (what, other) in others.into_iter().filter_map(|(what, other)| Some((what, other.as_ref()?))) {
            if !known.contains(other) {
                return Err(unknown(what, other, "people"));
            }
            if other == id || (what != "alias" && self.is_alias(id, profile, other)) {
                return bad(format!("`{id}` cannot be their own {what}"), "name somebody else");
            }
        }
        let main = profile.alias_of.as_ref().and_then(|other| self.state.person(other));
        if main.is_some_and(|main| main.profile.alias_of.is_some()) {
            return bad(
                format!("`{id}` would be a second account of a second account"),
                "name the first account",
            );
        }
        if profile.alias_of.is_some() && self.state.people().any(|p| p.profile.alias_of.as_ref() == Some(id))
        {
            return bad(
                format!("`{id}` has second accounts of its own"),
                "make those second accounts of the other",
            );
        }
        if main.is_some_and(|main| main.state == PersonState::Suspended) {
            return bad("that person is suspended".to_owned(), "restore them first");
        }
        if profile.kind == PersonKind::Contractor {
            let complete = profile.organisation.as_ref().is_some_and(|o| !o.trim().is_empty())
                && profile.sponsor.is_some();
            if !complete || profile.tenure.is_none() {
                let hint = "say `--organisation`, `--sponsor` and `--until`";
                return bad("a contractor has an organisation, a sponsor and a tenure".to_owned(), hint);
            }
        }
        if profile.tenure.is_some_and(|tenure| tenure.starts >= tenure.ends) {
            return bad("the tenure ends before it starts".to_owned(), "look at `--from` and `--until`");
        }
        if profile.hours.as_ref().is_some_and(|hours| !hours.well_formed()) {
            return bad("these are no working hours".to_owned(), "say for example `mon-fri 09:00-17:00`");
        }
        let texts = profile.organisation.iter().chain(&profile.time_zone).chain(&profile.conflicts);
        texts.into_iter().try_for_each(|value| text("profile", value))
    }

    fn is_alias(&self, id: &PersonId, profile: &Profile, other: &PersonId) -> bool {
        let main = profile.alias_of.as_ref().unwrap_or(id);
        self.state.human(other) == self.state.human(main)
    }

    pub(super) fn reinvite(&mut self, id: &PersonId, code: &str) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        hash("the invitation", code)?;
        if self.state.same_human(id, &by) {
            let hint = "ask another administrator";
            return Err(Denied::new(Code::OwnRequest, "nobody renews their own invitation", hint));
        }
        if self.somebody(id)?.state == PersonState::Suspended {
            let hint = format!("run `daypass people restore {id}` first");
            return Err(Denied::new(Code::WrongState, format!("`{id}` is suspended"), hint));
        }
        self.keep(PersonReinvited {
            person: id.clone(),
            by: Some(by.clone()),
            invitation_sha256: code.to_owned(),
            invitation_ends: self.now.plus_s(self.state.policy().system.invitation_life_s),
        });
        self.close_logins_of(id, Some(&by));
        Ok(())
    }

    pub(super) fn enroll(&mut self, id: &PersonId, code: &str, factors: &[String]) -> Result<(), Denied> {
        self.system_only()?;
        let hint = "ask an administrator for a new one: `daypass people invite`";
        let wrong = || Denied::new(Code::NotAllowed, "this invitation is not good", hint);
        let person = self.state.person(id).ok_or_else(wrong)?;
        let good = person.state == PersonState::Invited
            && self.now < person.invitation_ends
            && person.invitation_sha256.as_deref() == Some(code);
        if !good {
            return Err(wrong());
        }
        if factors.is_empty() {
            let hint = "set up a password and a one-time password";
            return Err(Denied::new(Code::BadValue, "no factor was set up", hint));
        }
        self.keep(PersonEnrolled { person: id.clone(), factors: factors.to_vec() });
        Ok(())
    }

    pub(super) fn change_person(&mut self, id: &PersonId, profile: &Profile) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        let before = self.somebody(id)?.profile.alias_of.clone();
        self.check_person(id, profile, &self.known())?;
        if self.state.same_human(id, &by) {
            let hint = "ask another administrator";
            return Err(Denied::new(Code::OwnRequest, "nobody changes their own profile", hint));
        }
        if before.is_some() && before != profile.alias_of {
            // I1, I2: otherwise an alias is dissolved for as long as an approval takes.
            let hint = "suspend the second account and invite a new person instead";
            return Err(Denied::new(Code::WrongState, "a second account stays one for ever", hint));
        }
        self.keep(PersonChanged { person: id.clone(), by: Some(by), profile: profile.clone() });
        Ok(())
    }

    pub(super) fn suspend(&mut self, id: &PersonId, reason: &str) -> Result<(), Denied> {
        let by = self.caller()?.person;
        text("reason", reason)?;
        let sponsor = self.state.person(id).is_some_and(|p| p.profile.sponsor.as_ref() == Some(&by));
        let may = sponsor || self.in_team(&by, &self.state.policy().system.may_kill);
        if !may {
            self.administrator()?;
        }
        let person = self.somebody(id)?;
        if self.state.same_human(id, &by) {
            let hint = "ask another administrator";
            return Err(Denied::new(Code::OwnRequest, "nobody suspends themselves", hint));
        }
        if person.state == PersonState::Suspended {
            let hint = "nothing to do";
            return Err(Denied::new(Code::WrongState, format!("`{id}` is suspended already"), hint));
        }
        let accounts: Vec<PersonId> = self
            .state
            .people()
            .filter(|p| p.state != PersonState::Suspended && self.state.same_human(&p.id, id))
            .map(|p| p.id.clone())
            .collect();
        for account in accounts {
            let fact = PersonSuspended { person: account.clone(), by: Some(by.clone()) };
            self.keep_sealed(fact, &account, vec![("reason", reason.to_owned())]);
            self.take_everything(&account, &by);
        }
        Ok(())
    }

    /// Ends whatever an account has: grants, requests, held actions, logins. Passes go with their grants.
    fn take_everything(&mut self, account: &PersonId, by: &PersonId) {
        let state = self.state;
        for grant in state.unended_grants().filter(|grant| grant.opened.person == *account) {
            self.end_grant(grant, GrantEnd::Revoked, Some(by));
        }
        for request in state.undecided_requests().filter(|request| request.filed.person == *account) {
            self.keep(RequestWithdrawn { request: request.id().clone(), by: None });
        }
        for hold in state.waiting_holds(self.now).filter(|hold| hold.opened.person == *account) {
            self.keep_dropped(&hold.opened.hold, "suspended");
        }
        self.close_logins_of(account, Some(by));
    }

    fn close_logins_of(&mut self, account: &PersonId, by: Option<&PersonId>) {
        let mut logins: Vec<LoginId> =
            self.state.logins().filter(|login| login.person == *account).map(|l| l.id.clone()).collect();
        logins.sort_by_key(LoginId::number);
        for login in logins {
            self.keep(LoginClosed { login, person: account.clone(), by: by.cloned() });
        }
    }

    pub(super) fn restore(&mut self, id: &PersonId) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        if self.somebody(id)?.state != PersonState::Suspended {
            return Err(Denied::new(Code::WrongState, format!("`{id}` is not suspended"), "nothing to do"));
        }
        self.keep(PersonRestored { person: id.clone(), by: Some(by) });
        Ok(())
    }

    fn unused_step(&self, id: &PersonId, step: Option<u64>) -> Result<(), Denied> {
        let used = self.somebody(id)?.factor_step;
        if step.is_some() && step <= used {
            let hint = "wait for the next one, at most 30 seconds";
            return Err(Denied::new(Code::FactorReplayed, "that one-time password was used before", hint));
        }
        Ok(())
    }

    pub(super) fn open_login(&mut self, id: &PersonId, token: &str, step: Option<u64>) -> Result<(), Denied> {
        self.system_only()?;
        hash("the token", token)?;
        let person = self.state.person(id).filter(|_| self.state.in_good_standing(id, self.now));
        let Some(person) = person else {
            let hint = "ask an administrator whether the account is active and within its tenure";
            return Err(Denied::new(Code::NotAllowed, "this account cannot log in", hint));
        };
        self.unused_step(id, step)?;
        if self.state.has_login_token(token) {
            return Err(Denied::new(Code::Exists, "that token is in use", "draw a new one"));
        }
        let system = &self.state.policy().system;
        let life_s = match person.profile.kind {
            PersonKind::Contractor => system.contractor_login_life_s,
            PersonKind::Staff | PersonKind::Service | PersonKind::Agent => system.login_life_s,
        };
        let ends = self.now.plus_s(life_s);
        let ends = person.profile.tenure.map_or(ends, |tenure| ends.min(tenure.ends));
        self.keep(LoginOpened {
            login: LoginId::numbered(self.state.logins_opened() + 1),
            person: id.clone(),
            token_sha256: token.to_owned(),
            factor_at: self.now,
            factor_step: step,
            ends,
        });
        Ok(())
    }

    pub(super) fn show_factor(&mut self, login: &LoginId, step: Option<u64>) -> Result<(), Denied> {
        self.system_only()?;
        let (person, _) = super::live_login(self.state, login, self.now)?;
        self.unused_step(&person, step)?;
        self.keep(FactorShown { login: login.clone(), person, factor_step: step });
        Ok(())
    }

    pub(super) fn close_login(&mut self, id: &LoginId) -> Result<(), Denied> {
        let by = self.by();
        let login = self.state.login(id).ok_or_else(|| unknown("login", id, "whoami"))?;
        if by.as_ref().is_some_and(|by| *by != login.person) {
            self.administrator()?;
        }
        self.keep(LoginClosed { login: id.clone(), person: login.person.clone(), by });
        Ok(())
    }

    pub(super) fn refuse_login(
        &mut self,
        person: Option<&PersonId>,
        origin: &str,
        because: &str,
    ) -> Result<(), Denied> {
        self.system_only()?;
        text("origin", origin)?;
        text("cause", because)?;
        let person = person.filter(|id| self.state.person(id).is_some()).cloned();
        let subject = person.clone().unwrap_or_else(|| PersonId::new(UNKNOWN));
        let fact = LoginRefused { person, because: because.to_owned() };
        self.keep_sealed(fact, &subject, vec![("origin", origin.to_owned())]);
        Ok(())
    }

    pub(super) fn apply_policy(&mut self, files: &Files, planned_on: Option<u64>) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        let version = self.state.policy_version();
        if planned_on.is_some_and(|planned| planned != version) {
            let message = format!("policy {version} took effect since this was planned");
            return Err(Denied::new(Code::Stale, message, "run `daypass policy plan` again"));
        }
        let policy = read_policy(files)?;
        policy.check_people(&self.known(), files).map_err(bad_policy)?;
        let administers = |person: &Person| {
            policy.is_member(&person.id, &policy.system.administrators)
                && self.state.in_good_standing(&person.id, self.now)
        };
        if !self.state.people().any(|person| administers(person)) {
            return Err(nobody_administers());
        }
        self.keep(PolicyApplied { version: version + 1, by: Some(by), files: files.clone() });
        Ok(())
    }

    pub(super) fn set_secret(&mut self, name: &str) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        if !well_formed(name) {
            let hint = "use 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first";
            return Err(Denied::new(Code::BadValue, format!("`{name}` cannot be a secret's name"), hint));
        }
        self.keep(SecretSet { name: name.to_owned(), by: Some(by) });
        Ok(())
    }

    pub(super) fn remove_secret(&mut self, name: &str) -> Result<(), Denied> {
        let by = self.fresh_administrator()?.person;
        if !self.state.secrets().any(|known| known == name) {
            return Err(unknown("secret", name, "secrets"));
        }
        self.keep(SecretRemoved { name: name.to_owned(), by: Some(by) });
        Ok(())
    }
}

fn exists(person: &PersonId) -> Denied {
    let hint = "choose another handle, or see `daypass people`";
    Denied::new(Code::Exists, format!("there is a person `{person}` already"), hint)
}

fn nobody_administers() -> Denied {
    let hint = "name a team with an active member in `[system] administrators`";
    Denied::new(Code::BadPolicy, "under this policy nobody could administer", hint)
}

fn read_policy(files: &Files) -> Result<Policy, Denied> {
    let len: usize = files.iter().map(|(name, text)| name.len() + text.len()).sum();
    if len > POLICY_LEN_MAX {
        let message = format!("the policy has {len} bytes");
        return Err(Denied::new(Code::BadPolicy, message, format!("keep it below {POLICY_LEN_MAX}")));
    }
    Policy::parse(files).map_err(bad_policy)
}

fn bad_policy(errors: Vec<crate::policy::PolicyError>) -> Denied {
    let message = match errors.as_slice() {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
        [] => "the policy is wrong".to_owned(),
    };
    let hint = "nothing was applied; run `daypass policy check`";
    Denied { policy: errors, ..Denied::new(Code::BadPolicy, message, hint) }
}

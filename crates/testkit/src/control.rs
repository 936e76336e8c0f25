//! The control side: the real state, decisions and records, driven by commands that people may or may not be allowed.

use std::collections::BTreeMap;

use daypass_access::command::{Ask, Command, Denied, NewPerson};
use daypass_access::decide;
use daypass_access::fact::{Fact, Urgency};
use daypass_access::id::{GrantId, LoginId, PersonId, RequestId, ResourceId, RoleId};
use daypass_access::person::{PersonKind, Profile, Tenure};
use daypass_access::record::ControlRecord;
use daypass_access::state::State;
use daypass_access::time::Micros;

/// When every simulation begins.
pub const START: Micros = Micros(1_800_000_000_000_000);

/// Who takes part: a lead, a contractor she sponsors, two engineers, and an administrator.
pub const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dan", "root"];

/// The one resource; more would not meet.
pub const RESOURCE: &str = "prod-orders";

const POLICY: &str = r#"
[resources.prod-orders]
kind = "postgres"
address = "127.0.0.1:5432"
database = "orders"
credential = "prod-orders"
labels = { system = "orders" }

[roles.fix]
select = { system = "orders" }
who_may_ask = ["contractors", "engineers"]
allow = ["read", "write"]
default_duration = "10m"
max_duration = "20m"
extend = { by = "5m", times = 2, approval = "none" }
[[roles.fix.steps]]
any_of = ["leads"]

[roles.look]
select = { system = "orders" }
who_may_ask = ["engineers"]
allow = ["read"]
default_duration = "5m"

[teams.contractors]
members = ["bob"]
[teams.engineers]
members = ["carol", "dan"]
[teams.leads]
members = ["alice", "dan"]
[teams.admins]
members = ["root"]

[system]
administrators = ["admins"]
may_kill = ["leads"]
may_release = ["leads"]
"#;

/// The control log and what it folds into.
#[derive(Debug)]
pub struct Control {
    /// The fold.
    pub state: State,
    /// The records, as stored.
    pub log: Vec<Vec<u8>>,
    /// What every record said, for models that count for themselves.
    pub facts: Vec<(Micros, Fact)>,
    logins: BTreeMap<&'static str, LoginId>,
    tokens: u64,
}

impl Control {
    /// Everybody enrolled and logged in.
    #[must_use]
    pub fn new() -> Self {
        let mut control = Self {
            state: State::default(),
            log: Vec::new(),
            facts: Vec::new(),
            logins: BTreeMap::new(),
            tokens: 0,
        };
        let invitation = control.token();
        let new = |name: &&str| NewPerson {
            person: PersonId::new(name),
            profile: profile(name),
            name: String::new(),
            email: String::new(),
            invitation_sha256: Some(invitation.clone()),
        };
        let files = BTreeMap::from([("policy.toml".to_owned(), POLICY.to_owned())]);
        control.system(Ask::Found { people: PEOPLE.iter().map(new).collect(), files }, START).unwrap();
        for name in PEOPLE {
            let person = PersonId::new(name);
            let factors = vec!["totp".to_owned()];
            let ask = Ask::Enroll { person, invitation_sha256: invitation.clone(), factors };
            control.system(ask, START).unwrap();
        }
        control
    }

    /// A token's hash that nobody had before.
    pub fn token(&mut self) -> String {
        self.tokens += 1;
        format!("{:064x}", self.tokens)
    }

    /// Decides, records and applies, as the product does.
    ///
    /// # Errors
    /// The decision to refuse.
    pub fn run(&mut self, command: &Command, now: Micros) -> Result<Vec<ControlRecord>, Denied> {
        let mut records = decide(&self.state, command, now)?;
        for record in &mut records {
            record.personal = None;
            let bytes = record.encode();
            self.state.apply(self.log.len() as u64, &ControlRecord::decode(&bytes).unwrap()).unwrap();
            self.log.push(bytes);
            self.facts.push((record.at, record.fact.clone()));
        }
        Ok(records)
    }

    /// A command of the system itself.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn system(&mut self, ask: Ask, now: Micros) -> Result<Vec<ControlRecord>, Denied> {
        self.run(&Command::by_system(ask), now)
    }

    /// A command of a person who has just shown their second factor.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn by(&mut self, name: &'static str, ask: Ask, now: Micros) -> Result<Vec<ControlRecord>, Denied> {
        let known = self.logins.get(name).cloned();
        let shown = known.filter(|login| {
            self.system(Ask::ShowFactor { login: login.clone(), factor_step: None }, now).is_ok()
        });
        let login = match shown {
            Some(login) => login,
            None => {
                let token_sha256 = self.token();
                let ask = Ask::OpenLogin { person: PersonId::new(name), token_sha256, factor_step: None };
                let records = self.system(ask, now)?;
                let Fact::LoginOpened(opened) = &records[0].fact else { panic!("{records:?}") };
                self.logins.insert(name, opened.login.clone());
                opened.login.clone()
            }
        };
        self.run(&Command::by_login(&login, ask), now)
    }

    /// Asks for access.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn request(
        &mut self,
        name: &'static str,
        role: &str,
        duration_s: Option<u64>,
        now: Micros,
    ) -> Result<RequestId, Denied> {
        let ask = Ask::Request {
            resource: ResourceId::new(RESOURCE),
            role: Some(RoleId::new(role)),
            reason: "orders are stuck".to_owned(),
            duration_s,
            starts: None,
            classes: None,
            urgency: Urgency::Normal,
            ticket: None,
        };
        let records = self.by(name, ask, now)?;
        let filed = records.iter().find_map(|record| match &record.fact {
            Fact::RequestFiled(filed) => Some(filed.request.clone()),
            _ => None,
        });
        Ok(filed.unwrap())
    }

    /// The grants of a person that hold at `now`.
    #[must_use]
    pub fn live_grants(&self, name: &str, now: Micros) -> Vec<GrantId> {
        let person = PersonId::new(name);
        let entitlement = self.state.entitlement(&person, &ResourceId::new(RESOURCE), None);
        let live = entitlement.rights.iter().filter(|right| right.starts <= now && now < right.ends);
        live.map(|right| right.grant.clone()).collect()
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

fn profile(name: &str) -> Profile {
    if name == "bob" {
        Profile {
            organisation: Some("Acme".to_owned()),
            sponsor: Some(PersonId::new("alice")),
            tenure: Some(Tenure { starts: START, ends: START.plus_s(90 * 60) }),
            ..Profile::new(PersonKind::Contractor)
        }
    } else {
        Profile::new(PersonKind::Staff)
    }
}

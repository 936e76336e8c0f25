//! A small installation for tests: people, a policy, a clock, and commands by name.

use std::collections::BTreeMap;

use daypass_access::command::{Ask, Command, Denied, NewPerson};
use daypass_access::decide;
use daypass_access::fact::{Fact, Urgency};
use daypass_access::id::{GrantId, LoginId, PersonId, RequestId, ResourceId, RoleId};
use daypass_access::person::{PersonKind, Profile, Tenure};
use daypass_access::policy::Files;
use daypass_access::record::ControlRecord;
use daypass_access::state::State;
use daypass_access::time::Micros;

pub(crate) const START: Micros = Micros(1_800_000_000_000_000);

pub(crate) const POLICY: &str = r#"
[resources.prod-orders]
kind = "postgres"
address = "127.0.0.1:5432"
database = "orders"
credential = "prod-orders"
labels = { env = "prod", system = "orders" }

[resources.prod-payroll]
kind = "postgres"
address = "127.0.0.1:5433"
database = "payroll"
credential = "prod-payroll"
sensitive = true
labels = { env = "prod", system = "payroll" }

[roles.orders-fix]
select = { system = "orders" }
who_may_ask = ["contractors", "engineers"]
allow = ["read", "write"]
extend = { by = "30m", times = 2, approval = "none" }
[[roles.orders-fix.steps]]
any_of = ["leads", "manager", "sponsor"]

[roles.orders-read]
select = { system = "orders" }
who_may_ask = ["engineers"]
allow = ["read"]
reason_required = false

[roles.payroll-ops]
select = { system = "payroll" }
who_may_ask = ["engineers"]
allow = ["read", "write", "ddl"]
max_duration = "2h"
extend = { by = "15m", times = 1, approval = "same" }
[[roles.payroll-ops.steps]]
any_of = ["leads"]
[[roles.payroll-ops.steps]]
any_of = ["security", "manager"]

[teams.contractors]
members = ["bob", "bob2"]
[teams.engineers]
members = ["alice", "carol", "dan", "root"]
[teams.leads]
members = ["alice", "dan", "alice2"]
[teams.security]
members = ["carol", "dan", "alice2"]
[teams.admins]
members = ["root"]
[teams.auditors]
members = ["ada"]

[system]
administrators = ["admins"]
auditors = ["auditors"]
may_kill = ["security"]
may_release = ["security"]
"#;

pub(crate) fn files(text: &str) -> Files {
    BTreeMap::from([("policy.toml".to_owned(), text.to_owned())])
}

pub(crate) fn staff(manager: Option<&str>) -> Profile {
    Profile { manager: manager.map(PersonId::new), ..Profile::new(PersonKind::Staff) }
}

pub(crate) fn contractor(sponsor: &str, until_s: u64) -> Profile {
    Profile {
        organisation: Some("Acme".to_owned()),
        sponsor: Some(PersonId::new(sponsor)),
        tenure: Some(Tenure { starts: START, ends: START.plus_s(until_s) }),
        ..Profile::new(PersonKind::Contractor)
    }
}

pub(crate) fn alias(of: &str) -> Profile {
    Profile { alias_of: Some(PersonId::new(of)), ..Profile::new(PersonKind::Staff) }
}

/// SHA-256 stand-in: 64 hex digits of a number.
pub(crate) fn token(number: u64) -> String {
    format!("{number:064x}")
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) now: Micros,
    pub(crate) logins: BTreeMap<String, LoginId>,
    tokens: u64,
}

pub(crate) const TENURE_S: u64 = 30 * 24 * 3600;

impl World {
    /// Everybody enrolled and logged in with a fresh factor, at [`START`].
    pub(crate) fn new() -> Self {
        Self::with_policy(POLICY)
    }

    pub(crate) fn with_policy(policy: &str) -> Self {
        let mut world =
            Self { state: State::default(), log: Vec::new(), now: START, logins: BTreeMap::new(), tokens: 0 };
        let people = [
            ("root", staff(None)),
            ("alice", staff(Some("dan"))),
            ("alice2", alias("alice")),
            ("carol", staff(Some("alice"))),
            ("dan", staff(Some("carol"))),
            ("ada", staff(None)),
            ("bob", contractor("alice", TENURE_S)),
            ("bob2", Profile { alias_of: Some(PersonId::new("bob")), ..contractor("alice", TENURE_S) }),
        ];
        let new = |(name, profile): &(&str, Profile)| NewPerson {
            person: PersonId::new(name),
            profile: profile.clone(),
            name: format!("The name of {name}"),
            email: String::new(),
            invitation_sha256: Some(token(900)),
        };
        let found = Ask::Found { people: people.iter().map(new).collect(), files: files(policy) };
        world.system(found).unwrap();
        for (name, _) in &people {
            world.enroll(name, &token(900));
            world.login(name);
        }
        world
    }

    pub(crate) fn enroll(&mut self, name: &str, code: &str) {
        self.system(Ask::Enroll {
            person: PersonId::new(name),
            invitation_sha256: code.to_owned(),
            factors: vec!["totp".to_owned()],
        })
        .unwrap();
    }

    pub(crate) fn token(&mut self) -> String {
        self.tokens += 1;
        token(1_000 + self.tokens)
    }

    pub(crate) fn login(&mut self, name: &str) {
        assert!(self.try_login(name), "{name} cannot log in");
    }

    pub(crate) fn try_login(&mut self, name: &str) -> bool {
        let token_sha256 = self.token();
        let ask = Ask::OpenLogin { person: PersonId::new(name), token_sha256, factor_step: None };
        let Ok(records) = self.system(ask) else { return false };
        let Fact::LoginOpened(opened) = &records[0].fact else { panic!("{records:?}") };
        self.logins.insert(name.to_owned(), opened.login.clone());
        true
    }

    pub(crate) fn wait_s(&mut self, seconds: u64) {
        self.now = self.now.plus_s(seconds);
    }

    pub(crate) fn run(&mut self, command: &Command) -> Result<Vec<ControlRecord>, Denied> {
        let mut records = decide(&self.state, command, self.now)?;
        for record in &mut records {
            record.personal = None;
            let bytes = record.encode();
            let read = ControlRecord::decode(&bytes).unwrap();
            assert_eq!(&read, record);
            assert_eq!(read.encode(), bytes);
            self.state.apply(self.log.len() as u64, &read).unwrap();
            self.log.push(bytes);
        }
        Ok(records)
    }

    pub(crate) fn system(&mut self, ask: Ask) -> Result<Vec<ControlRecord>, Denied> {
        self.run(&Command::by_system(ask))
    }

    pub(crate) fn by(&mut self, name: &str, ask: Ask) -> Result<Vec<ControlRecord>, Denied> {
        let login = self.logins[name].clone();
        self.run(&Command::by_login(&login, ask))
    }

    /// Shows the factor first.
    pub(crate) fn fresh(&mut self, name: &str, ask: Ask) -> Result<Vec<ControlRecord>, Denied> {
        let login = self.logins[name].clone();
        if self.system(Ask::ShowFactor { login, factor_step: None }).is_err() {
            self.login(name);
        }
        self.by(name, ask)
    }

    pub(crate) fn ask(&self, resource: &str, role: &str) -> Ask {
        Ask::Request {
            resource: ResourceId::new(resource),
            role: Some(RoleId::new(role)),
            reason: "orders 4711 and 4712 are stuck".to_owned(),
            duration_s: None,
            starts: None,
            classes: None,
            urgency: Urgency::Normal,
            ticket: None,
        }
    }

    pub(crate) fn request(&mut self, name: &str, resource: &str, role: &str) -> Result<RequestId, Denied> {
        let ask = self.ask(resource, role);
        let records = self.fresh(name, ask)?;
        let Fact::RequestFiled(filed) = &records[0].fact else { panic!("{records:?}") };
        Ok(filed.request.clone())
    }

    pub(crate) fn approve(&mut self, name: &str, request: &RequestId) -> Result<Option<GrantId>, Denied> {
        let ask = Ask::Approve { request: request.clone(), narrow: None, comment: String::new() };
        self.fresh(name, ask)?;
        Ok(self.state.request(request).unwrap().grant.clone())
    }

    /// Bob asks for the orders, Alice approves.
    pub(crate) fn bobs_grant(&mut self) -> GrantId {
        let request = self.request("bob", "prod-orders", "orders-fix").unwrap();
        self.approve("alice", &request).unwrap().unwrap()
    }
}

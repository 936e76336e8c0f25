//! Random histories: people ask, approve, extend, hand back, revoke, leave, and policy changes under them.

use daypass_access::action::{Class, ClassSet};
use daypass_access::command::Ask;
use daypass_access::fact::Narrowing;
use daypass_access::id::{GrantId, PersonId, RequestId};
use daypass_access::person::Tenure;
use proptest::prelude::*;

use crate::world::{POLICY, START, World, files};

pub(crate) const PEOPLE: [&str; 8] = ["root", "alice", "alice2", "carol", "dan", "ada", "bob", "bob2"];
pub(crate) const RESOURCES: [&str; 2] = ["prod-orders", "prod-payroll"];
pub(crate) const ROLES: [&str; 3] = ["orders-fix", "orders-read", "payroll-ops"];

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Wait(u64),
    Request {
        who: usize,
        resource: usize,
        role: usize,
        duration_s: Option<u64>,
    },
    Approve {
        who: usize,
        which: u64,
        narrow: Option<u64>,
    },
    Deny {
        who: usize,
        which: u64,
    },
    Withdraw {
        who: usize,
        which: u64,
    },
    Extend {
        who: usize,
        which: u64,
    },
    Return {
        who: usize,
        which: u64,
    },
    Revoke {
        who: usize,
        which: u64,
    },
    Pass {
        who: usize,
        which: u64,
    },
    Suspend {
        who: usize,
        whom: usize,
    },
    Restore {
        whom: usize,
    },
    Policy(usize),
    Tenure {
        until_s: u64,
    },
    /// Bob asks for the orders and a lead says yes.
    Given,
    Sweep,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let who = || 0..PEOPLE.len();
    let which = || 0_u64..4;
    prop_oneof![
        4 => prop_oneof![0_u64..600, 600_u64..7_200].prop_map(Op::Wait),
        8 => (who(), 0..2_usize, 0..3_usize, prop::option::of(30_u64..40_000))
            .prop_map(|(who, resource, role, duration_s)| Op::Request { who, resource, role, duration_s }),
        12 => (who(), which(), prop::option::of(30_u64..5_000))
            .prop_map(|(who, which, narrow)| Op::Approve { who, which, narrow }),
        1 => (who(), which()).prop_map(|(who, which)| Op::Deny { who, which }),
        1 => (who(), which()).prop_map(|(who, which)| Op::Withdraw { who, which }),
        3 => (who(), which()).prop_map(|(who, which)| Op::Extend { who, which }),
        1 => (who(), which()).prop_map(|(who, which)| Op::Return { who, which }),
        1 => (who(), which()).prop_map(|(who, which)| Op::Revoke { who, which }),
        3 => (who(), which()).prop_map(|(who, which)| Op::Pass { who, which }),
        1 => (who(), who()).prop_map(|(who, whom)| Op::Suspend { who, whom }),
        1 => who().prop_map(|whom| Op::Restore { whom }),
        1 => (0..4_usize).prop_map(Op::Policy),
        4 => (100_u64..8_000).prop_map(|until_s| Op::Tenure { until_s }),
        4 => Just(Op::Given),
        6 => Just(Op::Sweep),
    ]
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..60)
}

/// Policies that widen or narrow the one at the founding.
pub(crate) fn policy(number: usize) -> String {
    match number {
        1 => POLICY.replace("allow = [\"read\", \"write\"]\nextend", "allow = [\"read\", \"write\", \"ddl\", \"admin\"]\nmax_duration = \"24h\"\ncontractor_max = \"24h\"\nhold = []\nextend"),
        2 => POLICY.replace("members = [\"alice\", \"dan\", \"alice2\"]", "members = [\"alice\", \"dan\", \"alice2\", \"root\", \"ada\"]"),
        3 => POLICY.replace("members = [\"alice\", \"dan\", \"alice2\"]", "members = [\"dan\", \"carol\"]"),
        _ => POLICY.to_owned(),
    }
}

impl World {
    /// Does what can be done of `op`; a refusal is a fine answer. Says whether it was done.
    pub(crate) fn try_op(&mut self, op: &Op) -> bool {
        let last_request = |world: &Self, back: u64| {
            RequestId::numbered(world.state.requests().len().saturating_sub(back).max(1))
        };
        let last_grant = |world: &Self, back: u64| {
            GrantId::numbered(world.state.grants().len().saturating_sub(back).max(1))
        };
        match op {
            Op::Wait(seconds) => {
                self.wait_s(*seconds);
                true
            }
            Op::Request { who, resource, role, duration_s: asked } => {
                let mut ask = self.ask(RESOURCES[*resource], ROLES[*role]);
                if let Ask::Request { duration_s, .. } = &mut ask {
                    *duration_s = *asked;
                }
                self.try_as(PEOPLE[*who], ask)
            }
            Op::Approve { who, which, narrow } => {
                let narrow = narrow.map(|duration_s| Narrowing {
                    duration_s: Some(duration_s),
                    classes: Some(ClassSet::EMPTY.with(Class::Read)),
                    holds: None,
                });
                let ask =
                    Ask::Approve { request: last_request(self, *which), narrow, comment: String::new() };
                self.try_as(PEOPLE[*who], ask)
            }
            Op::Deny { who, which } => {
                let ask = Ask::Deny { request: last_request(self, *which), comment: String::new() };
                self.try_as(PEOPLE[*who], ask)
            }
            Op::Withdraw { who, which } => {
                self.try_as(PEOPLE[*who], Ask::Withdraw { request: last_request(self, *which) })
            }
            Op::Extend { who, which } => {
                let ask = Ask::Extend { grant: last_grant(self, *which), reason: String::new() };
                self.try_as(PEOPLE[*who], ask)
            }
            Op::Return { who, which } => {
                self.try_as(PEOPLE[*who], Ask::Return { grant: last_grant(self, *which) })
            }
            Op::Revoke { who, which } => {
                self.try_as(PEOPLE[*who], Ask::Revoke { grant: last_grant(self, *which) })
            }
            Op::Pass { who, which } => {
                let token_sha256 = self.token();
                self.try_as(PEOPLE[*who], Ask::IssuePass { grant: last_grant(self, *which), token_sha256 })
            }
            Op::Suspend { who, whom } => {
                let ask = Ask::Suspend { person: PersonId::new(PEOPLE[*whom]), reason: String::new() };
                // Somebody must remain to restore them.
                PEOPLE[*whom] != "root" && self.try_as(PEOPLE[*who], ask)
            }
            Op::Restore { whom } => {
                self.try_as("root", Ask::Restore { person: PersonId::new(PEOPLE[*whom]) })
            }
            Op::Policy(number) => {
                let ask = Ask::ApplyPolicy { files: files(&policy(*number)), planned_on: None };
                self.try_as("root", ask)
            }
            Op::Tenure { until_s } => {
                let bob = PersonId::new("bob");
                let mut profile = self.state.person(&bob).unwrap().profile.clone();
                let ends = self.now.plus_s(*until_s);
                profile.tenure = Some(Tenure { starts: START, ends });
                self.try_as("root", Ask::ChangePerson { person: bob, profile })
            }
            Op::Given => self.try_given(),
            Op::Sweep => self.system(Ask::Sweep).is_ok(),
        }
    }

    fn try_given(&mut self) -> bool {
        let ask = self.ask(RESOURCES[0], ROLES[0]);
        let asked = self.try_as("bob", ask);
        let request = RequestId::numbered(self.state.requests().len().max(1));
        asked && self.try_as("dan", Ask::Approve { request, narrow: None, comment: String::new() })
    }

    /// Tries a wish with a fresh factor; somebody who cannot log in cannot wish.
    pub(crate) fn try_as(&mut self, name: &str, ask: Ask) -> bool {
        let login = self.logins[name].clone();
        if self.system(Ask::ShowFactor { login, factor_step: None }).is_err() && !self.try_login(name) {
            return false;
        }
        self.by(name, ask).is_ok()
    }

    pub(crate) fn play(&mut self, ops: &[Op]) {
        for op in ops {
            self.try_op(op);
        }
    }
}

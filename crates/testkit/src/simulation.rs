//! The run: one random event after the other, and after each of them what must always hold.
//!
//! The checks know nothing of the product's decisions. They look at what the target ran and what the person could read, and
//! at a model of the rights that is kept by other means, straight from the facts of the control log.

use bytes::BytesMut;
use daypass_access::audit::{Audit, Report};
use daypass_access::command::Ask;
use daypass_access::fact::{Fact, GrantEnd};
use daypass_access::id::PersonId;
use daypass_access::state::{HoldState, RequestState};
use daypass_access::time::Micros;
use daypass_pg::session::Stop;
use daypass_pg::write;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::control::{Control, PEOPLE, RESOURCE, START};
use crate::disk::{Disk, is_act};
use crate::seat::Seat;
use crate::target::{class_of, numbers_shown};

/// What one run saw, to show that it was not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Actions the target ran.
    pub ran: u64,
    /// Results a person could read.
    pub shown: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions ended because their access ended.
    pub cut: u64,
    /// Actions held.
    pub held: u64,
    /// Held actions that went on.
    pub released: u64,
    /// Sessions ended because the log took no record.
    pub unrecorded: u64,
    /// Times the node died.
    pub crashes: u64,
    /// Grants opened.
    pub grants: u64,
}

/// A run under way.
#[derive(Debug)]
pub struct Simulation {
    rng: StdRng,
    now: Micros,
    control: Control,
    disk: Disk,
    seats: Vec<Seat>,
    number: u64,
    seen: Seen,
}

/// How long the news of a change may take to reach a session, in microseconds.
const NEWS_US: u64 = 400_000;
/// How late a session's clock may be, in microseconds.
const LATE_US: u64 = 900_000;

impl Simulation {
    /// The run of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: START.plus_s(1),
            control: Control::new(),
            disk: Disk::new(),
            seats: Vec::new(),
            number: 0,
            seen: Seen::default(),
        }
    }

    /// Runs `steps` events, checks after each, ends everything, and lets the auditor read both logs.
    pub fn run(mut self, steps: u32) -> (Seen, Report) {
        for _ in 0..steps {
            self.step();
            self.check_access();
        }
        for seat in std::mem::take(&mut self.seats) {
            seat.close("client", &mut self.disk, self.now);
        }
        self.disk.sync();
        let mut audit = Audit::new("control");
        for (index, leaf) in self.control.log.iter().enumerate() {
            audit.control(index as u64, leaf);
        }
        for (index, leaf) in self.disk.leaves.iter().enumerate() {
            audit.activity("node", index as u64, leaf);
        }
        if std::env::var_os("DAYPASS_SEED").is_some() {
            for (index, leaf) in self.disk.leaves.iter().enumerate() {
                println!("{index} {}", String::from_utf8_lossy(leaf));
            }
        }
        (self.seen, audit.finish())
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn step(&mut self) {
        self.now.0 += 2;
        match self.rng.random_range(0..100) {
            0..25 => self.client_writes(),
            25..65 => self.bytes_move(),
            65..78 => self.disk_syncs(),
            78..84 => self.time_passes(),
            84..92 => self.somebody_commands(),
            92..97 => self.somebody_connects(),
            97 => self.disk.full = !self.disk.full && self.chance(30),
            98 => self.connection_drops(),
            _ => self.node_dies(),
        }
    }

    fn any_seat(&mut self) -> Option<usize> {
        (!self.seats.is_empty()).then(|| self.rng.random_range(0..self.seats.len()))
    }

    fn client_writes(&mut self) {
        let Some(at) = self.any_seat() else { return };
        let mut out = BytesMut::new();
        let extended = self.chance(50);
        for _ in 0..self.rng.random_range(1..4) {
            self.number += 1;
            let verb = ["read", "read", "write", "risky", "bad", "admin"][self.rng.random_range(0..6)];
            let text = format!("{verb} {}", self.number);
            if extended {
                let name = if self.chance(30) { format!("n{}", self.number) } else { String::new() };
                write::parse(&mut out, name.as_bytes(), text.as_bytes(), &[]);
                write::bind(&mut out, b"", name.as_bytes(), &[]);
                if self.chance(30) {
                    write::describe(&mut out, b'P', b"");
                }
                write::execute(&mut out, b"", 0);
            } else {
                write::query(&mut out, text.as_bytes());
            }
        }
        if extended {
            write::sync(&mut out);
        }
        self.seats[at].from_client.extend_from_slice(&out);
    }

    /// Some bytes arrive somewhere.
    fn bytes_move(&mut self) {
        let Some(at) = self.any_seat() else { return };
        let (which, all) = (self.rng.random_range(0..3), self.chance(70));
        let part = self.rng.random_range(1..64);
        let seat = &mut self.seats[at];
        let len = |wire: &BytesMut| if all { wire.len() } else { part.min(wire.len()) };
        match which {
            0 if seat.session.wants_client() => {
                let bytes = seat.from_client.split_to(len(&seat.from_client));
                seat.session.client_in().extend_from_slice(&bytes);
            }
            1 => {
                let bytes = seat.to_target.split_to(len(&seat.to_target));
                let ran = seat.target.take(&bytes, &mut seat.from_target);
                for text in ran {
                    self.check_ran(&text);
                }
            }
            _ if seat.session.wants_target() => {
                let bytes = seat.from_target.split_to(len(&seat.from_target));
                seat.session.target_in().extend_from_slice(&bytes);
            }
            _ => {}
        }
        self.turn(at);
    }

    /// Turns one session, announces a hold, checks what became visible.
    fn turn(&mut self, at: usize) {
        let result = self.seats[at].turn(&mut self.disk, self.now);
        self.announce_hold(at);
        let shown = numbers_shown(&mut self.seats[at].shown);
        for number in shown {
            self.check_shown(number);
        }
        match result {
            Ok(()) => {}
            Err(Stop::Unrecorded) => {
                assert!(self.disk.full, "the log refused a record without a reason");
                self.seen.unrecorded += 1;
                self.seats.swap_remove(at).close("audit-unavailable", &mut self.disk, self.now);
            }
            Err(stop) => panic!("the session machine took offence at a correct peer: {stop:?}"),
        }
    }

    fn announce_hold(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        let Some(held) = seat.session.held_news() else { return };
        let hold = seat.named_hold().unwrap();
        self.seen.held += 1;
        let ask = Ask::OpenHold {
            hold: hold.clone(),
            session: seat.id.clone(),
            action: held.number,
            grant: held.grant,
            classes: held.statement.action.classes,
            risks: held.risks,
            action_commitment: "00".repeat(32),
            rows_estimate: None,
        };
        match self.control.system(ask, self.now) {
            Ok(_) => seat.hold = Some(hold),
            Err(_) => {
                let refused =
                    seat.with(&mut self.disk, self.now, |s, turn| s.refuse_held(Some("too late"), turn));
                refused.unwrap();
            }
        }
    }

    fn disk_syncs(&mut self) {
        self.disk.sync();
        for at in (0..self.seats.len()).rev() {
            self.turn(at);
        }
    }

    fn time_passes(&mut self) {
        let span_us = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(1..2_000),
            1 => self.rng.random_range(1..2_000_000),
            2 => self.rng.random_range(1..60_000_000),
            _ => self.rng.random_range(1..600_000_000),
        };
        let until = Micros(self.now.0 + span_us);
        while let Some(at) = (0..self.seats.len()).min_by_key(|at| self.seats[*at].looks_at) {
            if self.seats[at].looks_at > until {
                break;
            }
            self.now = self.now.max(self.seats[at].looks_at);
            self.supervise(at);
        }
        self.now = self.now.max(until);
        if self.chance(30) {
            self.control.system(Ask::Sweep, self.now).unwrap();
        }
    }

    /// What the supervisor of a session does when its clock or the news wake it.
    fn supervise(&mut self, at: usize) {
        let state = &self.control.state;
        let seat = &mut self.seats[at];
        seat.refresh(state);
        let killed = state.is_killed(&seat.id);
        match seat.entitlement.deadline(self.now) {
            Some(deadline) if !killed => {
                seat.looks_at = Micros(deadline.0 + self.rng.random_range(0..LATE_US));
                self.answer_hold(at);
            }
            _ => {
                self.seen.cut += 1;
                let because = if killed { "killed" } else { "grant-ended" };
                self.seats.swap_remove(at).close(because, &mut self.disk, self.now);
            }
        }
    }

    fn answer_hold(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        let Some(hold) = seat.hold.as_ref().and_then(|hold| self.control.state.hold(hold)) else { return };
        match hold.state(self.now) {
            HoldState::Waiting => return,
            HoldState::Released { .. } => {
                self.seen.released += 1;
                let result = seat.with(&mut self.disk, self.now, |session, turn| session.release(turn));
                if result.is_err() {
                    assert!(self.disk.full);
                    self.seats.swap_remove(at).close("audit-unavailable", &mut self.disk, self.now);
                    return;
                }
            }
            HoldState::Refused { .. } | HoldState::Dropped { .. } => {
                let why = Some("refused");
                seat.with(&mut self.disk, self.now, |s, turn| s.refuse_held(why, turn)).unwrap();
            }
        }
        self.seats[at].hold = None;
        self.turn(at);
    }

    /// Somebody does something at the control plane; most of it is refused, and that is the point.
    fn somebody_commands(&mut self) {
        let name = PEOPLE[self.rng.random_range(0..PEOPLE.len())];
        let now = self.now;
        let ask = match self.rng.random_range(0..17) {
            0..3 => {
                let (role, long) =
                    (["fix", "look"][self.rng.random_range(0..2)], self.rng.random_range(60..1_500));
                // A refusal is as good as a request.
                self.control.request(name, role, Some(long), now).ok();
                return;
            }
            3..6 => self.on_request(|request| Ask::Approve { request, narrow: None, comment: String::new() }),
            6 => self.on_request(|request| Ask::Deny { request, comment: String::new() }),
            7 => self.on_request(|request| Ask::Withdraw { request }),
            8 => self.on_grant(|grant| Ask::Extend { grant, reason: "more to do".to_owned() }),
            9 => self.on_grant(|grant| Ask::Return { grant }),
            10 if self.rng.random_range(0..3) == 0 => self.on_grant(|grant| Ask::Revoke { grant }),
            11..16 => self.on_hold(),
            16 if self.rng.random_range(0..4) == 0 => self.on_person(),
            _ => None,
        };
        let Some(ask) = ask else { return };
        let changed = self.control.by(name, ask, now).is_ok();
        if changed {
            for seat in &mut self.seats {
                let news = Micros(now.0 + self.rng.random_range(0..NEWS_US));
                seat.looks_at = seat.looks_at.min(news);
            }
        }
    }

    fn on_request(&mut self, ask: impl FnOnce(daypass_access::id::RequestId) -> Ask) -> Option<Ask> {
        let open: Vec<_> = self.control.state.undecided_requests().map(|r| r.id().clone()).collect();
        let request = open.get(self.rng.random_range(0..open.len().max(1)))?;
        // I18: what has expired cannot be approved, whether or not a sweeper has run.
        let expired = self.control.state.request(request)?.state(self.now) == RequestState::Expired;
        let ask = ask(request.clone());
        if expired && matches!(ask, Ask::Approve { .. }) {
            let refused = self.control.by("alice", ask, self.now);
            assert!(refused.is_err(), "i18: an expired request was approved");
            return None;
        }
        Some(ask)
    }

    fn on_grant(&mut self, ask: impl FnOnce(daypass_access::id::GrantId) -> Ask) -> Option<Ask> {
        let open: Vec<_> = self.control.state.unended_grants().map(|grant| grant.id().clone()).collect();
        open.get(self.rng.random_range(0..open.len().max(1))).cloned().map(ask)
    }

    fn on_hold(&mut self) -> Option<Ask> {
        let open: Vec<_> =
            self.control.state.unfinished_holds().map(|hold| hold.opened.hold.clone()).collect();
        let hold = open.get(self.rng.random_range(0..open.len().max(1)))?.clone();
        let comment = String::new();
        Some(if self.chance(60) {
            Ask::ReleaseHold { hold, comment }
        } else {
            Ask::RefuseHold { hold, comment }
        })
    }

    fn on_person(&mut self) -> Option<Ask> {
        let seat = self.any_seat()?;
        let seat = &self.seats[seat];
        let person = PersonId::new(seat.person);
        Some(if self.rng.random_range(0..3) == 0 && seat.person != "alice" {
            Ask::Suspend { person, reason: "a rumour".to_owned() }
        } else {
            Ask::Kill {
                session: seat.id.clone(),
                person,
                resource: daypass_access::id::ResourceId::new(RESOURCE),
                grant: seat.grant.clone(),
                reason: "looks wrong".to_owned(),
            }
        })
    }

    fn somebody_connects(&mut self) {
        let name = PEOPLE[self.rng.random_range(0..PEOPLE.len())];
        let mut live = self.control.live_grants(name, self.now);
        if live.is_empty() || self.seats.len() >= 6 || self.disk.full {
            return;
        }
        let grant = live.swap_remove(self.rng.random_range(0..live.len()));
        let token_sha256 = self.control.token();
        if self.control.by(name, Ask::IssuePass { grant: grant.clone(), token_sha256 }, self.now).is_err() {
            return;
        }
        let opened = Seat::open(name, grant, &self.control.state, &mut self.disk, self.now);
        let Some(mut seat) = opened else { return };
        seat.looks_at = Micros(seat.looks_at.0 + self.rng.random_range(0..LATE_US));
        self.seen.opened += 1;
        self.seats.push(seat);
    }

    fn connection_drops(&mut self) {
        let Some(at) = self.any_seat() else { return };
        let because = if self.chance(50) { "client" } else { "upstream" };
        self.seats.swap_remove(at).close(because, &mut self.disk, self.now);
    }

    fn node_dies(&mut self) {
        if !self.chance(4) {
            return;
        }
        self.seen.crashes += 1;
        self.seats.clear();
        let survivors = self.rng.random_range(0..8);
        self.disk.crash(survivors);
        self.disk.full = false;
    }

    /// I9, at the target: whatever may change something was durable before it ran; a read was at least recorded.
    fn check_ran(&mut self, text: &[u8]) {
        self.seen.ran += 1;
        let shown = String::from_utf8_lossy(text);
        let number = crate::disk::number_in(text).unwrap();
        let Some(index) = self.disk.intent_of(number) else { panic!("i09: `{shown}` ran without a record") };
        if is_act(class_of(text)) {
            assert!(index < self.disk.durable, "i09: `{shown}` ran before its record was durable");
        }
    }

    /// I9, at the person: nothing of a result is seen before the record of the action is durable.
    fn check_shown(&mut self, number: u64) {
        self.seen.shown += 1;
        let index = self.disk.intent_of(number);
        let durable = index.is_some_and(|index| index < self.disk.durable);
        if !durable {
            for (i, l) in self.disk.leaves.iter().enumerate().skip(100) {
                println!("{i} {}", String::from_utf8_lossy(l));
            }
            println!("{:?}", self.disk.intents);
        }
        assert!(durable, "i09: the result of action text {number} was shown, its record is {index:?}");
    }

    /// I4 and I5 by other means: every session that lives has, or had a second ago, a grant in the facts.
    fn check_access(&mut self) {
        self.seen.grants =
            self.control.facts.iter().filter(|(_, f)| matches!(f, Fact::GrantOpened(_))).count() as u64;
        for seat in &self.seats {
            let person = PersonId::new(seat.person);
            let second_ago = Micros(self.now.0 - 1_000_000);
            // Between two facts nothing changes but time: the last second is known by its ends and what happened in it.
            let happened =
                self.control.facts.iter().rev().map(|(at, _)| *at).take_while(|at| *at > second_ago);
            let mut moments = [self.now, second_ago].into_iter().chain(happened.map(|at| Micros(at.0 - 1)));
            assert!(
                moments.any(|moment| self.facts_give(&person, moment)),
                "i04: {} lives without access",
                seat.id
            );
        }
    }

    /// Whether a grant of the person held at `moment`, counted from the facts alone.
    fn facts_give(&self, person: &PersonId, moment: Micros) -> bool {
        let until_then = || self.control.facts.iter().filter(move |(at, _)| *at <= moment);
        let ended = |grant: &daypass_access::id::GrantId| {
            until_then().any(|(_, fact)| match fact {
                Fact::GrantEnded(end) => end.grant == *grant && end.how != GrantEnd::Ended,
                _ => false,
            })
        };
        let suspended =
            until_then().any(|(_, f)| matches!(f, Fact::PersonSuspended(s) if s.person == *person));
        !suspended
            && until_then().any(|(_, fact)| match fact {
                Fact::GrantOpened(grant) => {
                    grant.person == *person
                        && grant.starts <= moment
                        && moment < grant.ends
                        && !ended(&grant.grant)
                }
                _ => false,
            })
    }
}

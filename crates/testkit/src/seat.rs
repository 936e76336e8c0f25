//! One session in the simulation: the real session machine between a client, a network and a target.

use bytes::BytesMut;
use daypass_access::activity::{SessionClosed, SessionOpened};
use daypass_access::id::{GrantId, HoldId, PersonId, ResourceId, SessionId};
use daypass_access::pipeline::{Entitlement, Gating};
use daypass_access::state::State;
use daypass_access::time::Micros;
use daypass_pg::classify::Dialect;
use daypass_pg::session::{Session, Stop, Turn};

use crate::control::RESOURCE;
use crate::disk::{Disk, Records, UNSEALED, sealed_origin};
use crate::target::{Target, Texts};

/// A session that lives.
#[derive(Debug)]
pub struct Seat {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub person: &'static str,
    /// The grant it was opened under.
    pub grant: GrantId,
    /// What its supervisor knows of the rights; lags behind the control log by less than a second.
    pub entitlement: Entitlement,
    /// When the supervisor looks again: the deadline and its delay, or the news of a change and its delay.
    pub looks_at: Micros,
    /// The machine.
    pub session: Session,
    /// The hold that the held action got in the control log.
    pub hold: Option<HoldId>,
    /// Bytes the client wrote that have not arrived.
    pub from_client: BytesMut,
    /// Bytes on their way to the target.
    pub to_target: BytesMut,
    /// Bytes on their way from the target.
    pub from_target: BytesMut,
    /// Bytes that reached the person, not yet read as messages.
    pub shown: BytesMut,
    /// The other end.
    pub target: Target,
    last_hold: Option<HoldId>,
    opened: Micros,
}

fn entitlement(state: &State, person: &str) -> Entitlement {
    state.entitlement(&PersonId::new(person), &ResourceId::new(RESOURCE), None)
}

impl Seat {
    /// Lets a person in under a grant, recorded before anything else happens; `None` when no right holds.
    pub fn open(
        person: &'static str,
        grant: GrantId,
        state: &State,
        disk: &mut Disk,
        now: Micros,
    ) -> Option<Self> {
        let entitlement = entitlement(state, person);
        let ends = entitlement.deadline(now)?;
        let id = SessionId::new(&format!("S-{:016x}", disk.leaves.len()));
        let role = entitlement.rights.iter().find(|right| right.grant == grant)?.role.clone();
        let record = SessionOpened {
            session: id.as_str().into(),
            person: person.into(),
            resource: RESOURCE.into(),
            role: role.as_str().into(),
            grant: grant.as_str().into(),
            pass: "P-1".into(),
            control: entitlement.control_size,
            ends,
            protocol: "postgres/3.0".into(),
        };
        let sealed = sealed_origin(person);
        disk.append(now, |at, seq, out| record.encode(at, seq, Some(&sealed), out));
        disk.sync();
        Some(Self {
            session: Session::new(ResourceId::new(RESOURCE), Gating::ActOrDisclose, Dialect::default()),
            id,
            person,
            grant,
            entitlement,
            looks_at: ends,
            hold: None,
            from_client: BytesMut::new(),
            to_target: BytesMut::new(),
            from_target: BytesMut::new(),
            shown: BytesMut::new(),
            target: Target::default(),
            last_hold: None,
            opened: now,
        })
    }

    /// Folds what the person may do now.
    pub fn refresh(&mut self, state: &State) {
        self.entitlement = entitlement(state, self.person);
    }

    /// Calls the machine.
    pub fn with<R>(
        &mut self,
        disk: &mut Disk,
        now: Micros,
        call: impl FnOnce(&mut Session, &mut Turn<'_>) -> R,
    ) -> R {
        let covered = disk.covered();
        let mut recorder = Records {
            disk,
            session: self.id.as_str(),
            person: self.person,
            resource: RESOURCE,
            hold: &mut self.last_hold,
        };
        let mut turn = Turn {
            now,
            covered,
            entitlement: &self.entitlement,
            grammar: &mut Texts,
            recorder: &mut recorder,
        };
        call(&mut self.session, &mut turn)
    }

    /// Turns the machine, and takes what it lets out onto the wires.
    ///
    /// # Errors
    /// [`Stop`] when the session cannot go on.
    pub fn turn(&mut self, disk: &mut Disk, now: Micros) -> Result<(), Stop> {
        let result = self.with(disk, now, Session::turn);
        let outlet = self.session.outlet();
        self.to_target.extend_from_slice(outlet.to_target());
        let len = outlet.to_target().len();
        outlet.wrote_target(len);
        self.shown.extend_from_slice(outlet.to_person());
        let len = outlet.to_person().len();
        outlet.wrote_person(len);
        result
    }

    /// The hold the recorder named for the action that was just held.
    pub fn named_hold(&self) -> Option<HoldId> {
        self.last_hold.clone()
    }

    /// Ends the session and records that it ended.
    pub fn close(mut self, because: &'static str, disk: &mut Disk, now: Micros) {
        let ended = self.with(disk, now, |session, turn| session.end(None, turn));
        assert!(ended.is_ok() || disk.full, "outcomes have a reserve");
        let record = SessionClosed {
            session: self.id.as_str().into(),
            person: self.person.into(),
            resource: RESOURCE.into(),
            grant: self.grant.as_str().into(),
            because: because.into(),
            actions: self.session.counts().actions,
            bytes: self.session.counts().shown_len,
            took_us: now.0 - self.opened.0,
        };
        disk.append(now, |at, seq, out| record.encode(at, seq, UNSEALED, out));
    }
}

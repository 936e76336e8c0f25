//! What was so at any size of the control log: enough to make every decision of the gateway again.

use std::collections::BTreeMap;

use super::cut_by;
use crate::action::RiskSet;
use crate::fact::{Fact, GrantOpened};
use crate::id::{GrantId, PersonId, ResourceId};
use crate::person::{PersonState, Tenure};
use crate::pipeline::{Entitlement, Right};
use crate::state::State;
use crate::time::Micros;

/// A grant's life, by position and by time.
#[derive(Debug)]
struct Life {
    opened: GrantOpened,
    index: u64,
    /// Where and when its end was recorded.
    ended: Option<(u64, Micros)>,
}

/// What somebody's account was from a position on.
#[derive(Clone, Copy, Debug)]
struct Standing {
    index: u64,
    at: Micros,
    active: bool,
    tenure: Option<Tenure>,
}

/// A held action's life.
#[derive(Debug)]
pub(super) struct HoldLife {
    /// In which session.
    pub(super) session: String,
    /// The number of the action.
    pub(super) action: u64,
    /// What it waited for.
    pub(super) risks: RiskSet,
    /// When it was released.
    pub(super) released: Option<Micros>,
}

/// Everything that was.
#[derive(Debug, Default)]
pub(super) struct History {
    grants: Vec<Life>,
    of: BTreeMap<(PersonId, ResourceId), Vec<usize>>,
    people: BTreeMap<PersonId, Vec<Standing>>,
    pub(super) holds: BTreeMap<String, HoldLife>,
    pub(super) killed: BTreeMap<String, Micros>,
}

impl History {
    /// Notes a record that was folded into `state` already.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other fact leaves what decisions need as it was"
    )]
    pub(super) fn note(&mut self, index: u64, at: Micros, fact: &Fact, state: &State) {
        match fact {
            Fact::GrantOpened(opened) => {
                let key = (opened.person.clone(), opened.resource.clone());
                self.of.entry(key).or_default().push(self.grants.len());
                self.grants.push(Life { opened: opened.clone(), index, ended: None });
            }
            Fact::GrantEnded(ended) => {
                let place = ended.grant.number().and_then(|n| usize::try_from(n - 1).ok());
                if let Some(life) = place.and_then(|place| self.grants.get_mut(place)) {
                    life.ended = Some((index, at));
                }
            }
            Fact::HoldOpened(hold) => {
                let life = HoldLife {
                    session: hold.session.to_string(),
                    action: hold.action,
                    risks: hold.risks,
                    released: None,
                };
                self.holds.insert(hold.hold.to_string(), life);
            }
            Fact::HoldReleased(released) => {
                if let Some(life) = self.holds.get_mut(released.hold.as_str()) {
                    life.released = Some(at);
                }
            }
            Fact::SessionKilled(killed) => {
                self.killed.insert(killed.session.to_string(), at);
            }
            Fact::PersonInvited(f) => self.note_person(index, at, &f.person, state),
            Fact::PersonReinvited(f) => self.note_person(index, at, &f.person, state),
            Fact::PersonEnrolled(f) => self.note_person(index, at, &f.person, state),
            Fact::PersonChanged(f) => self.note_person(index, at, &f.person, state),
            Fact::PersonSuspended(f) => self.note_person(index, at, &f.person, state),
            Fact::PersonRestored(f) => self.note_person(index, at, &f.person, state),
            _ => {}
        }
    }

    fn note_person(&mut self, index: u64, at: Micros, id: &PersonId, state: &State) {
        let Some(person) = state.person(id) else { return };
        let active = person.state == PersonState::Active;
        let standing = Standing { index, at, active, tenure: person.profile.tenure };
        self.people.entry(id.clone()).or_default().push(standing);
    }

    /// The credential that a grant uses at the target: a session draws on the grants that share it, and on no other.
    pub(super) fn credential(&self, grant: &str) -> Option<&str> {
        let number = GrantId::new(grant).number()?;
        let life = self.grants.get(usize::try_from(number - 1).ok()?)?;
        Some(&life.opened.credential)
    }

    /// What `person` could do on `resource` by grants that use `credential`, as folded at `size` records: what the gateway
    /// decided on.
    pub(super) fn entitlement(
        &self,
        person: &PersonId,
        resource: &ResourceId,
        credential: &str,
        size: u64,
    ) -> Entitlement {
        let known = self.people.get(person).into_iter().flatten().rfind(|standing| standing.index < size);
        let rights = match known.filter(|standing| standing.active) {
            None => Vec::new(),
            Some(standing) => self
                .lives(person, resource)
                .filter(|life| life.opened.credential == credential)
                .filter(|life| life.index < size && life.ended.is_none_or(|(index, _)| index >= size))
                .filter_map(|life| right(life, standing.tenure, None))
                .collect(),
        };
        Entitlement { person: person.clone(), resource: resource.clone(), rights, control_size: size }
    }

    /// What `person` could do on `resource` at most, with hindsight: every grant until its recorded end, and the moment
    /// that cutting somebody off may take.
    pub(super) fn hindsight(
        &self,
        person: &PersonId,
        resource: &ResourceId,
        credential: &str,
    ) -> Entitlement {
        let standings = self.people.get(person).map(Vec::as_slice).unwrap_or_default();
        let mut rights = Vec::new();
        for life in self.lives(person, resource).filter(|life| life.opened.credential == credential) {
            // Every stretch of time with one standing is judged by itself.
            for (at, standing) in standings.iter().enumerate() {
                let until = standings.get(at + 1).map(|next| next.at);
                if !standing.active {
                    continue;
                }
                if let Some(mut right) = right(life, standing.tenure, life.ended.map(|(_, at)| at)) {
                    right.starts = right.starts.max(standing.at);
                    right.ends = cut_by(until.map_or(right.ends, |until| right.ends.min(until)));
                    rights.push(right);
                }
            }
        }
        let control_size = u64::MAX;
        Entitlement { person: person.clone(), resource: resource.clone(), rights, control_size }
    }

    fn lives(&self, person: &PersonId, resource: &ResourceId) -> impl Iterator<Item = &Life> {
        let of = self.of.get(&(person.clone(), resource.clone()));
        of.into_iter().flatten().filter_map(|place| self.grants.get(*place))
    }
}

fn right(life: &Life, tenure: Option<Tenure>, ended: Option<Micros>) -> Option<Right> {
    let g = &life.opened;
    let starts = tenure.map_or(g.starts, |tenure| g.starts.max(tenure.starts));
    let ends = tenure.map_or(g.ends, |tenure| g.ends.min(tenure.ends));
    let ends = ended.map_or(ends, |ended| ends.min(ended));
    let right = Right::new(g.grant.clone(), g.role.clone(), g.classes, g.holds, starts, ends);
    (starts < ends).then_some(right)
}

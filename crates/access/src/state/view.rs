//! What can be asked of the state: who somebody is, what they may do now, what a request would open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Grant, GrantState, Hold, HoldState, Login, Person, Request, RequestState, State};
use crate::action::{ClassSet, RiskSet};
use crate::fact::Urgency;
use crate::id::{GrantId, PassId, PersonId, RequestId, ResourceId, RoleId};
use crate::person::{PersonKind, PersonState};
use crate::pipeline::{Entitlement, Right};
use crate::policy::TargetTls;
use crate::time::Micros;

/// Who showed a pass, and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassHolder {
    /// Who.
    pub person: PersonId,
    /// The pass.
    pub pass: PassId,
    /// The grant it was made for, or the extension that holds now.
    pub grant: GrantId,
    /// What it is for.
    pub resource: ResourceId,
    /// The role of the grant.
    pub role: RoleId,
    /// Name in the vault of the credential the grant uses.
    pub credential: String,
}

/// Why a pass opens nothing. For the record only: the person is told the same in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassRefusal {
    /// There is no such pass (or its grant ended and was recorded as ended).
    Unknown,
    /// It is for another resource.
    OtherResource,
    /// It is for another role.
    OtherRole,
    /// Its grant does not hold now.
    GrantEnded,
    /// Its person is suspended or outside of their tenure.
    Person,
}

impl PassRefusal {
    /// One word for the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown-pass",
            Self::OtherResource => "other-resource",
            Self::OtherRole => "other-role",
            Self::GrantEnded => "grant-ended",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for PassRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How somebody can reach a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The resource.
    pub resource: ResourceId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is sensitive.
    pub sensitive: bool,
    /// Roles the person may ask for.
    pub roles: Vec<RoleId>,
    /// Grants that hold or are scheduled, until when.
    pub grants: Vec<(GrantId, Micros)>,
}

/// What a request could break, and whose it is: what an approver must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlastRadius {
    /// The resource.
    pub resource: ResourceId,
    /// Where it is.
    pub address: String,
    /// Which database.
    pub database: String,
    /// Whether the way there is protected.
    pub tls: TargetTls,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is sensitive.
    pub sensitive: bool,
    /// What it allows.
    pub classes: ClassSet,
    /// What can destroy or take away: the classes that are more than reading.
    pub dangerous: ClassSet,
    /// What will still wait for a release.
    pub holds: RiskSet,
    /// Risks that will *not* wait, although the classes allow them.
    pub unheld: RiskSet,
    /// For how long, in seconds.
    pub duration_s: u64,
    /// When it would end if approved at the moment asked, bounded by tenure.
    pub ends: Micros,
    /// How urgent the person says it is.
    pub urgency: Urgency,
    /// What kind of person asks.
    pub kind: PersonKind,
    /// Where a contractor comes from.
    pub organisation: Option<String>,
    /// What could be in conflict.
    pub conflicts: Vec<String>,
    /// Whether it is within their working hours; `None` when not known.
    pub within_hours: Option<bool>,
    /// What they can do on that resource already.
    pub has_already: ClassSet,
    /// How many others hold a grant on the resource now.
    pub others: usize,
}

impl State {
    /// Whether somebody can have anything at `now`: enrolled, not suspended, within tenure.
    #[must_use]
    pub fn in_good_standing(&self, person: &PersonId, now: Micros) -> bool {
        self.person(person).is_some_and(|person| {
            person.state == PersonState::Active && person.profile.tenure.is_none_or(|t| t.contains(now))
        })
    }

    /// The one person behind an account: the end of its `alias_of` chain. I1, I2.
    #[must_use]
    pub fn human<'s>(&'s self, person: &'s PersonId) -> &'s PersonId {
        let mut one = person;
        // Bounded: a chain cannot be longer than there are people, even if a record made a circle.
        for _ in 0..self.people.len() {
            match self.person(one).and_then(|p| p.profile.alias_of.as_ref()) {
                Some(other) if other != one => one = other,
                Some(_) | None => break,
            }
        }
        one
    }

    /// Whether two accounts are one person.
    #[must_use]
    pub fn same_human(&self, a: &PersonId, b: &PersonId) -> bool {
        self.human(a) == self.human(b)
    }

    /// Whether `person` is in good standing and a member of an administrators' team.
    #[must_use]
    pub fn is_administrator(&self, person: &PersonId, now: Micros) -> bool {
        self.in_good_standing(person, now)
            && self.policy.is_member(person, &self.policy.system.administrators)
    }

    /// Whether `person` may read the whole log: auditors and administrators.
    #[must_use]
    pub fn is_auditor(&self, person: &PersonId, now: Micros) -> bool {
        self.in_good_standing(person, now) && self.policy.is_member(person, &self.policy.system.auditors)
            || self.is_administrator(person, now)
    }

    /// The login with that token, when it holds at `now`.
    #[must_use]
    pub fn authenticate_login(&self, token_sha256: &str, now: Micros) -> Option<&Arc<Login>> {
        let login = self.logins.get(token_sha256)?;
        (now < login.ends && self.in_good_standing(&login.person, now)).then_some(login)
    }

    /// The person an invitation code is for, when the code is good at `now`. Takes the SHA-256 of the code, hex.
    #[must_use]
    pub fn invited_with(&self, invitation_sha256: &str, now: Micros) -> Option<&Arc<Person>> {
        self.people().find(|person| {
            person.state == PersonState::Invited
                && now < person.invitation_ends
                && person.invitation_sha256.as_deref() == Some(invitation_sha256)
        })
    }

    /// Who shows the pass with that hash (hex) for `resource`, and which grant it stands for at `now`.
    ///
    /// # Errors
    /// Why it opens nothing, for the record only.
    pub fn authenticate_pass(
        &self,
        token_sha256: &str,
        resource: &ResourceId,
        role: Option<&RoleId>,
        now: Micros,
    ) -> Result<PassHolder, PassRefusal> {
        let pass = self.passes.get(token_sha256).ok_or(PassRefusal::Unknown)?;
        if pass.resource != *resource {
            return Err(PassRefusal::OtherResource);
        }
        if !self.in_good_standing(&pass.person, now) {
            return Err(PassRefusal::Person);
        }
        let root = self.root_of(&pass.grant);
        let grant = self
            .chain(&root)
            .find(|grant| self.grant_state(grant, now) == GrantState::Active)
            .ok_or(PassRefusal::GrantEnded)?;
        if role.is_some_and(|role| *role != grant.opened.role) {
            return Err(PassRefusal::OtherRole);
        }
        Ok(PassHolder {
            person: pass.person.clone(),
            pass: pass.id.clone(),
            grant: grant.id().clone(),
            resource: resource.clone(),
            role: grant.opened.role.clone(),
            credential: grant.opened.credential.clone(),
        })
    }

    /// Everything `person` may do on `resource`, by any role or by `role` alone: the union of the grants not yet ended
    /// (I5), each bounded by the tenure. Times are judged when it is used, never when it is folded.
    #[must_use]
    pub fn entitlement(
        &self,
        person: &PersonId,
        resource: &ResourceId,
        role: Option<&RoleId>,
    ) -> Entitlement {
        let asked = |grant: &Grant| role.is_none_or(|role| *role == grant.opened.role);
        self.entitlement_where(person, resource, asked)
    }

    /// What the session opened with a pass may do: the union of the grants that use the same credential at the target, so
    /// that one session never draws on rights the target would judge by another account.
    #[must_use]
    pub fn entitlement_of(&self, holder: &PassHolder, role: Option<&RoleId>) -> Entitlement {
        self.entitlement_where(&holder.person, &holder.resource, |grant| {
            grant.opened.credential == holder.credential && role.is_none_or(|role| *role == grant.opened.role)
        })
    }

    fn entitlement_where(
        &self,
        person: &PersonId,
        resource: &ResourceId,
        fits: impl Fn(&Grant) -> bool,
    ) -> Entitlement {
        let standing = self.person(person).filter(|person| person.state == PersonState::Active);
        let tenure = standing.and_then(|person| person.profile.tenure);
        let bounded = |grant: &Grant| {
            let (starts, ends) = (grant.opened.starts, grant.opened.ends);
            tenure.map_or((starts, ends), |tenure| (starts.max(tenure.starts), ends.min(tenure.ends)))
        };
        let rights = standing
            .and_then(|_| self.live.get(&(person.clone(), resource.clone())))
            .into_iter()
            .flatten()
            .filter_map(|number| self.grants.row(*number))
            .filter(|grant| fits(grant))
            .map(|grant| {
                let (starts, ends) = bounded(grant);
                let g = &grant.opened;
                Right::new(g.grant.clone(), g.role.clone(), g.classes, g.holds, starts, ends)
            })
            .filter(|right| right.starts < right.ends)
            .collect();
        Entitlement { person: person.clone(), resource: resource.clone(), rights, control_size: self.size }
    }

    /// How a grant is at `now`, its person's standing and tenure included.
    #[must_use]
    pub fn grant_state(&self, grant: &Grant, now: Micros) -> GrantState {
        let state = grant.state(now);
        if !matches!(state, GrantState::Active | GrantState::Scheduled) {
            return state;
        }
        match self.person(&grant.opened.person) {
            Some(person) if person.state == PersonState::Active => match person.profile.tenure {
                Some(tenure) if now >= tenure.ends => GrantState::TenureEnded,
                Some(tenure) if now < tenure.starts => GrantState::Scheduled,
                Some(_) | None => state,
            },
            Some(_) | None => GrantState::Revoked,
        }
    }

    /// The grant `root` and everything that extends it, in order.
    pub fn chain(&self, root: &GrantId) -> impl Iterator<Item = &Arc<Grant>> {
        let mut next = self.grant(root);
        std::iter::from_fn(move || {
            let grant = next?;
            next = grant.extended_by.as_ref().and_then(|id| self.grant(id));
            Some(grant)
        })
    }

    /// Grants that hold or are scheduled at `now`.
    pub fn live_grants(&self, now: Micros) -> impl Iterator<Item = &Arc<Grant>> {
        let live = self.live.values().flatten().filter_map(|number| self.grants.row(*number));
        live.filter(move |grant| {
            matches!(self.grant_state(grant, now), GrantState::Active | GrantState::Scheduled)
        })
    }

    /// Requests that wait for somebody at `now`, oldest first.
    pub fn pending_requests(&self, now: Micros) -> impl Iterator<Item = &Arc<Request>> {
        let pending = self.pending.iter().filter_map(|number| self.requests.row(*number));
        pending.filter(move |request| request.state(now) == RequestState::Pending)
    }

    /// Held actions that wait for somebody at `now`.
    pub fn waiting_holds(&self, now: Micros) -> impl Iterator<Item = &Arc<Hold>> {
        self.holds().filter(move |hold| hold.state(now) == HoldState::Waiting)
    }

    /// Who has access to `resource` at `now`, and by which grants.
    #[must_use]
    pub fn who_has_access(&self, resource: &ResourceId, now: Micros) -> BTreeMap<PersonId, Vec<Arc<Grant>>> {
        let mut who: BTreeMap<PersonId, Vec<Arc<Grant>>> = BTreeMap::new();
        let live = self.live_grants(now).filter(|g| g.opened.resource == *resource);
        for grant in live.filter(|g| self.grant_state(g, now) == GrantState::Active) {
            who.entry(grant.opened.person.clone()).or_default().push(Arc::clone(grant));
        }
        who
    }

    /// What somebody can reach or ask for.
    #[must_use]
    pub fn reach(&self, person: &PersonId, now: Micros) -> Vec<Reach> {
        let standing = self.in_good_standing(person, now);
        let resources = self.policy.resources.iter().map(|(id, resource)| Reach {
            resource: id.clone(),
            labels: resource.labels.clone(),
            sensitive: resource.sensitive,
            roles: if standing {
                self.policy.roles_for(person, id).map(|(role, _)| role.clone()).collect()
            } else {
                Vec::new()
            },
            grants: self
                .live_grants(now)
                .filter(|g| g.opened.person == *person && g.opened.resource == *id)
                .map(|g| (g.id().clone(), g.opened.ends))
                .collect(),
        });
        resources.filter(|reach| !reach.roles.is_empty() || !reach.grants.is_empty()).collect()
    }

    /// What a request could break, as an approver must see it at `now`. `zone` is the requester's, when known.
    #[must_use]
    pub fn blast_radius(
        &self,
        request: &RequestId,
        now: Micros,
        zone: Option<&jiff::tz::TimeZone>,
    ) -> Option<BlastRadius> {
        let request = self.request(request)?;
        let filed = &request.filed;
        let person = self.person(&filed.person)?;
        let resource = self.policy.resources.get(&filed.resource);
        let left = request.narrowed();
        let starts = filed.starts.map_or(now, |starts| starts.max(now));
        let asked = starts.plus_s(left.duration_s);
        let others = self.who_has_access(&filed.resource, now);
        let harmless = ClassSet::EMPTY.with(crate::action::Class::Session).with(crate::action::Class::Read);
        Some(BlastRadius {
            resource: filed.resource.clone(),
            address: resource.map(|r| r.address.clone()).unwrap_or_default(),
            database: resource.map(|r| r.database.clone()).unwrap_or_default(),
            tls: resource.map(|r| r.tls).unwrap_or_default(),
            labels: resource.map(|r| r.labels.clone()).unwrap_or_default(),
            sensitive: resource.is_some_and(|r| r.sensitive),
            classes: left.classes,
            dangerous: left.classes.minus(harmless),
            holds: left.holds,
            unheld: left.classes.possible_risks().minus(left.holds),
            duration_s: left.duration_s,
            ends: person.profile.tenure.map_or(asked, |tenure| asked.min(tenure.ends)),
            urgency: filed.urgency,
            kind: person.profile.kind,
            organisation: person.profile.organisation.clone(),
            conflicts: person.profile.conflicts.clone(),
            within_hours: person.profile.hours.as_ref().zip(zone).map(|(h, zone)| h.contains(starts, zone)),
            has_already: self.entitlement(&filed.person, &filed.resource, None).classes(now),
            others: others.keys().filter(|other| !self.same_human(other, &filed.person)).count(),
        })
    }
}

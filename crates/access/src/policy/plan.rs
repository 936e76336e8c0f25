//! What a new policy changes, for whom: who gains what, who loses what, before it is applied.
//!
//! Requests that wait and grants that hold keep the terms they were given (I13); a plan is about what can be asked from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Approver, Policy, Role, Step};
use crate::action::{Class, Risk};
use crate::decide::span;
use crate::id::{PersonId, ResourceId, RoleId, TeamId};

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Somebody can do more, or with fewer people asked.
    Gains,
    /// Somebody can do less.
    Loses,
    /// Neither can be said.
    Changes,
}

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Which way.
    pub way: Way,
    /// For whom; `None` for a change of the installation itself.
    pub person: Option<PersonId>,
    /// On what, when it is about a resource.
    pub resource: Option<ResourceId>,
    /// What, in words: lower case, no full stop.
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.way {
            Way::Gains => '+',
            Way::Loses => '-',
            Way::Changes => '~',
        };
        write!(f, "{sign} ")?;
        if let Some(person) = &self.person {
            write!(f, "{person}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What applying `new` over `old` would change, gains first.
#[must_use]
pub fn plan(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = BTreeSet::new();
    asks(old, new, &mut changes);
    powers(old, new, &mut changes);
    resources(old, new, &mut changes);
    settings(old, new, &mut changes);
    changes.into_iter().collect()
}

/// Who may ask for what, by which role.
fn asked(policy: &Policy) -> BTreeMap<(&PersonId, &ResourceId, &RoleId), &Role> {
    let mut found = BTreeMap::new();
    for (role_id, role) in &policy.roles {
        let askers: BTreeSet<&PersonId> = role
            .who_may_ask
            .iter()
            .filter_map(|team| policy.teams.get(team))
            .flat_map(|t| &t.members)
            .collect();
        for (resource_id, _) in policy.resources.iter().filter(|(_, resource)| role.selects(resource)) {
            found.extend(askers.iter().map(|asker| ((*asker, resource_id, role_id), role)));
        }
    }
    found
}

fn asks(old: &Policy, new: &Policy, changes: &mut BTreeSet<Change>) {
    let (before, after) = (asked(old), asked(new));
    for (key, role) in &after {
        match before.get(key) {
            None => put(changes, Way::Gains, *key, &format!("may ask for {}", terms(role))),
            Some(was) if was != role => compare(changes, *key, was, role),
            Some(_) => {}
        }
    }
    for (key, role) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        put(changes, Way::Loses, *key, &format!("may no longer ask for {}", terms(role)));
    }
}

type Key<'p> = (&'p PersonId, &'p ResourceId, &'p RoleId);

fn put(changes: &mut BTreeSet<Change>, way: Way, (person, resource, role): Key<'_>, what: &str) {
    changes.insert(Change {
        way,
        person: Some(person.clone()),
        resource: Some(resource.clone()),
        what: format!("{what} on {resource} by role {role}"),
    });
}

fn compare(changes: &mut BTreeSet<Change>, key: Key<'_>, was: &Role, is: &Role) {
    let names = |set: crate::action::ClassSet| set.iter().map(Class::name).collect::<Vec<_>>().join(", ");
    let risks = |set: crate::action::RiskSet| set.iter().map(Risk::name).collect::<Vec<_>>().join(", ");
    let (more, less) = (is.allow.minus(was.allow), was.allow.minus(is.allow));
    if !more.is_empty() {
        put(changes, Way::Gains, key, &format!("may ask for {}", names(more)));
    }
    if !less.is_empty() {
        put(changes, Way::Loses, key, &format!("may no longer ask for {}", names(less)));
    }
    let (unheld, held) = (was.hold.minus(is.hold), is.hold.minus(was.hold));
    if !unheld.is_empty() {
        put(changes, Way::Gains, key, &format!("{} no longer waits for a release", risks(unheld)));
    }
    if !held.is_empty() {
        put(changes, Way::Loses, key, &format!("{} waits for a release", risks(held)));
    }
    let spans = [
        ("at most", was.max_duration_s, is.max_duration_s),
        ("as a contractor at most", was.contractor_max_s, is.contractor_max_s),
    ];
    for (what, was, is) in spans.into_iter().filter(|(_, was, is)| was != is) {
        let way = if is > was { Way::Gains } else { Way::Loses };
        put(changes, way, key, &format!("{what} {} (was {})", span(is), span(was)));
    }
    if was.steps != is.steps {
        let needed = |steps: &[Step]| steps.iter().map(|step| step.count).sum::<u32>();
        let way = match needed(&is.steps).cmp(&needed(&was.steps)) {
            std::cmp::Ordering::Less => Way::Gains,
            std::cmp::Ordering::Equal => Way::Changes,
            std::cmp::Ordering::Greater => Way::Loses,
        };
        put(changes, way, key, &format!("approved by {} (was {})", steps(&is.steps), steps(&was.steps)));
    }
    if was.extend != is.extend || was.credential != is.credential || was.reason_required != is.reason_required
    {
        put(changes, Way::Changes, key, "another extension, credential or reason rule");
    }
}

fn terms(role: &Role) -> String {
    let classes: Vec<&str> = role.allow.iter().filter(|c| *c != Class::Session).map(Class::name).collect();
    format!(
        "{} for at most {}, approved by {}",
        classes.join(", "),
        span(role.max_duration_s),
        steps(&role.steps)
    )
}

fn steps(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "nobody".to_owned();
    }
    let words = |step: &Step| {
        let who: Vec<String> = step.any_of.iter().map(ToString::to_string).collect();
        format!("{} of {}", step.count, who.join(" or "))
    };
    steps.iter().map(words).collect::<Vec<_>>().join(", then ")
}

/// What people may do beside asking: approve, administer, read, kill, release.
fn powers(old: &Policy, new: &Policy, changes: &mut BTreeSet<Change>) {
    let (before, after) = (held_powers(old), held_powers(new));
    let change = |way, person: &PersonId, power: &str, may: &str| Change {
        way,
        person: Some(person.clone()),
        resource: None,
        what: format!("{may} {power}"),
    };
    changes.extend(after.difference(&before).map(|(who, power)| change(Way::Gains, who, power, "may")));
    changes.extend(
        before.difference(&after).map(|(who, power)| change(Way::Loses, who, power, "may no longer")),
    );
}

fn held_powers(policy: &Policy) -> BTreeSet<(&PersonId, String)> {
    let mut found = BTreeSet::new();
    let mut give = |team: &TeamId, power: &str| {
        let members = policy.teams.get(team).into_iter().flat_map(|team| &team.members);
        found.extend(members.map(|member| (member, power.to_owned())));
    };
    for (id, role) in &policy.roles {
        for approver in role.steps.iter().flat_map(|step| &step.any_of) {
            if let Approver::Team(team) = approver {
                give(team, &format!("approve role {id}"));
            }
        }
    }
    let system = &policy.system;
    let named = [
        (&system.administrators, "administer the installation"),
        (&system.auditors, "read the whole log"),
        (&system.may_kill, "kill any session and revoke any grant"),
        (&system.may_release, "release any held action of others"),
    ];
    for (teams, power) in named {
        for team in teams {
            give(team, power);
        }
    }
    found
}

fn resources(old: &Policy, new: &Policy, changes: &mut BTreeSet<Change>) {
    let mut put = |id: &ResourceId, what: String| {
        changes.insert(Change { way: Way::Changes, person: None, resource: Some(id.clone()), what });
    };
    for (id, resource) in &new.resources {
        match old.resources.get(id) {
            None => put(id, format!("new resource {id} at {}", resource.address)),
            Some(was) if was != resource => put(id, format!("resource {id} changes")),
            Some(_) => {}
        }
    }
    for id in old.resources.keys().filter(|id| !new.resources.contains_key(*id)) {
        put(id, format!("resource {id} goes; its grants hold until they end, with no new session"));
    }
}

fn settings(old: &Policy, new: &Policy, changes: &mut BTreeSet<Change>) {
    let (was, is) = (&old.system, &new.system);
    let spans = [
        ("a request can be approved for", was.request_life_s, is.request_life_s),
        ("a second factor counts as fresh for", was.factor_age_max_s, is.factor_age_max_s),
        ("a login of staff lasts", was.login_life_s, is.login_life_s),
        ("a login of a contractor lasts", was.contractor_login_life_s, is.contractor_login_life_s),
        ("an invitation can be used for", was.invitation_life_s, is.invitation_life_s),
        ("an action can be held for", was.hold_life_s, is.hold_life_s),
    ];
    for (what, was, is) in spans.into_iter().filter(|(_, was, is)| was != is) {
        let what = format!("{what} {} (was {})", span(is), span(was));
        changes.insert(Change { way: Way::Changes, person: None, resource: None, what });
    }
}

//! What a policy as a whole must be: every name leads somewhere, every approval can be reached.

use std::collections::{BTreeMap, BTreeSet};

use super::read::near;
use super::{Approver, Files, Policy, PolicyError, Role};
use crate::id::{PersonId, RoleId, TeamId};

/// Where things were written.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<(String, String), (String, u32)>);

impl Places {
    /// Notes where `name` of a kind is; gives back where it was before.
    pub(super) fn put(&mut self, kind: &str, name: &str, file: &str, line: u32) -> Option<(String, u32)> {
        let key = (kind.to_owned(), name.to_owned());
        match self.0.get(&key) {
            Some(first) => Some(first.clone()),
            None => {
                self.0.insert(key, (file.to_owned(), line));
                None
            }
        }
    }

    fn error(&self, kind: &str, name: &str, message: String, hint: String) -> PolicyError {
        let place = self.0.get(&(kind.to_owned(), name.to_owned()));
        let (file, line) = place.cloned().unwrap_or_else(|| ("policy".to_owned(), 1));
        PolicyError { file, line, message, hint }
    }
}

impl Policy {
    /// Every name leads somewhere.
    pub(super) fn check_names(&self, places: &Places, errors: &mut Vec<PolicyError>) {
        for (id, role) in &self.roles {
            self.check_role_names(id, role, places, errors);
        }
        let system = &self.system;
        let settings = [
            ("administrators", &system.administrators),
            ("auditors", &system.auditors),
            ("may_kill", &system.may_kill),
            ("may_release", &system.may_release),
        ];
        for (key, teams) in settings {
            for team in teams.iter().filter(|team| !self.teams.contains_key(team)) {
                errors.push(self.no_team(places, "system", "system", &format!("`{key}`"), team));
            }
        }
    }

    /// Every resource can be asked for, every role has resources, every approval can be reached.
    pub(super) fn check_reach(&self, places: &Places, errors: &mut Vec<PolicyError>) {
        for (id, role) in &self.roles {
            if !self.resources.is_empty() && !self.resources.values().any(|resource| role.selects(resource)) {
                let said: Vec<String> =
                    role.select.iter().map(|(key, value)| format!("{key} = \"{value}\"")).collect();
                let message = format!("role `{id}` selects no resource: none has {}", said.join(", "));
                let hint = "look at the labels of the resources".to_owned();
                errors.push(places.error("role", id.as_str(), message, hint));
            }
            self.check_steps(id, role, places, errors);
        }
        for (id, resource) in &self.resources {
            if !self.roles.values().any(|role| role.selects(resource)) {
                let message = format!("nobody can ever ask for resource `{id}`: no role selects it");
                let hint = "give it the labels of a role's `select`, or remove it".to_owned();
                errors.push(places.error("resource", id.as_str(), message, hint));
            }
        }
    }

    fn no_team(&self, places: &Places, kind: &str, name: &str, place: &str, team: &TeamId) -> PolicyError {
        let hint = match near(team.as_str(), self.teams.keys().map(TeamId::as_str)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("add `[teams.{team}]` with its members"),
        };
        places.error(kind, name, format!("there is no team `{team}`, named in {place}"), hint)
    }

    fn check_role_names(&self, id: &RoleId, role: &Role, places: &Places, errors: &mut Vec<PolicyError>) {
        let name = id.as_str();
        for team in role.who_may_ask.iter().filter(|team| !self.teams.contains_key(team)) {
            errors.push(self.no_team(places, "role", name, "`who_may_ask`", team));
        }
        if role.who_may_ask.is_empty() {
            let hint = "name a team in `who_may_ask`, or remove the role".to_owned();
            errors.push(places.error("role", name, format!("nobody may ask for role `{id}`"), hint));
        }
        for (number, step) in (1..).zip(&role.steps) {
            let number = number.to_string();
            for approver in &step.any_of {
                if let Approver::Team(team) = approver
                    && !self.teams.contains_key(team)
                {
                    errors.push(self.no_team(places, name, &number, &format!("step {number}"), team));
                }
            }
        }
    }

    /// Every member who may ask must leave enough others to approve, each person once (I1, I2).
    fn check_steps(&self, id: &RoleId, role: &Role, places: &Places, errors: &mut Vec<PolicyError>) {
        let askers: BTreeSet<&PersonId> = role
            .who_may_ask
            .iter()
            .filter_map(|team| self.teams.get(team))
            .flat_map(|team| &team.members)
            .collect();
        // Somebody from outside of every approving team stands for all who are; insiders lose one approver.
        for (number, step) in (1..).zip(&role.steps) {
            let own =
                step.any_of.iter().filter(|a| matches!(a, Approver::Manager | Approver::Sponsor)).count();
            let members: BTreeSet<&PersonId> = step
                .any_of
                .iter()
                .filter_map(|approver| match approver {
                    Approver::Team(team) => self.teams.get(team),
                    Approver::Manager | Approver::Sponsor => None,
                })
                .flat_map(|team| &team.members)
                .collect();
            let count = step.count as usize;
            let short =
                |asker: &&&PersonId| members.iter().filter(|member| *member != *asker).count() + own < count;
            let known = step.any_of.iter().all(|approver| match approver {
                Approver::Team(team) => self.teams.contains_key(team),
                Approver::Manager | Approver::Sponsor => true,
            });
            let stuck = askers.iter().find(short);
            if !known || (stuck.is_none() && !(askers.is_empty() && members.len() + own < count)) {
                continue;
            }
            let message = match stuck {
                Some(asker) => format!(
                    "step {number} of role `{id}` cannot be reached: it needs {count}, and when `{asker}` asks there are {}",
                    members.iter().filter(|member| *member != asker).count() + own
                ),
                None => format!("step {number} of role `{id}` cannot be reached: it needs {count} people"),
            };
            let hint =
                "add people to the team, or lower `count`; nobody approves their own request".to_owned();
            errors.push(places.error(id.as_str(), &number.to_string(), message, hint));
        }
    }

    /// Checks that every member of every team is somebody.
    ///
    /// # Errors
    /// Every name that is nobody's, with its file and line.
    pub fn check_people(&self, known: &BTreeSet<PersonId>, files: &Files) -> Result<(), Vec<PolicyError>> {
        let (_, places, _) = Self::read(files);
        let mut errors = Vec::new();
        for (id, team) in &self.teams {
            for nobody in team.members.iter().filter(|member| !known.contains(member)) {
                let hint = match near(nobody.as_str(), known.iter().map(PersonId::as_str)) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("invite them first: `daypass people invite {nobody}`"),
                };
                let message = format!("there is no person `{nobody}`, named in team `{id}`");
                errors.push(places.error("team", id.as_str(), message, hint));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

//! Policy: resources, roles, teams and settings, as a small declarative table. No rule means deny (I6).
//!
//! The text is TOML in any number of files; a file may hold any of the tables `resources`, `roles`, `teams`, `system`:
//!
//! ```toml
//! [resources.prod-orders]
//! kind = "postgres"
//! address = "10.0.0.5:5432"
//! database = "orders"
//! tls = "verify-full"                 # off | prefer (default) | require | verify-full
//! credential = "prod-orders"          # a name in the vault
//! labels = { env = "prod", system = "orders" }
//! sensitive = true
//!
//! [roles.orders-fix]
//! select = { env = "prod", system = "orders" }
//! who_may_ask = ["contractors", "engineers"]
//! allow = ["read", "write"]
//! default_duration = "1h"
//! max_duration = "8h"
//! contractor_max = "4h"
//! extend = { by = "30m", times = 1, approval = "none" }
//! [[roles.orders-fix.steps]]
//! any_of = ["leads", "manager"]       # teams, or the words `manager` and `sponsor`
//! count = 1
//!
//! [teams.leads]
//! members = ["alice"]
//!
//! [system]
//! administrators = ["admins"]
//! ```
//!
//! [`Policy::parse`] reads and checks it, [`plan()`] says what a new one changes for whom.

mod check;
mod plan;
mod read;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::{ClassSet, RiskSet};
use crate::id::PersonId;
use crate::id::{ResourceId, RoleId, TeamId};

pub use plan::{Change, Way, plan};
pub use read::parse_duration;

/// The files a policy is written in: name to text.
pub type Files = BTreeMap<String, String>;

/// A policy that was read and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What may be accessed.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// Which actions on which resources.
    pub roles: BTreeMap<RoleId, Role>,
    /// Who belongs together.
    pub teams: BTreeMap<TeamId, Team>,
    /// Settings of the installation.
    pub system: System,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The protocol it speaks.
    pub kind: ResourceKind,
    /// `host:port`, or the path of a Unix socket folder.
    pub address: String,
    /// The database to open.
    pub database: String,
    /// How to reach it.
    pub tls: TargetTls,
    /// File with the certificates to trust, for `verify-full`.
    pub ca_file: Option<String>,
    /// Name in the vault of the credential to use, unless the role has its own.
    pub credential: String,
    /// What roles select by.
    pub labels: BTreeMap<String, String>,
    /// A second factor no older than 15 minutes is needed to ask and to take a pass.
    pub sensitive: bool,
}

/// The protocol of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// PostgreSQL.
    Postgres,
}

/// How the way to a target is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetTls {
    /// Never TLS.
    Off,
    /// TLS when the target offers it; its certificate is not checked.
    #[default]
    Prefer,
    /// TLS or nothing; its certificate is not checked.
    Require,
    /// TLS, and the certificate must name the host and come from `ca_file` or a public authority.
    VerifyFull,
}

/// Which actions on which resources, for how long, approved by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Labels a resource must have, all of them.
    pub select: BTreeMap<String, String>,
    /// Teams whose members may ask.
    pub who_may_ask: Vec<TeamId>,
    /// Classes of action it allows.
    pub allow: ClassSet,
    /// Risks that wait for a release.
    pub hold: RiskSet,
    /// What a request gets that does not say.
    pub default_duration_s: u64,
    /// The longest grant.
    pub max_duration_s: u64,
    /// The longest grant for a contractor.
    pub contractor_max_s: u64,
    /// Whether a request must say why.
    pub reason_required: bool,
    /// Name in the vault of the credential to use instead of the resource's.
    pub credential: Option<String>,
    /// Who approves, in order. Empty: policy approves by itself.
    pub steps: Vec<Step>,
    /// How a live grant may be made longer.
    pub extend: Option<Extend>,
}

impl Role {
    /// Whether the role is about a resource with these labels.
    #[must_use]
    pub fn selects(&self, resource: &Resource) -> bool {
        self.select.iter().all(|(key, value)| resource.labels.get(key) == Some(value))
    }
}

/// One step of approval: `count` distinct people of `any_of`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who may approve it.
    pub any_of: Vec<Approver>,
    /// How many of them must.
    pub count: u32,
}

/// Who may approve a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Approver {
    /// The requester's manager.
    Manager,
    /// The requester's sponsor.
    Sponsor,
    /// A member of the team.
    Team(TeamId),
}

impl From<String> for Approver {
    fn from(name: String) -> Self {
        match name.as_str() {
            "manager" => Self::Manager,
            "sponsor" => Self::Sponsor,
            team => Self::Team(TeamId::new(team)),
        }
    }
}

impl From<Approver> for String {
    fn from(approver: Approver) -> Self {
        approver.to_string()
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager => f.write_str("manager"),
            Self::Sponsor => f.write_str("sponsor"),
            Self::Team(team) => write!(f, "{team}"),
        }
    }
}

/// How a live grant may be made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extend {
    /// By how much each time.
    pub by_s: u64,
    /// How often.
    pub times: u32,
    /// Who approves it.
    pub approval: ExtendApproval,
}

/// Who approves an extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtendApproval {
    /// Policy, at once.
    #[default]
    None,
    /// The steps of the role again.
    Same,
}

/// People who belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Who.
    pub members: Vec<PersonId>,
}

/// Settings of the installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Teams that invite and suspend people, apply policy, manage secrets. They approve nothing by being that.
    pub administrators: Vec<TeamId>,
    /// Teams that read the log.
    pub auditors: Vec<TeamId>,
    /// Teams that may kill any session and revoke any grant.
    pub may_kill: Vec<TeamId>,
    /// Teams that may release any held action, except their own.
    pub may_release: Vec<TeamId>,
    /// How long a request can be approved.
    pub request_life_s: u64,
    /// How old a second factor may be for approving and for sensitive resources.
    pub factor_age_max_s: u64,
    /// How long a login of staff lasts.
    pub login_life_s: u64,
    /// How long a login of a contractor lasts.
    pub contractor_login_life_s: u64,
    /// How long an invitation can be used.
    pub invitation_life_s: u64,
    /// How long an action can be held.
    pub hold_life_s: u64,
}

impl Default for System {
    fn default() -> Self {
        Self {
            administrators: Vec::new(),
            auditors: Vec::new(),
            may_kill: Vec::new(),
            may_release: Vec::new(),
            request_life_s: 3600,
            factor_age_max_s: 15 * 60,
            login_life_s: 12 * 3600,
            contractor_login_life_s: 8 * 3600,
            invitation_life_s: 7 * 24 * 3600,
            hold_life_s: 15 * 60,
        }
    }
}

impl Policy {
    /// Whether `person` is a member of any of `teams`.
    #[must_use]
    pub fn is_member(&self, person: &PersonId, teams: &[TeamId]) -> bool {
        teams.iter().any(|team| self.teams.get(team).is_some_and(|team| team.members.contains(person)))
    }

    /// The roles somebody may ask for on `resource`.
    pub fn roles_for<'p>(
        &'p self,
        person: &PersonId,
        resource: &ResourceId,
    ) -> impl Iterator<Item = (&'p RoleId, &'p Role)> {
        let resource = self.resources.get(resource);
        self.roles.iter().filter(move |(_, role)| {
            resource.is_some_and(|resource| role.selects(resource))
                && self.is_member(person, &role.who_may_ask)
        })
    }
}

/// What is wrong with a policy, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyError {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: u32,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl std::error::Error for PolicyError {}

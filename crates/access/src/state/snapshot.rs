//! A snapshot of the state, tied by the caller to a position and root of the control log. It only saves time: a state read
//! from it equals the fold of the log up to there, and a caller that doubts it folds the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Anchor, Grant, Hold, Login, Pass, Person, Pinned, Request, RequestState, State};
use crate::id::SessionId;
use crate::policy::{Files, Policy};
use crate::time::Micros;

/// Version of the snapshot form; another one is not read, the log is folded instead.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    v: u64,
    size: u64,
    at: Micros,
    people: Vec<Arc<Person>>,
    policy_version: u64,
    policy_files: BTreeMap<u64, Arc<Files>>,
    requests: Vec<Arc<Request>>,
    grants: Vec<Arc<Grant>>,
    logins: Vec<Arc<Login>>,
    logins_opened: u64,
    passes: Vec<Arc<Pass>>,
    passes_issued: u64,
    holds: Vec<Arc<Hold>>,
    killed: BTreeSet<SessionId>,
    secrets: BTreeSet<String>,
    anchors: BTreeMap<String, Anchor>,
}

/// Why a snapshot cannot be used. Fold the log instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError(String);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snapshot cannot be used: {}", self.0)
    }
}

impl std::error::Error for SnapshotError {}

impl State {
    /// The state as bytes.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        let sorted = |mut rows: Vec<Arc<Login>>| {
            rows.sort_by_key(|login| login.id.number());
            rows
        };
        let mut passes: Vec<Arc<Pass>> = self.passes.values().cloned().collect();
        passes.sort_by_key(|pass| pass.id.number());
        let snapshot = Snapshot {
            v: VERSION,
            size: self.size,
            at: self.at,
            people: self.people.values().cloned().collect(),
            policy_version: self.policy_version,
            policy_files: self
                .policies
                .iter()
                .map(|(version, pinned)| (*version, Arc::clone(&pinned.files)))
                .collect(),
            requests: self.requests.iter().cloned().collect(),
            grants: self.grants.iter().cloned().collect(),
            logins: sorted(self.logins.values().cloned().collect()),
            logins_opened: self.logins_opened,
            passes,
            passes_issued: self.passes_issued,
            holds: self.holds.values().cloned().collect(),
            killed: (*self.killed).clone(),
            secrets: (*self.secrets).clone(),
            anchors: (*self.anchors).clone(),
        };
        serde_json::to_vec(&snapshot).unwrap_or_default()
    }

    /// The state from bytes.
    ///
    /// # Errors
    /// Bytes that are no snapshot of this version.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let snapshot: Snapshot =
            serde_json::from_slice(bytes).map_err(|error| SnapshotError(error.to_string()))?;
        if snapshot.v != VERSION {
            return Err(SnapshotError(format!("version {}", snapshot.v)));
        }
        let mut policies = BTreeMap::new();
        for (version, files) in snapshot.policy_files {
            let policy = Policy::parse(&files).map_err(|errors| {
                SnapshotError(errors.first().map(ToString::to_string).unwrap_or_default())
            })?;
            policies.insert(version, Pinned { files, policy: Arc::new(policy) });
        }
        let policy = policies.get(&snapshot.policy_version).map(|pinned| Arc::clone(&pinned.policy));
        let mut live: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (number, grant) in (1_u64..).zip(&snapshot.grants).filter(|(_, grant)| grant.ended.is_none()) {
            let key = (grant.opened.person.clone(), grant.opened.resource.clone());
            live.entry(key).or_default().push(number);
        }
        let pending = (1_u64..)
            .zip(&snapshot.requests)
            .filter(|(_, request)| request.recorded == RequestState::Pending)
            .map(|(number, _)| number)
            .collect();
        let tokens = snapshot.logins.iter().map(|l| (l.id.clone(), l.token_sha256.clone())).collect();
        let logins: HashMap<_, _> =
            snapshot.logins.into_iter().map(|login| (login.token_sha256.clone(), login)).collect();
        let passes: HashMap<_, _> =
            snapshot.passes.into_iter().map(|pass| (pass.token_sha256.clone(), pass)).collect();
        Ok(Self {
            size: snapshot.size,
            at: snapshot.at,
            people: Arc::new(snapshot.people.into_iter().map(|p| (p.id.clone(), p)).collect()),
            policy: policy.unwrap_or_default(),
            policy_version: snapshot.policy_version,
            policies: Arc::new(policies),
            requests: snapshot.requests.into_iter().map(Arc::unwrap_or_clone).collect(),
            grants: snapshot.grants.into_iter().map(Arc::unwrap_or_clone).collect(),
            pending: Arc::new(pending),
            live: Arc::new(live),
            logins: Arc::new(logins),
            login_tokens: Arc::new(tokens),
            logins_opened: snapshot.logins_opened,
            passes: Arc::new(passes),
            passes_issued: snapshot.passes_issued,
            holds: Arc::new(snapshot.holds.into_iter().map(|h| (h.opened.hold.clone(), h)).collect()),
            killed: Arc::new(snapshot.killed),
            secrets: Arc::new(snapshot.secrets),
            anchors: Arc::new(snapshot.anchors),
        })
    }
}

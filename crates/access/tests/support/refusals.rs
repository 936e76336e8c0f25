//! Every command that changes something, for people who may change nothing.

use std::collections::BTreeMap;

use daypass_access::action::{ClassSet, RiskSet};
use daypass_access::command::{Ask, NewPerson};
use daypass_access::id::{GrantId, HoldId, LoginId, PersonId, RequestId, ResourceId, SessionId};
use daypass_access::person::{PersonKind, Profile};

use crate::world::{POLICY, World, files, token};

/// All asks but `CloseLogin` of one's own and `ReadLog` of an auditor.
pub(crate) fn changing(decided: &RequestId, pending: &RequestId, grant: &GrantId) -> Vec<Ask> {
    let (bob, comment) = (PersonId::new("bob"), String::new());
    let profile = Profile::new(PersonKind::Staff);
    let new = NewPerson {
        person: PersonId::new("eve"),
        profile: profile.clone(),
        name: String::new(),
        email: String::new(),
        invitation_sha256: None,
    };
    let hold = HoldId::new("H-0000000000000001");
    let session = SessionId::new("S-0000000000000001");
    let requests = World::ask(&crate::BASE, "prod-orders", "orders-fix");
    vec![
        Ask::Found { people: vec![new.clone()], files: BTreeMap::new() },
        Ask::Invite(new),
        Ask::Reinvite { person: bob.clone(), invitation_sha256: token(1) },
        Ask::Enroll { person: bob.clone(), invitation_sha256: token(1), factors: Vec::new() },
        Ask::ChangePerson { person: bob.clone(), profile },
        Ask::Suspend { person: bob.clone(), reason: String::new() },
        Ask::Restore { person: bob.clone() },
        Ask::OpenLogin { person: bob.clone(), token_sha256: token(1), factor_step: None },
        Ask::ShowFactor { login: LoginId::new("L-1"), factor_step: None },
        Ask::CloseLogin { login: LoginId::new("L-1") },
        Ask::RefuseLogin { person: None, origin: String::new(), because: String::new() },
        Ask::ApplyPolicy { files: files(POLICY), planned_on: None },
        Ask::SetSecret { name: "prod-orders".to_owned() },
        Ask::RemoveSecret { name: "prod-orders".to_owned() },
        requests,
        Ask::Approve { request: decided.clone(), narrow: None, comment: comment.clone() },
        Ask::Approve { request: pending.clone(), narrow: None, comment: comment.clone() },
        Ask::Deny { request: pending.clone(), comment: comment.clone() },
        Ask::Withdraw { request: pending.clone() },
        Ask::Extend { grant: grant.clone(), reason: String::new() },
        Ask::Return { grant: grant.clone() },
        Ask::Revoke { grant: grant.clone() },
        Ask::IssuePass { grant: grant.clone(), token_sha256: token(1) },
        Ask::Kill {
            session: session.clone(),
            person: bob,
            resource: ResourceId::new("prod-orders"),
            grant: grant.clone(),
            reason: String::new(),
        },
        Ask::OpenHold {
            hold: hold.clone(),
            session,
            action: 1,
            grant: grant.clone(),
            classes: ClassSet::EMPTY,
            risks: RiskSet::EMPTY,
            action_commitment: token(1),
            rows_estimate: None,
        },
        Ask::ReleaseHold { hold: hold.clone(), comment: comment.clone() },
        Ask::RefuseHold { hold: hold.clone(), comment },
        Ask::DropHold { hold, because: String::new() },
        Ask::Anchor { log: "activity".to_owned(), size: 1, root: token(1) },
        Ask::Recover { log: "activity".to_owned(), size: 1, dropped_len: 1 },
        Ask::Sweep,
    ]
}

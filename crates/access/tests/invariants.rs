//! The invariants by name, over random histories, against a naive second evaluator (`support/model.rs`) and the auditor.
//!
//! What of an invariant lies in other crates (bytes, sockets, disks) is tested there and in the simulation.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may end where it finds something wrong"
)]

#[path = "support/gates.rs"]
mod gates;
#[path = "support/history.rs"]
mod history;
#[path = "support/model.rs"]
mod model;
#[path = "support/policies.rs"]
mod policies;
#[path = "support/refusals.rs"]
mod refusals;
#[path = "support/story.rs"]
mod story;
#[path = "support/tampering.rs"]
mod tampering;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use daypass_access::action::{Class, ClassSet};
use daypass_access::audit::Audit;
use daypass_access::command::{Ask, Code, Command};
use daypass_access::decide;
use daypass_access::fact::{Fact, Narrowing};
use daypass_access::id::{GrantId, LoginId, PersonId, ResourceId};
use daypass_access::policy::{Approver, Policy};
use daypass_access::state::{GrantState, RequestState, State};
use daypass_access::time::Micros;
use proptest::prelude::*;

use history::{Op, PEOPLE, RESOURCES, ops, policy};
use model::{Model, set};
use world::{World, files};

/// Everybody enrolled; made once.
static BASE: LazyLock<World> = LazyLock::new(World::new);

fn played(ops: &[Op]) -> World {
    let mut world = BASE.clone();
    world.play(ops);
    world
}

fn names(classes: ClassSet) -> BTreeSet<String> {
    classes.iter().map(|class| class.name().to_owned()).collect()
}

fn us(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn i01_approver_is_not_requester(ops in ops()) {
        let model = Model::new(&played(&ops).log);
        for approval in model.of_kind("request-approved") {
            let request = model.about("request-filed", "request", approval["request"].as_str().unwrap()).next().unwrap();
            let (by, person) = (approval["by"].as_str().unwrap(), request["person"].as_str().unwrap());
            prop_assert_ne!(model.human(by), model.human(person));
        }
    }

    #[test]
    fn i02_one_person_one_step(ops in ops()) {
        let model = Model::new(&played(&ops).log);
        for grant in model.of_kind("grant-opened") {
            let approvals = model.about("request-approved", "request", grant["request"].as_str().unwrap());
            let humans: Vec<String> = approvals.map(|a| model.human(a["by"].as_str().unwrap())).collect();
            let distinct: BTreeSet<&String> = humans.iter().collect();
            prop_assert_eq!(distinct.len(), humans.len());
            let filed = model.about("request-filed", "request", grant["request"].as_str().unwrap()).next().unwrap();
            let needed: u64 = filed["steps"].as_array().unwrap().iter().map(|step| us(&step["count"])).sum();
            prop_assert_eq!(humans.len() as u64, needed);
        }
    }

    #[test]
    fn i03_grant_ends_within_policy_and_tenure(ops in ops()) {
        let world = played(&ops);
        let model = Model::new(&world.log);
        for grant in model.of_kind("grant-opened") {
            // The widest any of the policies gives: 24 h; an extension 30 min.
            let longest_s = if grant["extends"].is_null() { 24 * 3600 } else { 1800 };
            let (starts, ends) = (us(&grant["starts"]), us(&grant["ends"]));
            prop_assert!(starts < ends && ends <= starts + longest_s * 1_000_000);
            let index = usize::try_from(us(&grant["seq"])).unwrap();
            let then = Model { log: model.log[..index].to_vec() };
            for record in then.log.iter().filter(|r| r["person"] == grant["person"]).rev() {
                let tenure = &record["profile"]["tenure"];
                if record["profile"].is_object() {
                    prop_assert!(tenure.is_null() || ends <= us(&tenure["ends"]));
                    break;
                }
            }
        }
    }

    #[test]
    fn i04_session_never_outlives_grant(ops in ops(), later_s in 0_u64..20_000) {
        let mut world = played(&ops);
        let model = Model::new(&world.log);
        world.wait_s(later_s);
        for person in PEOPLE {
            for resource in RESOURCES {
                let entitlement = world.state.entitlement(&PersonId::new(person), &ResourceId::new(resource), None);
                let Some(deadline) = entitlement.deadline(world.now) else {
                    prop_assert!(model.holds(person, resource, world.now.0).is_empty());
                    continue;
                };
                // At every moment before the deadline something holds; at the deadline nothing does.
                let step = ((deadline.0 - world.now.0) / 16).max(1);
                for moment in (world.now.0..deadline.0).step_by(usize::try_from(step).unwrap()) {
                    prop_assert!(!model.holds(person, resource, moment).is_empty());
                }
                prop_assert!(model.holds(person, resource, deadline.0).is_empty());
            }
        }
        for pass in model.of_kind("pass-issued") {
            let (token, resource) = (pass["token_sha256"].as_str().unwrap(), pass["resource"].as_str().unwrap());
            let holder = world.state.authenticate_pass(token, &ResourceId::new(resource), None, world.now);
            if let Ok(holder) = holder {
                let holds = model.holds(pass["person"].as_str().unwrap(), resource, world.now.0);
                prop_assert!(holds.contains_key(holder.grant.as_str()));
                let others = RESOURCES.iter().filter(|other| **other != resource);
                for other in others {
                    let elsewhere = world.state.authenticate_pass(token, &ResourceId::new(other), None, world.now);
                    prop_assert!(elsewhere.is_err());
                }
            }
        }
    }

    #[test]
    fn i05_access_is_the_union_of_grants(ops in ops(), later_s in 0_u64..10_000) {
        let mut world = played(&ops);
        world.wait_s(later_s);
        let model = Model::new(&world.log);
        for person in PEOPLE {
            for resource in RESOURCES {
                let (who, what) = (PersonId::new(person), ResourceId::new(resource));
                let entitlement = world.state.entitlement(&who, &what, None);
                let naive = model.classes(person, resource, world.now.0);
                prop_assert_eq!(names(entitlement.classes(world.now)), naive);
                // Ending one chain removes what no other gives, and nothing else.
                for grant in model.holds(person, resource, world.now.0).into_keys() {
                    let mut after = world.clone();
                    if !after.try_as(person, Ask::Return { grant: GrantId::new(&grant) }) {
                        continue;
                    }
                    let left = Model::new(&after.log);
                    let root = world.state.grant(&GrantId::new(&grant)).unwrap().root.clone();
                    let rest = model.holds(person, resource, world.now.0).into_iter().filter(|(other, _)| {
                        world.state.grant(&GrantId::new(other)).unwrap().root != root
                    });
                    let rest: BTreeSet<String> = rest.flat_map(|(_, classes)| classes).collect();
                    prop_assert_eq!(&left.classes(person, resource, after.now.0), &rest);
                    let entitlement = after.state.entitlement(&who, &what, None);
                    prop_assert_eq!(names(entitlement.classes(after.now)), rest);
                }
            }
        }
    }

    #[test]
    fn i07_clock_starts_with_access(ops in ops()) {
        let model = Model::new(&played(&ops).log);
        for grant in model.of_kind("grant-opened") {
            let filed = model.about("request-filed", "request", grant["request"].as_str().unwrap()).next().unwrap();
            let approvals = model.about("request-approved", "request", grant["request"].as_str().unwrap());
            let last = approvals.map(|a| us(&a["at"])).max().unwrap_or(us(&filed["at"]));
            match grant["extends"].as_str() {
                None => prop_assert_eq!(us(&grant["starts"]), last),
                Some(before) => {
                    let before = model.about("grant-opened", "grant", before).next().unwrap();
                    prop_assert_eq!(us(&grant["starts"]), us(&before["ends"]));
                }
            }
        }
    }

    #[test]
    fn i08_approved_is_what_was_asked(ops in ops()) {
        let model = Model::new(&played(&ops).log);
        for grant in model.of_kind("grant-opened") {
            let id = grant["request"].as_str().unwrap();
            let filed = model.about("request-filed", "request", id).next().unwrap();
            for key in ["person", "resource", "role", "credential", "extends"] {
                prop_assert_eq!(&grant[key], &filed[key]);
            }
            let mut classes = set(&filed["classes"]);
            let mut duration_s = us(&filed["duration_s"]);
            for approval in model.about("request-approved", "request", id) {
                let narrowed = &approval["narrowed"];
                if narrowed.is_object() {
                    classes = classes.intersection(&set(&narrowed["classes"])).cloned().collect();
                    duration_s = duration_s.min(us(&narrowed["duration_s"]));
                }
            }
            prop_assert_eq!(set(&grant["classes"]), classes);
            prop_assert!(us(&grant["ends"]) - us(&grant["starts"]) <= duration_s * 1_000_000);
        }
    }

    #[test]
    fn i13_policy_change_never_widens(ops in ops(), number in 0_usize..4) {
        let mut world = played(&ops);
        let before = world.clone();
        prop_assume!(world.try_op(&Op::Policy(number)));
        for person in PEOPLE.map(PersonId::new) {
            for resource in RESOURCES.map(ResourceId::new) {
                let (was, is) = (before.state.entitlement(&person, &resource, None), world.state.entitlement(&person, &resource, None));
                prop_assert_eq!(was.rights, is.rights);
            }
        }
        // Whoever may approve a pending request now was named for it when it was filed, by the text of the policy then.
        let model = Model::new(&world.log);
        for request in world.state.pending_requests(world.now) {
            prop_assert_eq!(&request.filed, &before.state.request(request.id()).unwrap().filed);
            let applied = model.of_kind("policy-applied").find(|p| us(&p["version"]) == request.filed.policy).unwrap();
            let then = Policy::parse(&files(applied["files"]["policy.toml"].as_str().unwrap())).unwrap();
            for (number, step) in (0..).zip(&request.filed.steps) {
                for person in PEOPLE.map(PersonId::new) {
                    let Some(through) = decide::may_approve(&world.state, request, number, &person, world.now) else {
                        continue;
                    };
                    prop_assert!(step.any_of.contains(&through));
                    if let Approver::Team(team) = through {
                        prop_assert!(then.teams[&team].members.contains(&person), "{} became an approver", person);
                    }
                }
            }
        }
    }

    #[test]
    fn i14_decisions_are_reproducible(ops in ops()) {
        let world = played(&ops);
        // The fold alone gives the same state, also by way of a snapshot in the middle.
        let mut folded = State::default();
        for (index, leaf) in (0..).zip(&world.log) {
            if index == world.log.len() as u64 / 2 {
                folded = State::from_snapshot(&folded.to_snapshot()).unwrap();
            }
            let record = daypass_access::record::ControlRecord::decode(leaf).unwrap();
            folded.apply(index, &record).unwrap();
        }
        prop_assert_eq!(&folded, &world.state);
        // The same command on the same state gives the same records.
        let sweep = Command::by_system(Ask::Sweep);
        prop_assert_eq!(decide(&folded, &sweep, world.now), decide(&world.state, &sweep, world.now));
        // An auditor who only has the records finds nothing wrong with them.
        let mut audit = Audit::new("control");
        for (index, leaf) in (0..).zip(&world.log) {
            audit.control(index, leaf);
        }
        let report = audit.finish();
        prop_assert!(report.is_clean(), "{:?}", report.findings);
    }

    #[test]
    fn i18_expired_request_cannot_be_approved(ops in ops(), late_s in 0_u64..5_000) {
        let mut world = played(&ops);
        world.wait_s(late_s);
        let mut swept = world.clone();
        swept.system(Ask::Sweep).unwrap();
        for request in world.state.requests().iter() {
            let state = request.state(world.now);
            prop_assert_eq!(state, swept.state.request(request.id()).unwrap().state(world.now));
            let overdue = request.recorded == RequestState::Pending && world.now >= request.filed.lives_until;
            prop_assert_eq!(overdue, state == RequestState::Expired && request.recorded == RequestState::Pending);
            if overdue {
                for person in PEOPLE {
                    let ask = Ask::Approve { request: request.id().clone(), narrow: None, comment: String::new() };
                    prop_assert!(!world.clone().try_as(person, ask));
                }
            }
        }
        for grant in world.state.grants().iter() {
            let after = swept.state.grant(grant.id()).unwrap();
            prop_assert_eq!(world.state.grant_state(grant, world.now), swept.state.grant_state(after, world.now));
        }
        for person in PEOPLE.map(PersonId::new) {
            for resource in RESOURCES.map(ResourceId::new) {
                let (unswept, swept) = (world.state.entitlement(&person, &resource, None), swept.state.entitlement(&person, &resource, None));
                prop_assert_eq!(unswept.deadline(world.now), swept.deadline(world.now));
                prop_assert_eq!(unswept.classes(world.now), swept.classes(world.now));
            }
        }
    }
}

/// The histories above would prove little if nothing happened in them.
#[test]
fn random_histories_reach_what_matters() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for _ in 0..300 {
        let ops = ops().new_tree(&mut runner).unwrap().current();
        let world = played(&ops);
        let model = Model::new(&world.log);
        for record in &model.log {
            let kind = record["kind"].as_str().unwrap().to_owned();
            for (key, mark) in [("how", "how"), ("bound", "bound")] {
                if let Some(value) = record[key].as_str() {
                    seen.insert(format!("{kind} {mark} {value}"));
                }
            }
            if record["narrowed"].is_object() {
                seen.insert("narrowed".to_owned());
            }
            seen.insert(kind);
        }
    }
    for needed in [
        "request-approved",
        "request-denied",
        "request-withdrawn",
        "request-expired",
        "pass-issued",
        "narrowed",
        "person-suspended",
        "person-restored",
        "policy-applied",
        "grant-opened bound extension",
        "grant-opened bound tenure",
        "grant-opened bound narrowed",
        "grant-ended how ended",
        "grant-ended how returned",
        "grant-ended how revoked",
        "grant-ended how tenure-ended",
    ] {
        assert!(seen.contains(needed), "no history had `{needed}`: {seen:?}");
    }
}

#[test]
fn i06_no_rule_means_deny_for_every_command() {
    // Ada is an auditor and nothing else: whatever changes anything is refused to her, and a login of nobody to all.
    let mut world = BASE.clone();
    let request = world.request("bob", "prod-orders", "orders-fix").unwrap();
    let grant = {
        let mut w = world.clone();
        w.approve("alice", &request).unwrap().unwrap()
    };
    world.approve("alice", &request).unwrap();
    let pending = world.request("carol", "prod-orders", "orders-fix").unwrap();
    for ask in refusals::changing(&request, &pending, &grant) {
        let mut ada = world.clone();
        let refused = ada.fresh("ada", ask.clone());
        assert!(refused.is_err(), "ada could {ask:?}");
        let nobody = Command::by_login(&LoginId::new("L-999"), ask);
        assert_eq!(decide(&world.state, &nobody, world.now).unwrap_err().code, Code::NotLoggedIn);
    }
}

#[test]
fn i01_not_as_administrator_alias_or_second_account() {
    let mut world = BASE.clone();
    // Root administers and may ask: still nobody approves their own, and root approves nobody's by being root.
    let roots = world.request("root", "prod-orders", "orders-fix").unwrap();
    assert_eq!(world.approve("root", &roots).unwrap_err().code, Code::OwnRequest);
    let bobs = world.request("bob", "prod-orders", "orders-fix").unwrap();
    assert_eq!(world.approve("root", &bobs).unwrap_err().code, Code::NotAllowed);
    assert_eq!(world.approve("bob", &bobs).unwrap_err().code, Code::OwnRequest);
    assert_eq!(world.approve("bob2", &bobs).unwrap_err().code, Code::OwnRequest);
    // Alice leads and asks: her second account is in a team that approves, and is still her.
    let alices = world.request("alice", "prod-payroll", "payroll-ops").unwrap();
    assert_eq!(world.approve("alice2", &alices).unwrap_err().code, Code::OwnRequest);
    assert_eq!(world.approve("alice", &alices).unwrap_err().code, Code::OwnRequest);
}

#[test]
fn i02_an_alias_does_not_make_two_people() {
    let mut world = BASE.clone();
    let request = world.request("carol", "prod-payroll", "payroll-ops").unwrap();
    assert!(world.approve("alice", &request).unwrap().is_none(), "one of two steps");
    assert_eq!(world.approve("alice2", &request).unwrap_err().code, Code::ApprovedAlready);
    assert_eq!(world.approve("alice", &request).unwrap_err().code, Code::ApprovedAlready);
    assert!(world.approve("dan", &request).unwrap().is_some());
}

#[test]
fn i08_an_approver_may_only_narrow() {
    let mut world = BASE.clone();
    let request = world.request("bob", "prod-orders", "orders-fix").unwrap();
    let narrow = |duration_s, classes| Ask::Approve {
        request: request.clone(),
        narrow: Some(Narrowing { duration_s, classes, holds: None }),
        comment: String::new(),
    };
    let wider = ClassSet::EMPTY.with(Class::Read).with(Class::Ddl);
    assert_eq!(world.fresh("alice", narrow(Some(3_601), None)).unwrap_err().code, Code::NotNarrower);
    assert_eq!(world.fresh("alice", narrow(None, Some(wider))).unwrap_err().code, Code::NotNarrower);
    let read = ClassSet::EMPTY.with(Class::Read);
    let records = world.fresh("alice", narrow(Some(600), Some(read))).unwrap();
    let Some(Fact::GrantOpened(grant)) = records.last().map(|record| &record.fact) else {
        panic!("{records:?}")
    };
    assert_eq!((grant.classes, grant.ends), (read, world.now.plus_s(600)));
}

#[test]
fn i18_a_minute_late_is_too_late() {
    let mut world = BASE.clone();
    let request = world.request("bob", "prod-orders", "orders-fix").unwrap();
    world.wait_s(3_600);
    assert_eq!(world.approve("alice", &request).unwrap_err().code, Code::Expired);
    let mut in_time = BASE.clone();
    let request = in_time.request("bob", "prod-orders", "orders-fix").unwrap();
    in_time.wait_s(3_599);
    assert!(in_time.approve("alice", &request).unwrap().is_some());
}

#[test]
fn a_suspended_person_has_nothing() {
    let mut world = BASE.clone();
    let grant = world.bobs_grant();
    let pass = world.token();
    world.by("bob", Ask::IssuePass { grant: grant.clone(), token_sha256: pass.clone() }).unwrap();
    let (bob, orders) = (PersonId::new("bob"), ResourceId::new("prod-orders"));
    assert!(world.state.authenticate_pass(&pass, &orders, None, world.now).is_ok());
    world.fresh("alice", Ask::Suspend { person: bob.clone(), reason: "left".to_owned() }).unwrap();
    assert!(world.state.authenticate_pass(&pass, &orders, None, world.now).is_err());
    assert_eq!(world.state.entitlement(&bob, &orders, None).deadline(world.now), None);
    assert_eq!(world.state.grant_state(world.state.grant(&grant).unwrap(), world.now), GrantState::Revoked);
    let ask = world.ask("prod-orders", "orders-fix");
    assert_eq!(world.by("bob", ask).unwrap_err().code, Code::NotLoggedIn);
    // Restoring brings nothing back.
    world.fresh("root", Ask::Restore { person: bob.clone() }).unwrap();
    assert_eq!(world.state.entitlement(&bob, &orders, None).deadline(world.now), None);
}

#[test]
fn approvers_keep_their_say_over_a_grant_when_policy_changes() {
    let mut world = BASE.clone();
    let grant = world.bobs_grant();
    assert!(world.try_op(&Op::Policy(2)));
    assert!(world.try_op(&Op::Policy(0)));
    let root = world.clone().try_op(&Op::Revoke { who: 0, which: 0 });
    assert!(root, "an administrator may revoke");
    assert!(world.clone().fresh("dan", Ask::Revoke { grant: grant.clone() }).is_ok(), "a lead may revoke");
    // Ada was put among the leads after the request was filed: she has no say, and gets none by it.
    assert!(world.try_op(&Op::Policy(2)));
    assert_eq!(world.fresh("ada", Ask::Revoke { grant }).unwrap_err().code, Code::NotAllowed);
}

#[test]
fn an_extension_is_a_new_grant_and_live_access_moves_over() {
    let mut world = BASE.clone();
    let grant = world.bobs_grant();
    let pass = world.token();
    world.by("bob", Ask::IssuePass { grant: grant.clone(), token_sha256: pass.clone() }).unwrap();
    let (bob, orders) = (PersonId::new("bob"), ResourceId::new("prod-orders"));
    let deadline = |world: &World| world.state.entitlement(&bob, &orders, None).deadline(world.now);
    let first = deadline(&world).unwrap();
    for times in 1..=2 {
        world.by("bob", Ask::Extend { grant: grant.clone(), reason: String::new() }).unwrap();
        assert_eq!(deadline(&world), Some(first.plus_s(times * 1_800)));
    }
    let third = world.by("bob", Ask::Extend { grant: grant.clone(), reason: String::new() });
    assert_eq!(third.unwrap_err().code, Code::TooLong);
    // The pass goes on working under the extension, and dies with it.
    world.now = first.plus_s(1_000);
    let holder = world.state.authenticate_pass(&pass, &orders, None, world.now).unwrap();
    assert_eq!(holder.grant, GrantId::new("G-2"));
    world.now = first.plus_s(3_600);
    assert!(world.state.authenticate_pass(&pass, &orders, None, world.now).is_err());
}

#[test]
fn a_copy_of_the_state_is_not_changed_by_what_follows() {
    let mut world = BASE.clone();
    let grant = world.bobs_grant();
    let kept = world.state.clone();
    let snapshot = kept.to_snapshot();
    world.by("bob", Ask::Return { grant }).unwrap();
    assert_eq!(kept.to_snapshot(), snapshot);
    assert_ne!(world.state.to_snapshot(), snapshot);
}

#[test]
fn the_policies_of_the_histories_are_policies() {
    for number in 0..4 {
        assert!(Policy::parse(&files(&policy(number))).is_ok(), "{number}");
    }
    assert_ne!(policy(1), policy(0));
    assert_ne!(policy(2), policy(0));
    assert_ne!(policy(3), policy(0));
    assert!(world::START < Micros(u64::MAX));
}

//! What the auditor must notice: records that say what should never have been, and actions that no grant allowed.

use std::borrow::Cow;

use daypass_access::action::{Class, ClassSet, Risk, RiskSet};
use daypass_access::activity::{
    Activity, ActivityRecord, Denied, Intent, Outcome, Refused, SessionClosed, SessionOpened,
};
use daypass_access::audit::{Audit, Report};
use daypass_access::command::Ask;
use daypass_access::fact::Sealed;
use daypass_access::id::{HoldId, PersonId, ResourceId, SessionId};
use daypass_access::pipeline::Gating;
use daypass_access::time::Micros;

use crate::BASE;
use crate::world::{World, token};

fn audited(control: &[Vec<u8>], activity: &[Vec<u8>]) -> Report {
    let mut audit = Audit::new("control");
    for (index, leaf) in (0..).zip(control) {
        audit.control(index, leaf);
    }
    for (index, leaf) in (0..).zip(activity) {
        audit.activity("node-1", index, leaf);
    }
    audit.finish()
}

fn found(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// Changes text in the one record that has it.
fn edit(log: &mut [Vec<u8>], old: &str, new: &str) {
    let mut hits = log.iter_mut().filter(|leaf| String::from_utf8_lossy(leaf).contains(old));
    let leaf = hits.next().unwrap_or_else(|| panic!("no record has {old}"));
    *leaf = String::from_utf8_lossy(leaf).replace(old, new).into_bytes();
}

/// What a record says of the sealed address of somebody.
fn sealed_origin() -> Sealed {
    let fields = [("origin".to_owned(), token(7))].into();
    Sealed { subject: "bob".to_owned(), sha256: token(8), fields }
}

struct Story {
    world: World,
    activity: Vec<Vec<u8>>,
}

impl Story {
    /// Bob has a grant, a pass and an open session.
    fn new() -> Self {
        let mut world = BASE.clone();
        let grant = world.bobs_grant();
        let token_sha256 = world.token();
        world.by("bob", Ask::IssuePass { grant, token_sha256 }).unwrap();
        let mut story = Self { world, activity: Vec::new() };
        let deadline = story.deadline();
        story.push(&Activity::SessionOpened(SessionOpened {
            session: "S-1".into(),
            person: "bob".into(),
            resource: "prod-orders".into(),
            role: "orders-fix".into(),
            grant: "G-1".into(),
            pass: "P-1".into(),
            control: story.world.state.size(),
            ends: deadline,
            protocol: "postgres/3.2".into(),
        }));
        story
    }

    fn deadline(&self) -> Micros {
        let state = &self.world.state;
        let entitlement = state.entitlement(&PersonId::new("bob"), &ResourceId::new("prod-orders"), None);
        entitlement.deadline(self.world.now).unwrap()
    }

    fn push(&mut self, activity: &Activity<'_>) {
        let (at, seq) = (self.world.now, self.activity.len() as u64);
        let mut leaf = Vec::new();
        let none = None::<&Sealed>;
        let origin = sealed_origin();
        match activity {
            Activity::SessionOpened(a) => a.encode(at, seq, Some(&origin), &mut leaf),
            Activity::Intent(a) => a.encode(at, seq, none, &mut leaf),
            Activity::Outcome(a) => a.encode(at, seq, none, &mut leaf),
            Activity::SessionClosed(a) => a.encode(at, seq, none, &mut leaf),
            Activity::Denied(a) => a.encode(at, seq, none, &mut leaf),
            Activity::Refused(a) => a.encode(at, seq, Some(&origin), &mut leaf),
            other => panic!("{other:?}"),
        }
        assert_eq!(ActivityRecord::decode(&leaf).unwrap().activity, *activity);
        self.activity.push(leaf);
    }

    fn intent(&mut self, action: u64, class: Class, risks: RiskSet, hold: Option<&'static str>) {
        let control = self.world.state.size();
        self.push(&Activity::Intent(Intent {
            session: "S-1".into(),
            action,
            person: "bob".into(),
            resource: "prod-orders".into(),
            grant: "G-1".into(),
            control,
            verb: "UPDATE".into(),
            classes: ClassSet::EMPTY.with(class),
            risks,
            pure_read: class == Class::Read,
            gate: Gating::ActOrDisclose,
            rule: format!("role/orders-fix/{}", class.name()).into(),
            hold: hold.map(Cow::Borrowed),
        }));
    }

    fn outcome(&mut self, action: u64) {
        self.push(&Activity::Outcome(Outcome {
            session: "S-1".into(),
            action,
            result: "ok".into(),
            tag: "UPDATE 3".into(),
            rows: 3,
            bytes: 0,
            sent: 0,
            took_us: 900,
            code: "".into(),
            data_sha256: None,
        }));
    }

    fn refused(&mut self) {
        self.push(&Activity::Refused(Refused {
            session: "S-2".into(),
            person: None,
            resource: None,
            control: self.world.state.size(),
            because: "unknown-pass".into(),
        }));
    }

    /// Something nobody released in time.
    fn denied(&mut self) {
        self.push(&Activity::Denied(Denied {
            session: "S-1".into(),
            action: 1,
            person: "bob".into(),
            resource: "prod-orders".into(),
            control: self.world.state.size(),
            verb: "UPDATE".into(),
            classes: ClassSet::EMPTY.with(Class::Write),
            risks: RiskSet::EMPTY,
            missing: ClassSet::EMPTY,
            rule: "no-rule".into(),
            because: "hold-lapsed".into(),
            hold: None,
        }));
    }

    fn close(&mut self) {
        self.push(&Activity::SessionClosed(SessionClosed {
            session: "S-1".into(),
            person: "bob".into(),
            resource: "prod-orders".into(),
            grant: "G-1".into(),
            because: "client".into(),
            actions: 1,
            bytes: 0,
            took_us: 1,
        }));
    }

    fn report(&self) -> Report {
        audited(&self.world.log, &self.activity)
    }
}

#[test]
fn i14_an_honest_story_is_clean() {
    let mut story = Story::new();
    story.intent(1, Class::Read, RiskSet::EMPTY, None);
    story.outcome(1);
    story.intent(2, Class::Write, RiskSet::EMPTY, None);
    story.close();
    let report = story.report();
    assert_eq!(found(&report), Vec::<String>::new());
    assert_eq!((report.sessions, report.actions, report.without_outcome), (1, 2, 1));
}

#[test]
fn i14_a_released_hold_is_clean_and_one_without_release_is_found() {
    let risks = RiskSet::EMPTY.with(Risk::UpdateWithoutWhere);
    let mut story = Story::new();
    let open = Ask::OpenHold {
        hold: HoldId::new("H-1"),
        session: SessionId::new("S-1"),
        action: 1,
        grant: daypass_access::id::GrantId::new("G-1"),
        classes: ClassSet::EMPTY.with(Class::Write),
        risks,
        action_commitment: token(5),
        rows_estimate: Some(1_200),
    };
    story.world.system(open).unwrap();
    let mut hasty = Story { world: story.world.clone(), activity: story.activity.clone() };
    let own = story.world.fresh("bob", Ask::ReleaseHold { hold: HoldId::new("H-1"), comment: String::new() });
    assert_eq!(own.unwrap_err().code.name(), "own-request");
    story
        .world
        .fresh("alice", Ask::ReleaseHold { hold: HoldId::new("H-1"), comment: String::new() })
        .unwrap();
    story.intent(1, Class::Write, risks, Some("H-1"));
    assert_eq!(found(&story.report()), Vec::<String>::new());
    hasty.intent(1, Class::Write, risks, Some("H-1"));
    insta::assert_snapshot!(found(&hasty.report()).join("\n"), @"node-1 record 1: I14: decided again, the action of `bob` is not what rule `role/orders-fix/write` allowed");
}

#[test]
fn i06_an_action_that_no_grant_allows_is_found() {
    let mut story = Story::new();
    story.intent(1, Class::Ddl, RiskSet::EMPTY, None);
    insta::assert_snapshot!(found(&story.report()).join("\n"), @"node-1 record 1: I6: `bob` was let do what no grant allowed (UPDATE)");
}

#[test]
fn i04_an_action_after_the_end_is_found() {
    let mut story = Story::new();
    story.world.wait_s(3_600 + 2);
    story.intent(1, Class::Read, RiskSet::EMPTY, None);
    story.close();
    insta::assert_snapshot!(found(&story.report()).join("\n"), @"
    node-1 record 1: I4: the access had ended more than a second before
    node-1 record 1: I6: `bob` was let do what no grant allowed (UPDATE)
    node-1 record 2: I4: session `S-1` outlived its access by more than a second
    ");
}

#[test]
fn i04_an_action_after_a_revoke_is_found_even_if_decided_on_an_older_state() {
    let mut story = Story::new();
    let before = story.world.state.size();
    story.world.fresh("alice", Ask::Revoke { grant: daypass_access::id::GrantId::new("G-1") }).unwrap();
    story.world.wait_s(3);
    story.intent(1, Class::Read, RiskSet::EMPTY, None);
    let size = story.world.state.size();
    edit(&mut story.activity, &format!("\"control\":{size}"), &format!("\"control\":{before}"));
    insta::assert_snapshot!(found(&story.report()).join("\n"), @"node-1 record 1: I4: the access had ended more than a second before");
}

#[test]
fn i09_an_outcome_without_intent_is_found() {
    let mut story = Story::new();
    story.outcome(1);
    insta::assert_snapshot!(found(&story.report()).join("\n"), @"node-1 record 1: I9: action 1 of session `S-1` has an outcome and no intent");
}

#[test]
fn i01_edited_approvals_are_found() {
    let story = Story::new();
    let approved = "\"kind\":\"request-approved\"";
    for (old, new, finding) in [
        (
            "\"by\":\"alice\",\"through\"",
            "\"by\":\"bob2\",\"through\"",
            "I1: `bob2` approved their own request R-1",
        ),
        ("\"by\":\"alice\",\"through\"", "\"by\":\"root\",\"through\"", "I6: step 1 of R-1 was not `root`'s"),
    ] {
        let mut log = story.world.log.clone();
        let at = log.iter().position(|leaf| String::from_utf8_lossy(leaf).contains(approved)).unwrap();
        edit(&mut log[at..=at], old, new);
        let report = audited(&log, &[]);
        let expected = format!("control record {at}: {finding}");
        assert!(found(&report).contains(&expected), "{:?}", found(&report));
    }
}

#[test]
fn i03_i08_edited_grants_are_found() {
    let story = Story::new();
    let at =
        story.world.log.iter().position(|l| String::from_utf8_lossy(l).contains("\"grant-opened\"")).unwrap();
    for (old, new, finding) in [
        ("\"ends\":1800003600000000", "\"ends\":1800003600000001", "I3: G-1 ends later than it may"),
        (
            "[\"session\",\"read\",\"write\"]",
            "[\"session\",\"read\",\"write\",\"admin\"]",
            "I8: G-1 is not what was approved: other classes",
        ),
        (
            "\"starts\":1800000000000000",
            "\"starts\":1799999999999999",
            "I7: the clock of G-1 did not start when access started",
        ),
        (
            "\"approvers\":[\"alice\"]",
            "\"approvers\":[\"dan\"]",
            "I14: G-1 names other approvers than approved it",
        ),
    ] {
        let mut log = story.world.log.clone();
        edit(&mut log[at..=at], old, new);
        let report = audited(&log, &[]);
        let expected = format!("control record {at}: {finding}");
        assert!(found(&report).contains(&expected), "{:?}", found(&report));
    }
}

#[test]
fn i11_a_missing_moved_or_foreign_control_record_is_found() {
    let story = Story::new();
    let mut missing = story.world.log.clone();
    missing.remove(10);
    let mut moved = story.world.log.clone();
    moved.swap(10, 11);
    for log in [missing, moved] {
        let report = audited(&log, &[]);
        assert_eq!(report.findings[0].invariant, "I11", "{:?}", report.findings);
        assert_eq!(report.findings[0].index, 10);
    }
    let mut foreign = story.world.log.clone();
    foreign[10] = b"{\"v\":2,\"kind\":\"x\",\"at\":1,\"seq\":10}".to_vec();
    insta::assert_snapshot!(found(&audited(&foreign, &[])).join("\n"), @"control record 10: form: record version 2 is newer than this program; what follows was not judged");
}

#[test]
fn i10_every_activity_has_who_what_when_where_and_why() {
    let mut story = Story::new();
    story.intent(1, Class::Read, RiskSet::EMPTY, None);
    for leaf in &story.activity {
        let record: serde_json::Value = serde_json::from_slice(leaf).unwrap();
        for key in ["v", "kind", "at", "seq", "person", "resource", "grant", "control", "session"] {
            assert!(!record[key].is_null(), "{key} is missing in {record}");
        }
    }
    let opening: serde_json::Value = serde_json::from_slice(&story.activity[0]).unwrap();
    assert!(opening["sealed"]["fields"]["origin"].is_string() && opening["origin"].is_null(), "{opening}");
    let mut bare = Story { world: story.world.clone(), activity: story.activity.clone() };
    edit(&mut bare.activity[..1], "\"origin\":", "\"other\":");
    insta::assert_snapshot!(found(&bare.report()).join("\n"), @"node-1 record 0: I10: no origin");
}

#[test]
fn i10_an_action_outside_of_a_session_and_a_refusal_from_nowhere_are_found() {
    let mut story = Story::new();
    story.refused();
    story.denied();
    assert_eq!(found(&story.report()), Vec::<String>::new());
    edit(&mut story.activity[1..2], "\"origin\":", "\"other\":");
    story.close();
    story.intent(1, Class::Read, RiskSet::EMPTY, None);
    story.denied();
    insta::assert_snapshot!(found(&story.report()).join("\n"), @"
    node-1 record 1: I10: no origin
    node-1 record 4: I10: session `S-1` is not open
    node-1 record 5: I10: session `S-1` is not open
    ");
}

//! The pipeline against a naive evaluator, and its gates: I6, I9, I11 as far as they lie in this crate.

use daypass_access::action::{Action, Class, ClassSet, Risk, RiskSet};
use daypass_access::id::{GrantId, PersonId, ResourceId, RoleId};
use daypass_access::pipeline::{Decision, Entitlement, Gating, Right, decide};
use daypass_access::time::Micros;
use daypass_ledger::note::Signer;
use daypass_ledger::receipt::Covered;
use daypass_ledger::tree::EMPTY_ROOT;
use proptest::prelude::*;

fn covered(size: u64) -> Covered {
    Signer::new("test", &[7; 32]).unwrap().sign_head(size, EMPTY_ROOT).durable()
}

fn classes() -> impl Strategy<Value = ClassSet> {
    prop::collection::vec(prop::sample::select(Class::ALL.to_vec()), 0..5)
        .prop_map(|v| v.into_iter().collect())
}

fn risks() -> impl Strategy<Value = RiskSet> {
    prop::collection::vec(prop::sample::select(Risk::ALL.to_vec()), 0..3)
        .prop_map(|v| v.into_iter().collect())
}

fn right() -> impl Strategy<Value = Right> {
    (0_u64..4, 0_u64..3, classes(), risks(), 0_u64..20, 0_u64..20).prop_map(
        |(g, r, classes, holds, starts, len)| {
            let role = RoleId::new(&format!("role-{r}"));
            Right::new(GrantId::numbered(g + 1), role, classes, holds, Micros(starts), Micros(starts + len))
        },
    )
}

fn entitlement() -> impl Strategy<Value = Entitlement> {
    prop::collection::vec(right(), 0..5).prop_map(|rights| Entitlement {
        person: PersonId::new("bob"),
        resource: ResourceId::new("prod-orders"),
        rights,
        control_size: 9,
    })
}

fn action() -> impl Strategy<Value = Action> {
    (classes(), risks(), any::<bool>()).prop_map(|(classes, risks, pure_read)| Action {
        classes,
        risks,
        pure_read,
    })
}

#[derive(Debug, PartialEq)]
enum Naive {
    Allow,
    Hold(Vec<Risk>),
    Deny,
}

/// Said again in the plainest way: every class needs a live right, every risk a live right that allows all its carriers in
/// the action and does not hold it.
fn naive(rights: &[Right], action: Action, now: u64) -> Naive {
    let mut live = Vec::new();
    for right in rights {
        if right.starts.0 <= now && now < right.ends.0 {
            live.push(right);
        }
    }
    if live.is_empty() {
        return Naive::Deny;
    }
    for class in Class::ALL {
        let anybody = live.iter().any(|right| right.classes.contains(class));
        if action.classes.contains(class) && class != Class::Session && !anybody {
            return Naive::Deny;
        }
    }
    let mut held = Vec::new();
    for risk in Risk::ALL {
        if !action.risks.contains(risk) {
            continue;
        }
        let needed = |class: Class| class == Class::Session || action.classes.contains(class);
        let mut carriers: Vec<Class> = Class::ALL
            .into_iter()
            .filter(|class| needed(*class) && risk.carriers().contains(*class))
            .collect();
        if carriers.is_empty() {
            carriers = Class::ALL.into_iter().filter(|class| needed(*class)).collect();
        }
        let waived = live.iter().any(|right| {
            let allows = |class: &Class| *class == Class::Session || right.classes.contains(*class);
            !right.holds.contains(risk) && carriers.iter().all(allows)
        });
        if !waived {
            held.push(risk);
        }
    }
    if held.is_empty() { Naive::Allow } else { Naive::Hold(held) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn i06_no_rule_means_deny(entitlement in entitlement(), action in action(), now in 0_u64..45) {
        let decision = decide(&entitlement, action, Micros(now), Gating::ActOrDisclose);
        let expected = naive(&entitlement.rights, action, now);
        let (got, grant) = match &decision {
            Decision::Allow(allow) => (Naive::Allow, Some(allow.grant().clone())),
            Decision::Hold(hold) => (Naive::Hold(hold.risks.iter().collect()), Some(hold.grant().clone())),
            Decision::Deny(_) => (Naive::Deny, None),
        };
        prop_assert_eq!(got, expected);
        // I10: what is named is a grant that holds and allows something of the action.
        if let Some(grant) = grant {
            let holds = |right: &Right| right.grant == grant && right.starts.0 <= now && now < right.ends.0;
            prop_assert!(entitlement.rights.iter().any(holds));
        }
        // The same inputs give the same decision.
        let again = decide(&entitlement, action, Micros(now), Gating::ActOrDisclose);
        prop_assert_eq!(format!("{decision:?}"), format!("{again:?}"));
    }

    #[test]
    fn i04_deadline_is_the_first_moment_nothing_holds(entitlement in entitlement(), now in 0_u64..45) {
        let holds = |at: u64| entitlement.rights.iter().any(|r| r.starts.0 <= at && at < r.ends.0);
        let naive = holds(now).then(|| (now..).find(|at| !holds(*at)).unwrap());
        prop_assert_eq!(entitlement.deadline(Micros(now)).map(|end| end.0), naive);
    }

    #[test]
    fn i05_a_right_more_never_takes_away(entitlement in entitlement(), more in right(), action in action(), now in 0_u64..45) {
        let rank = |entitlement: &Entitlement| match decide(entitlement, action, Micros(now), Gating::Always) {
            Decision::Allow(_) => 2,
            Decision::Hold(_) => 1,
            Decision::Deny(_) => 0,
        };
        let mut wider = entitlement.clone();
        wider.rights.push(more);
        prop_assert!(rank(&wider) >= rank(&entitlement));
    }

    #[test]
    fn i09_no_byte_before_the_record(action in action(), index in 0_u64..6, size in 0_u64..7, always in any::<bool>()) {
        let all = Right::new(
            GrantId::numbered(1), RoleId::new("all"), ClassSet::from_iter(Class::ALL), RiskSet::EMPTY, Micros(0), Micros(9),
        );
        let entitlement = Entitlement {
            person: PersonId::new("bob"), resource: ResourceId::new("x"), rights: vec![all], control_size: 1,
        };
        let gating = if always { Gating::Always } else { Gating::ActOrDisclose };
        let Decision::Allow(allow) = decide(&entitlement, action, Micros(1), gating) else {
            return Err(TestCaseError::fail("everything is allowed"));
        };
        let (act, disclose) = allow.recorded(index).gates();
        let durable = index < size;
        // Only a proven pure read may be forwarded before its record, and only when policy does not gate everything.
        prop_assert_eq!(act.open(covered(size)).is_ok(), durable || (action.pure_read && !always));
        prop_assert_eq!(disclose.open(covered(size)).is_ok(), durable);
    }

    #[test]
    fn i11_acknowledged_means_covered_by_a_signed_head(index in 0_u64..300, size in 0_u64..300) {
        let receipt = covered(size).receipt(index);
        prop_assert_eq!(receipt.is_some(), index < size);
        if let Some(receipt) = receipt {
            prop_assert_eq!((receipt.index(), receipt.size()), (index, size));
        }
    }
}

/// A right to something else does not waive a hold: `UPDATE … ; DROP …` in one text still waits for the update.
#[test]
fn a_hold_is_not_waived_by_a_right_to_something_else() {
    let right = |number, classes: ClassSet, holds| {
        Right::new(GrantId::numbered(number), RoleId::new("r"), classes, holds, Micros(0), Micros(9))
    };
    let write = ClassSet::EMPTY.with(Class::Write);
    let ddl = ClassSet::EMPTY.with(Class::Ddl);
    let entitlement = Entitlement {
        person: PersonId::new("bob"),
        resource: ResourceId::new("x"),
        rights: vec![right(1, write, RiskSet::from_iter(Risk::ALL)), right(2, ddl, RiskSet::EMPTY)],
        control_size: 1,
    };
    let risks = RiskSet::EMPTY.with(Risk::UpdateWithoutWhere).with(Risk::Drop);
    let action = Action { classes: write.union(ddl), risks, pure_read: false };
    let Decision::Hold(hold) = decide(&entitlement, action, Micros(1), Gating::Always) else {
        panic!("it must wait");
    };
    assert_eq!(hold.risks, RiskSet::EMPTY.with(Risk::UpdateWithoutWhere));
    // After the release of that risk it goes on; after the release of another one it does not.
    assert!(matches!(hold.released(&entitlement, action, Micros(2), Gating::Always), Decision::Allow(_)));
}

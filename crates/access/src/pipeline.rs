//! THE PIPELINE: identify, decide, record, permit, relay. The same five words in every protocol.
//!
//! 1. *identify*: a pass names a person, a grant and a resource; the state folds that into an [`Entitlement`].
//! 2. *decide*: [`decide`] weighs one [`Action`] against the entitlement, now. No matching right means deny.
//! 3. *record*: an [`Allow`] turns into a [`Recorded`] only together with the position its intent took in the log.
//! 4. *permit*: a [`Recorded`] opens two gates. [`ActGate`] gives the [`ForwardPermit`] that a byte to the target costs,
//!    [`DiscloseGate`] the [`DisclosePermit`] that a byte of the result costs.
//! 5. *relay*: drivers take permits by value. Nothing else can mint one, so if it compiles it was decided and recorded.
//!
//! INVARIANT: I9. A `ForwardPermit` for anything but a proven pure read, and every `DisclosePermit`, needs a
//! [`Covered`] that reaches the intent. This file knows no protocol, socket or clock.

use std::sync::Arc;

use daypass_ledger::receipt::{Covered, Receipt};
use serde::{Deserialize, Serialize};

use crate::action::{Action, Class, ClassSet, Risk, RiskSet};
use crate::id::{GrantId, PersonId, ResourceId, RoleId, RuleId};
use crate::time::Micros;

/// One active grant's part of what a person may do on a resource. Made by [`Right::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The grant that gives it.
    pub grant: GrantId,
    /// The role the grant was asked under.
    pub role: RoleId,
    /// Classes it allows.
    pub classes: ClassSet,
    /// Risks that wait for a release under this grant.
    pub holds: RiskSet,
    /// First moment it holds.
    pub starts: Micros,
    /// First moment it no longer holds. Always finite: I3.
    pub ends: Micros,
    /// The rule of each class, in the order of [`Class::ALL`]: made once for each fold, not for each decision.
    rules: Arc<[RuleId]>,
}

impl Right {
    /// The right that `grant` gives under `role` from `starts` until before `ends`.
    #[must_use]
    pub fn new(
        grant: GrantId,
        role: RoleId,
        classes: ClassSet,
        holds: RiskSet,
        starts: Micros,
        ends: Micros,
    ) -> Self {
        let rules =
            Class::ALL.iter().map(|class| RuleId::new(&format!("role/{role}/{}", class.name()))).collect();
        Self { grant, role, classes, holds, starts, ends, rules }
    }

    /// The rule by which this right allows `class`.
    #[must_use]
    pub fn rule(&self, class: Class) -> RuleId {
        self.rules.get(class as usize).cloned().unwrap_or_else(no_rule)
    }

    fn live(&self, now: Micros) -> bool {
        self.starts <= now && now < self.ends
    }
}

/// The rule that denies when nothing allows: I6.
fn no_rule() -> RuleId {
    RuleId::new("no-rule")
}

/// Everything a person may do on one resource: the union of the grants (I5), as folded at one size of the control log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Whose it is.
    pub person: PersonId,
    /// On what.
    pub resource: ResourceId,
    /// The grants not yet ended when it was folded; their times are checked at every decision.
    pub rights: Vec<Right>,
    /// Size of the control log it was folded at.
    pub control_size: u64,
}

impl Entitlement {
    /// The moment the last of the rights that hold without a gap from `now` ends; `None` when none holds now. I4.
    #[must_use]
    pub fn deadline(&self, now: Micros) -> Option<Micros> {
        let mut end = self.rights.iter().filter(|r| r.live(now)).map(|r| r.ends).max()?;
        while let Some(later) =
            self.rights.iter().filter(|r| r.starts <= end && r.ends > end).map(|r| r.ends).max()
        {
            end = later;
        }
        Some(end)
    }

    /// Classes allowed now, by any right.
    #[must_use]
    pub fn classes(&self, now: Micros) -> ClassSet {
        self.rights.iter().filter(|r| r.live(now)).fold(ClassSet::EMPTY, |set, r| set.union(r.classes))
    }
}

/// When the intent must be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gating {
    /// Acts wait before they are forwarded; a proven pure read waits before its result is shown.
    #[default]
    ActOrDisclose,
    /// Everything waits before it is forwarded.
    Always,
}

/// What was decided of one action.
#[derive(Debug)]
#[must_use = "a decision not acted on is an action without a record"]
pub enum Decision {
    /// It may go on once recorded.
    Allow(Allow),
    /// It may go on once somebody else releases it, and recorded.
    Hold(Hold),
    /// It may not.
    Deny(Denied),
}

/// A decision to allow. It opens nothing until it is recorded.
#[derive(Debug)]
#[must_use = "an allowed action must be recorded before it goes on"]
pub struct Allow {
    grant: GrantId,
    rule: RuleId,
    control_size: u64,
    waits_to_act: bool,
}

/// A decision to wait for a release. [`Hold::released`] turns it into an [`Allow`].
#[derive(Debug)]
#[must_use = "a held action must be recorded and either released or refused"]
pub struct Hold {
    allow: Allow,
    /// What made it wait.
    pub risks: RiskSet,
}

/// A decision to refuse, with what a person needs to know. It is data, and it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub because: Because,
    /// The rule that says so, `no-rule` when nothing allows it (I6).
    pub rule: RuleId,
    /// The size of the control log it was decided at.
    pub control_size: u64,
}

/// Why an action was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// No grant holds at this moment.
    NoGrant,
    /// No grant allows these classes.
    NotGranted(ClassSet),
}

/// Decides one action, now. Pure: the same inputs give the same decision, offline as well (I14).
///
/// The classes of an action may come from several grants (I5); the grant named in the record is the one that allows the
/// highest class needed and ends last. An action waits for a release while one of its risks is held by every live grant
/// that allows the classes carrying that risk: a grant that does not hold it is a wider right, and rights add up.
pub fn decide(entitlement: &Entitlement, action: Action, now: Micros, gating: Gating) -> Decision {
    let control_size = entitlement.control_size;
    let deny = |because| Decision::Deny(Denied { because, rule: no_rule(), control_size });
    let needed = action.classes.with(Class::Session);
    let highest = needed.iter().max().unwrap_or(Class::Admin);
    let Some(deadline) = entitlement.deadline(now) else { return deny(Because::NoGrant) };
    debug_assert!(deadline > now, "a live right ends later than now");
    let allowed = entitlement.classes(now).with(Class::Session);
    let missing = needed.minus(allowed);
    if !missing.is_empty() {
        return deny(Because::NotGranted(missing));
    }
    let live = || entitlement.rights.iter().filter(|r| r.live(now));
    let bears = |r: &&Right| r.classes.with(Class::Session).contains(highest);
    let Some(right) =
        live().filter(bears).max_by_key(|r| (r.holds.intersection(action.risks).is_empty(), r.ends))
    else {
        return deny(Because::NotGranted(needed));
    };
    let allow = Allow {
        grant: right.grant.clone(),
        rule: right.rule(highest),
        control_size,
        waits_to_act: gating == Gating::Always || !action.pure_read,
    };
    // A risk is waived only by a right that itself allows what carries the risk: a right to something else does not.
    let waived = |risk: &Risk| {
        let carriers = needed.intersection(risk.carriers());
        let carriers = if carriers.is_empty() { needed } else { carriers };
        live().any(|r| !r.holds.contains(*risk) && carriers.minus(r.classes.with(Class::Session)).is_empty())
    };
    let risks: RiskSet = action.risks.iter().filter(|risk| !waived(risk)).collect();
    if risks.is_empty() { Decision::Allow(allow) } else { Decision::Hold(Hold { allow, risks }) }
}

impl Hold {
    /// The rule that holds it.
    #[must_use]
    pub fn rule(&self) -> &RuleId {
        &self.allow.rule
    }

    /// The grant it is held under.
    #[must_use]
    pub fn grant(&self) -> &GrantId {
        &self.allow.grant
    }

    /// Goes on after a release, if it would still be allowed now: the decision is made again, and only its waiting is
    /// waived, and only for the risks that were released.
    pub fn released(
        self,
        entitlement: &Entitlement,
        action: Action,
        now: Micros,
        gating: Gating,
    ) -> Decision {
        match decide(entitlement, action, now, gating) {
            Decision::Hold(again) if again.risks.minus(self.risks).is_empty() => Decision::Allow(again.allow),
            other @ (Decision::Allow(_) | Decision::Deny(_) | Decision::Hold(_)) => other,
        }
    }
}

impl Allow {
    /// The grant that allows it.
    #[must_use]
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// The rule that allows it.
    #[must_use]
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// Size of the control log it was decided at.
    #[must_use]
    pub fn control_size(&self) -> u64 {
        self.control_size
    }

    /// Whether the action may not be forwarded before its intent is durable.
    #[must_use]
    pub fn waits_to_act(&self) -> bool {
        self.waits_to_act
    }

    /// Binds the decision to the position its intent took in the log.
    pub fn recorded(self, index: u64) -> Recorded {
        Recorded { index, waits_to_act: self.waits_to_act }
    }
}

/// A decision whose intent has a place in the log.
#[derive(Debug)]
#[must_use = "open its gates"]
pub struct Recorded {
    index: u64,
    waits_to_act: bool,
}

impl Recorded {
    /// The two gates of the action, each to be opened once.
    pub fn gates(self) -> (ActGate, DiscloseGate) {
        let act = ActGate { waits_for: self.waits_to_act.then_some(self.index) };
        (act, DiscloseGate { waits_for: self.index })
    }
}

/// The gate before the target.
#[derive(Debug)]
#[must_use = "an action that never passes its gate hangs"]
pub struct ActGate {
    waits_for: Option<u64>,
}

impl ActGate {
    /// Opens the gate when the intent is covered, or at once for a pure read; gives itself back otherwise.
    ///
    /// # Errors
    /// The gate, unopened, while the intent is not yet durable.
    pub fn open(self, covered: Covered) -> Result<ForwardPermit, Self> {
        match self.waits_for {
            None => Ok(ForwardPermit { _receipt: None }),
            Some(index) => covered.receipt(index).map(|r| ForwardPermit { _receipt: Some(r) }).ok_or(self),
        }
    }
}

/// The gate before the person.
#[derive(Debug)]
#[must_use = "a result that never passes its gate hangs"]
pub struct DiscloseGate {
    waits_for: u64,
}

impl DiscloseGate {
    /// Opens the gate when the intent is covered; gives itself back otherwise.
    ///
    /// # Errors
    /// The gate, unopened, while the intent is not yet durable.
    pub fn open(self, covered: Covered) -> Result<DisclosePermit, Self> {
        covered.receipt(self.waits_for).map(|receipt| DisclosePermit { _receipt: receipt }).ok_or(self)
    }
}

/// The right to send one action's bytes to the target. Not `Clone`: one action, one permit.
#[derive(Debug)]
pub struct ForwardPermit {
    _receipt: Option<Receipt>,
}

/// The right to show one action's result to the person.
#[derive(Debug)]
pub struct DisclosePermit {
    _receipt: Receipt,
}

//! Tells live sessions what changed: every time the control log grows, each session's rights are folded again.
//!
//! INVARIANT: I4. A session whose last right went is ended here; its deadline it keeps itself.

use std::sync::Arc;

use daypass_access::state::{GrantState, HoldState, State};
use daypass_access::time::Micros;

use crate::live::EndReason;
use crate::node::Node;
use crate::seat::{Seat, Verdict};

/// Runs as long as the control log lives.
pub(crate) async fn run(node: Arc<Node>) {
    let mut changes = node.controller.changes();
    loop {
        let state = node.controller.state();
        let now = node.now();
        for seat in node.registry.all() {
            tell(&seat, &state, now);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Tells one session what it may do now.
pub(crate) fn tell(seat: &Seat, state: &State, now: Micros) {
    if state.is_killed(&seat.session) {
        return seat.tell(|told| told.end = Some(EndReason::Killed));
    }
    let entitlement = state.entitlement_of(&seat.holder, seat.asked_role.as_ref());
    if entitlement.deadline(now).is_none() {
        let reason = why_ended(seat, state, now);
        return seat.tell(|told| told.end = Some(reason));
    }
    if seat.learns(&entitlement) {
        seat.tell(|told| told.entitlement = Some(Arc::new(entitlement)));
    }
    if let Some(name) = seat.hold()
        && let Some(hold) = state.hold(&name)
    {
        let verdict = match hold.state(now) {
            HoldState::Waiting => None,
            HoldState::Released { .. } => Some(Verdict::Released),
            HoldState::Refused { by, .. } => Some(Verdict::Refused(format!("refused by `{by}`"))),
            HoldState::Dropped { because } => {
                Some(Verdict::Refused(format!("it no longer waits ({because})")))
            }
        };
        if let Some(verdict) = verdict {
            seat.tell(|told| told.verdict = Some((name, verdict)));
        }
    }
}

fn why_ended(seat: &Seat, state: &State, now: Micros) -> EndReason {
    let last = state.chain(&seat.holder.grant).last();
    match last.map(|grant| state.grant_state(grant, now)) {
        Some(GrantState::Returned) => EndReason::Returned,
        Some(GrantState::TenureEnded) => EndReason::TenureEnded,
        Some(GrantState::Ended | GrantState::Active | GrantState::Scheduled) => EndReason::GrantEnded,
        Some(GrantState::Revoked) | None => EndReason::Revoked,
    }
}

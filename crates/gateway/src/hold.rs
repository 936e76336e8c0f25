//! Held actions, as the control log knows them: opened here, released or refused there, dropped when nobody waits.

use std::sync::Arc;

use daypass_access::command::{Ask, Command};
use daypass_access::id::{HoldId, SessionId};
use daypass_pg::session::Held;

use crate::estimate;
use crate::node::Node;
use crate::recorder::{Opened, SessionRecorder};
use crate::seat::{Seat, Verdict};
use crate::target::Way;

/// Announces a held action. When that is not possible it is refused: nobody could release it.
pub(crate) fn open(
    node: &Arc<Node>,
    seat: &Arc<Seat>,
    way: &Way,
    recorder: &mut SessionRecorder,
    held: Held,
) {
    let Some(Opened { hold, action_commitment, index }) = recorder.hold.take() else { return };
    seat.waits_in(Some(hold.clone()));
    let (node, seat, way) = (Arc::clone(node), Arc::clone(seat), way.clone());
    node.house.clone().spawn(async move {
        let durable = node.journal.until_covered(index).await.is_ok();
        let rows_estimate =
            if durable { estimate::rows(&node, &way, &seat.session, &held.statement).await } else { None };
        if seat.hold().as_ref() != Some(&hold) {
            return; // It was given up meanwhile; nobody has heard of it yet.
        }
        let name = hold.clone();
        let ask = Ask::OpenHold {
            hold,
            session: seat.session.clone(),
            action: held.number,
            grant: held.grant,
            classes: held.statement.action.classes,
            risks: held.risks,
            action_commitment,
            rows_estimate,
        };
        if let Err(error) = node.controller.submit(Command::by_system(ask)).await {
            tracing::error!(session = %seat.session, %error, "a hold could not be opened");
            let why = "it could not be announced to those who release".to_owned();
            seat.tell(|told| told.verdict = Some((name, Verdict::Refused(why))));
        } else if seat.hold().as_ref() != Some(&name) {
            drop_it(&node, &seat.session, name, "cancelled").await;
        }
    });
}

/// A held action no longer waits.
pub(crate) fn dropped(node: &Arc<Node>, seat: &Seat, because: &'static str) {
    let Some(hold) = seat.hold() else { return };
    seat.waits_in(None);
    let node = Arc::clone(node);
    let session = seat.session.clone();
    node.house.clone().spawn(async move {
        // One that is still being announced is dropped by who announces it.
        if node.controller.state().hold(&hold).is_some() {
            drop_it(&node, &session, hold, because).await;
        }
    });
}

async fn drop_it(node: &Node, session: &SessionId, hold: HoldId, because: &'static str) {
    let ask = Ask::DropHold { hold, because: because.to_owned() };
    if let Err(error) = node.controller.submit(Command::by_system(ask)).await {
        tracing::warn!(%session, %error, "the end of a hold could not be recorded");
    }
}

//! Held actions, as the control log knows them: opened here, released or refused there, dropped when nobody waits.

use std::sync::Arc;

use daypass_access::command::{Ask, Command};
use daypass_pg::session::Held;

use crate::node::Node;
use crate::recorder::SessionRecorder;
use crate::seat::{Seat, Verdict};

/// Announces a held action. When that is not possible it is refused: nobody could release it.
pub(crate) fn open(node: &Arc<Node>, seat: &Arc<Seat>, recorder: &mut SessionRecorder, held: Held) {
    let Some((hold, action_commitment)) = recorder.hold.take() else { return };
    seat.waits_in(Some(hold.clone()));
    let ask = Ask::OpenHold {
        hold,
        session: seat.session.clone(),
        action: held.number,
        grant: held.grant,
        classes: held.statement.action.classes,
        risks: held.risks,
        action_commitment,
        rows_estimate: None,
    };
    let (node, seat) = (Arc::clone(node), Arc::clone(seat));
    node.house.clone().spawn(async move {
        if let Err(error) = node.controller.submit(Command::by_system(ask)).await {
            tracing::error!(session = %seat.session, %error, "a hold could not be opened");
            let why = "it could not be announced to those who release".to_owned();
            seat.tell(|told| told.verdict = Some(Verdict::Refused(why)));
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
        let ask = Ask::DropHold { hold, because: because.to_owned() };
        if let Err(error) = node.controller.submit(Command::by_system(ask)).await {
            tracing::warn!(%session, %error, "the end of a hold could not be recorded");
        }
    });
}

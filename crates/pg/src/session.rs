//! A session after login, as a machine without sockets: bytes in, decisions, records, bytes out.
//!
//! Feed it through [`Session::client_in`] and [`Session::target_in`], turn it with [`Session::turn`] whenever bytes came,
//! the log covered more, or the entitlement changed, and write what [`Session::outlet`] holds. Start reading at
//! `release`: the only place where bytes leave. Then `staging` (client to target: what is it, may it, record it) and
//! `forwarding` (wait for the record, forward), `answers` (target to person: whose answer is it, may it be shown, how did it
//! end) and `names` (what a prepared statement's name stands for).
//!
//! A denied action is replaced by one that the target itself refuses, and the target's error by ours: what an error
//! means to a pipeline and to a transaction then follows the target's own rules.
//!
//! Memory: at most [`SESSION_LEN_MAX`] bytes, whatever either side does.

mod answers;
mod expect;
mod facts;
mod forwarding;
mod grammar;
mod names;
mod release;
mod staging;
#[cfg(test)]
mod tests;
mod words;

use std::collections::VecDeque;

use bytes::BytesMut;
use daypass_access::id::ResourceId;
use daypass_access::pipeline::{Decision, DisclosePermit, Entitlement, Gating};
use daypass_access::time::Micros;
use daypass_ledger::receipt::Covered;

pub use facts::{
    Ending, Form, Grammar, Held, Holding, Intent, Outcome, Params, Recorder, Refusal, Statement, Unrecorded,
};
pub use release::Outlet;

use self::expect::Expect;
use self::names::Names;
use self::staging::{HeldItem, Staged};
use crate::classify::Dialect;
use crate::error::{Report, SqlState};
use crate::violation::Violation;
use crate::write::Transaction;

/// Longest message of a client that is kept whole, in bytes. A longer one is recorded by its beginning, its length and
/// its hash, and streams through.
pub const KEEP_LEN_MAX: usize = (1 << 20) + (64 << 10);
/// Most bytes that may wait for their records before more is read from the client.
const STAGED_LEN_MAX: usize = 256 << 10;
/// Most messages that may wait for their records.
const STAGED_MAX: usize = 1_024;
/// Most messages that may be on their way to an answer. The target answers without being asked long before.
const EXPECTED_MAX: usize = 4_096;
/// Most bytes of the target that wait to be shown.
const TARGET_IN_MAX: usize = 128 << 10;
/// From here on nothing more is put into a way out.
const OUT_LEN_MAX: usize = 128 << 10;
/// Most memory a session takes in buffers and names, in bytes; the worst case of all limits above together.
pub const SESSION_LEN_MAX: usize = 2 * (KEEP_LEN_MAX + STAGED_LEN_MAX)
    + 2 * (OUT_LEN_MAX + TARGET_IN_MAX)
    + 2 * (names::TEXT_LEN_MAX + KEEP_LEN_MAX);

/// What one turn of the machine may know and use.
#[expect(
    missing_debug_implementations,
    reason = "holds trait objects of the caller, for the length of a call"
)]
pub struct Turn<'a> {
    /// The time.
    pub now: Micros,
    /// How far the log is durable.
    pub covered: Covered,
    /// What the person may do, as of now.
    pub entitlement: &'a Entitlement,
    /// Reads statements.
    pub grammar: &'a mut dyn Grammar,
    /// Takes records.
    pub recorder: &'a mut dyn Recorder,
}

/// Why a session cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client broke the protocol.
    Client(Violation),
    /// The target broke the protocol.
    Target(Violation),
    /// The log cannot take records.
    Unrecorded,
}

impl From<Unrecorded> for Stop {
    fn from(_: Unrecorded) -> Self {
        Self::Unrecorded
    }
}

/// Counts for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Actions recorded as intents.
    pub actions: u64,
    /// Actions refused.
    pub denied: u64,
    /// Bytes of results that were let through to the person.
    pub shown_len: u64,
}

/// One session between a person and a target, after both logins.
#[derive(Debug)]
pub struct Session {
    resource: ResourceId,
    gating: Gating,
    client_in: BytesMut,
    target_in: BytesMut,
    outlet: Outlet,
    /// Messages read and decided, in order, whose bytes are the first `staged_len` of `client_in`.
    staged: VecDeque<Staged>,
    staged_len: usize,
    /// The action that waits for a release: the last of `staged`.
    held: Option<HeldItem>,
    held_news: bool,
    /// Messages forwarded whose answers are to come, in order.
    expected: VecDeque<Expect>,
    statements: Names,
    portals: Names,
    /// The rest of a long message on its way to the target, under the permit of the last of `expected`.
    passing: Option<forwarding::Passing>,
    /// The rest of a long message on its way to the person, in bytes.
    through_len: usize,
    /// The type byte of that message.
    through_tag: u8,
    /// Where it goes.
    through_way: answers::Way,
    /// It is an error, which ends the first of the expected answers at its last byte.
    through_error: Option<SqlState>,
    /// What was last recorded as skipped.
    skipped_number: u64,
    /// The target skips everything up to the next Sync.
    skipping: bool,
    /// The target reads COPY data.
    copying_in: bool,
    /// The client said goodbye; nothing after it counts.
    terminated: bool,
    /// The target announced that it ends the session.
    target_ended: bool,
    client_gone: bool,
    transaction: Transaction,
    /// How the target reads texts.
    dialect: Dialect,
    /// The permit of the last action that ended: what the target says beside actions belongs to it.
    settled: Option<DisclosePermit>,
    /// Number of the last action.
    number: u64,
    /// Number of the last message.
    seq: u64,
    /// Number of the batch being staged.
    batch: u64,
    counts: Counts,
}

impl Session {
    /// A session on `resource`, both sides logged in and the target ready for the first command, reading texts as
    /// `dialect` says.
    #[must_use]
    pub fn new(resource: ResourceId, gating: Gating, dialect: Dialect) -> Self {
        Self {
            resource,
            gating,
            client_in: BytesMut::new(),
            target_in: BytesMut::new(),
            outlet: Outlet::default(),
            staged: VecDeque::new(),
            staged_len: 0,
            held: None,
            held_news: false,
            expected: VecDeque::new(),
            statements: Names::default(),
            portals: Names::default(),
            passing: None,
            through_len: 0,
            through_tag: 0,
            through_way: answers::Way::Action,
            through_error: None,
            skipped_number: 0,
            skipping: false,
            copying_in: false,
            terminated: false,
            target_ended: false,
            client_gone: false,
            transaction: Transaction::Idle,
            dialect,
            settled: None,
            number: 0,
            seq: 0,
            batch: 0,
            counts: Counts::default(),
        }
    }

    /// Where bytes of the client go, to be read into while [`Self::wants_client`].
    pub fn client_in(&mut self) -> &mut BytesMut {
        &mut self.client_in
    }

    /// Where bytes of the target go, to be read into while [`Self::wants_target`].
    pub fn target_in(&mut self) -> &mut BytesMut {
        &mut self.target_in
    }

    /// The ways out.
    pub fn outlet(&mut self) -> &mut Outlet {
        &mut self.outlet
    }

    /// Whether more may be read from the client.
    #[must_use]
    pub fn wants_client(&self) -> bool {
        let unread_len = self.client_in.len().saturating_sub(self.staged_len);
        !self.terminated
            && self.staged_len < STAGED_LEN_MAX
            && self.staged.len() < STAGED_MAX
            && unread_len < KEEP_LEN_MAX
            && (self.passing.is_none() || self.client_in.len() < STAGED_LEN_MAX)
    }

    /// Whether more may be read from the target.
    #[must_use]
    pub fn wants_target(&self) -> bool {
        self.target_in.len() < TARGET_IN_MAX
    }

    /// Lets everything go on that can.
    ///
    /// # Errors
    /// [`Stop`]: the session must be ended with [`Self::end`].
    pub fn turn(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        if self.client_gone {
            return self.answer(turn);
        }
        self.stage(turn)?;
        self.forward(turn)?;
        let waiting = self.expected.len();
        self.answer(turn)?;
        if self.expected.len() < waiting && !self.staged.is_empty() {
            self.forward(turn)?;
        }
        Ok(())
    }

    /// The position in the log that something waits for, when something does: turn again once it is covered.
    #[must_use]
    pub fn waits_for(&self) -> Option<u64> {
        let act = self.staged.front().and_then(Staged::waits_for);
        let disclose =
            if self.target_in.is_empty() { None } else { self.expected.front().and_then(Expect::waits_for) };
        match (act, disclose) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// An action that has just been held, once.
    pub fn held_news(&mut self) -> Option<Held> {
        if !std::mem::take(&mut self.held_news) {
            return None;
        }
        self.held.as_ref().map(HeldItem::facts)
    }

    /// The number of the action that is held now.
    #[must_use]
    pub fn held(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.number)
    }

    /// Lets the held action go on, if it would still be allowed; it is decided again.
    ///
    /// # Errors
    /// [`Stop::Unrecorded`].
    pub fn release(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let HeldItem { hold, action, number, form, ref statement, .. } = held;
        match hold.released(turn.entitlement, action, turn.now, self.gating) {
            Decision::Allow(allow) => {
                let intent = Intent {
                    at: turn.now,
                    number,
                    form: Form::Released,
                    statement,
                    action,
                    params: Params::None,
                    allow: &allow,
                };
                let index = turn.recorder.intent(&intent)?;
                self.counts.actions += 1;
                if let Some(item) = self.staged.back_mut() {
                    if let Some(portal) = item.held_portal() {
                        self.portals.recorded(portal, item.seq, index);
                    }
                    item.may_go_on(allow.recorded(index), index);
                }
            }
            Decision::Deny(denied) => {
                let params = Params::None;
                let at = turn.now;
                turn.recorder.refusal(&Refusal {
                    at,
                    number,
                    form,
                    statement,
                    action,
                    params,
                    denied: &denied,
                })?;
                self.counts.denied += 1;
                let words = words::denied(&denied, &self.resource);
                self.give_up(words);
            }
            Decision::Hold(_) => self.give_up(words::not_released("policy changed while it was held")),
        }
        Ok(())
    }

    /// Gives the held action up: it was refused, `why` says by whom, or the person cancelled it (`None`).
    ///
    /// # Errors
    /// [`Stop::Unrecorded`].
    pub fn refuse_held(&mut self, why: Option<&str>, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let Some(held) = self.held.take() else { return Ok(()) };
        turn.recorder.outcome(&held.not_released(turn.now))?;
        self.give_up(why.map_or_else(words::cancelled, words::not_released));
        Ok(())
    }

    fn give_up(&mut self, words: words::Words) {
        self.counts.denied += 1;
        if let Some(item) = self.staged.back_mut() {
            item.is_refused(words);
        }
    }

    /// Whether the target is working on something, or something waits.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.expected.is_empty() || !self.staged.is_empty() || self.transaction == Transaction::Failed
    }

    /// Whether answers of the target are still to come.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.expected.is_empty()
    }

    /// The number of the action the target works on, if it does.
    #[must_use]
    pub fn running(&self) -> Option<u64> {
        self.expected.iter().map(|expect| expect.number).find(|number| *number > 0)
    }

    /// Whether the client said goodbye and everything it asked for was forwarded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.terminated && self.staged.is_empty()
    }

    /// Whether the target said that it ends the session.
    #[must_use]
    pub fn target_ended(&self) -> bool {
        self.target_ended
    }

    /// What state the transaction was in when the target last said so.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        self.transaction
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The client is gone: answers are read for their outcome and shown to nobody; nothing more is forwarded.
    pub fn client_is_gone(&mut self) {
        self.client_gone = true;
        self.terminated = true;
        let unwritten_len = self.outlet.to_person().len();
        self.outlet.wrote_person(unwritten_len);
    }

    /// Tells the person something beside the answers, if that is possible at this point of the stream.
    pub fn say(&mut self, report: &Report<'_>) -> bool {
        let at_boundary = self.through_len == 0 && !self.client_gone;
        if at_boundary {
            self.outlet.say(report);
        }
        at_boundary
    }

    /// Ends the session: the last words to the person, and an outcome for everything that has none.
    ///
    /// # Errors
    /// [`Unrecorded`] when an outcome could not be recorded; the session has ended all the same.
    pub fn end(&mut self, last_words: Option<&Report<'_>>, turn: &mut Turn<'_>) -> Result<(), Unrecorded> {
        if let Some(report) = last_words {
            self.say(report);
        }
        self.terminated = true;
        let mut result = Ok(());
        if let Some(held) = self.held.take() {
            result = turn.recorder.outcome(&held.not_released(turn.now));
        }
        let unforwarded = self.staged.drain(..).filter_map(Staged::into_expect);
        for expect in self.expected.drain(..).chain(unforwarded) {
            if let Some(outcome) = expect.outcome(Ending::Unknown, turn.now, false) {
                result = result.and(turn.recorder.outcome(&outcome));
            }
        }
        self.staged_len = 0;
        self.client_in.clear();
        result
    }
}

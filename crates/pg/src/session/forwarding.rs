//! The second half of the way to the target: forward, in order, what was staged, each when its gate opens.

use bytes::{Buf, BytesMut};
use daypass_access::pipeline::ForwardPermit;

use super::expect::{Expect, Kind};
use super::facts::Ending;
use super::release::Steer;
use super::staging::{Item, Staged};
use super::{EXPECTED_MAX, OUT_LEN_MAX, Session, Stop, Turn};
use crate::frame::HEADER_LEN;
use crate::message::{Front, Named};

/// The rest of a message too long to keep.
#[derive(Debug)]
pub(super) struct Passing {
    left_len: usize,
    /// `None`: the message was refused or has no place to go, and is dropped.
    permit: Option<ForwardPermit>,
    /// Whose data it is: the message at this place of the session.
    seq: u64,
}

impl Session {
    /// Forwards what may go, in order.
    pub(super) fn forward(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let mut client_in = std::mem::take(&mut self.client_in);
        let result = self.forward_from(&mut client_in, turn);
        self.client_in = client_in;
        result
    }

    fn forward_from(&mut self, client_in: &mut BytesMut, turn: &mut Turn<'_>) -> Result<(), Stop> {
        loop {
            self.pass(client_in);
            if self.passing.is_some()
                || self.expected.len() >= EXPECTED_MAX
                || self.outlet.to_target().len() >= OUT_LEN_MAX
            {
                return Ok(());
            }
            let Some(staged) = self.staged.pop_front() else { break };
            let Staged { seq, len, rest_len, item } = staged;
            let message = client_in.get(..len).unwrap_or_default();
            match self.forward_item(message, (seq, rest_len), item, turn)? {
                None => {}
                Some(item) => {
                    self.staged.push_front(Staged { seq, len, rest_len, item });
                    return Ok(());
                }
            }
            client_in.advance(len.min(client_in.len()));
            self.staged_len = self.staged_len.saturating_sub(len);
        }
        // A message may have been waiting for this one to have passed.
        if self.staged_len == 0 && !client_in.is_empty() { self.stage_from(client_in, turn) } else { Ok(()) }
    }

    /// Forwards one message, or gives it back when it has to wait.
    fn forward_item(
        &mut self,
        message: &[u8],
        (seq, rest_len): (u64, usize),
        item: Item,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Item>, Stop> {
        match item {
            Item::Act { gate, waits_for, mut expect } => {
                let permit = match gate.open(turn.covered) {
                    Ok(permit) => permit,
                    Err(gate) => return Ok(Some(Item::Act { gate, waits_for, expect })),
                };
                if self.skipping {
                    self.skipped(&expect, turn)?;
                    self.drop_rest(rest_len);
                    return Ok(None);
                }
                expect.forwarded_at = turn.now;
                self.outlet.act(&permit, message);
                if rest_len > 0 {
                    expect.copies(message);
                    self.passing =
                        Some(Passing { left_len: rest_len, permit: Some(permit), seq: expect.seq });
                } else if expect.copies_in {
                    expect.permit = Some(permit);
                }
                self.expected.push_back(expect);
            }
            Item::Held(expect) => return Ok(Some(Item::Held(expect))),
            Item::Refused(expect) => {
                self.drop_rest(rest_len);
                if !self.skipping {
                    self.outlet.steer(substitute(&expect));
                    self.expected.push_back(expect);
                }
            }
            Item::Steer(kind) => self.steer(kind, seq, message),
            Item::Flush => self.outlet.steer(Steer::Flush),
            Item::CopyData => self.copy_data(message, rest_len),
            Item::CopyEnd { failed } => self.copy_end(seq, message, failed),
            Item::Terminate => self.outlet.steer(Steer::Terminate),
        }
        Ok(None)
    }

    fn steer(&mut self, kind: Kind, seq: u64, message: &[u8]) {
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        let Some(Ok(front)) = message.first().map(|tag| Front::parse(*tag, body)) else { return };
        let mut expect = Expect::new(kind, seq);
        match front {
            Front::Sync => {
                // SECURITY: a target that reads COPY data ignores it; one that has just failed would answer, and whose answer
                // is whose could no longer be told.
                if self.copying_in {
                    return;
                }
                self.outlet.steer(Steer::Sync);
                self.skipping = false;
            }
            Front::Close(named) => {
                if self.skipping {
                    return;
                }
                let (Named::Statement(name) | Named::Portal(name)) = named;
                expect.name = name.to_vec();
                self.outlet.steer(Steer::Close(named));
            }
            Front::Query(_)
            | Front::Parse(_)
            | Front::Bind(_)
            | Front::Execute { .. }
            | Front::Describe(_) => return,
            Front::CopyData(_) | Front::CopyDone | Front::CopyFail(_) | Front::FunctionCall(_) => return,
            Front::Flush | Front::Terminate | Front::Password(_) => return,
        }
        self.expected.push_back(expect);
    }

    fn copy_data(&mut self, message: &[u8], rest_len: usize) {
        let taker = self.expected.iter_mut().rev().find(|expect| expect.permit.is_some());
        let Some(expect) = taker else { return self.drop_rest(rest_len) };
        expect.copies(message.get(HEADER_LEN..).unwrap_or_default());
        let seq = expect.seq;
        if let Some(permit) = &expect.permit {
            self.outlet.act(permit, message);
        }
        if rest_len > 0 {
            let permit = expect.permit.take();
            self.passing = Some(Passing { left_len: rest_len, permit, seq });
        }
    }

    fn copy_end(&mut self, seq: u64, message: &[u8], failed: bool) {
        let taker = self.expected.iter().rev().find_map(|expect| expect.permit.as_ref());
        let Some(permit) = taker else { return };
        if failed {
            self.outlet.steer(Steer::CopyFail);
        } else {
            self.outlet.act(permit, message);
        }
        if self.copying_in {
            self.copying_in = false;
        } else {
            self.expected.push_back(Expect::new(Kind::CopyEnd, seq));
        }
    }

    /// Lets the rest of a long message through.
    fn pass(&mut self, client_in: &mut BytesMut) {
        let Some(passing) = &mut self.passing else { return };
        let room_len = OUT_LEN_MAX.saturating_sub(self.outlet.to_target().len());
        let len = passing.left_len.min(client_in.len()).min(room_len);
        let chunk = client_in.split_to(len);
        passing.left_len -= len;
        let taker = self.expected.iter_mut().rev().find(|expect| expect.seq == passing.seq);
        if let Some(permit) = &passing.permit {
            self.outlet.act(permit, &chunk);
        }
        let Some(expect) = taker else {
            if passing.left_len == 0 {
                self.passing = None;
            }
            return;
        };
        expect.copies(&chunk);
        if passing.left_len == 0
            && let Some(Passing { permit, .. }) = self.passing.take()
            && expect.copies_in
        {
            expect.permit = permit;
        }
    }

    fn drop_rest(&mut self, rest_len: usize) {
        if rest_len > 0 {
            self.passing = Some(Passing { left_len: rest_len, permit: None, seq: 0 });
        }
    }

    /// A message was skipped by the target, or would be: it has no answer.
    pub(super) fn skipped(&mut self, expect: &Expect, turn: &mut Turn<'_>) -> Result<(), Stop> {
        if expect.kind == Kind::Parse {
            self.statements.skip(&expect.name, expect.seq);
        } else if expect.kind == Kind::Bind {
            self.portals.skip(&expect.name, expect.seq);
        }
        // A Bind that was skipped ends its action; the Execute behind it would say so a second time.
        if expect.number != 0
            && expect.number != std::mem::replace(&mut self.skipped_number, expect.number)
            && let Some(outcome) = expect.outcome(Ending::Skipped, turn.now, false)
        {
            turn.recorder.outcome(&outcome)?;
        }
        Ok(())
    }
}

/// What goes to the target in the place of a refused message.
fn substitute(expect: &Expect) -> Steer<'_> {
    match expect.kind {
        Kind::Parse => Steer::FailParse(&expect.name),
        Kind::Bind => Steer::FailBind,
        Kind::DescribeStatement | Kind::DescribePortal => Steer::FailDescribe,
        Kind::Execute => Steer::FailExecute,
        Kind::FunctionCall => Steer::FailCall,
        Kind::Query | Kind::CloseStatement | Kind::ClosePortal | Kind::Sync | Kind::CopyEnd => {
            Steer::FailQuery
        }
    }
}

//! From the target to the person: whose answer is it, may it be shown yet, how did the action end.
//!
//! Answers come in the order of the messages. Nothing is shown before its own action's record is durable, and nothing
//! overtakes. Rows are not decoded: their length is looked at, and a run of them is copied at once.

use bytes::{Buf, BytesMut};

use super::expect::{Expect, Kind, Show};
use super::facts::Ending;
use super::release::Status;
use super::{OUT_LEN_MAX, Session, Stop, Turn};
use crate::error::{SqlState, Told};
use crate::frame::{self, HEADER_LEN, Header, Side};
use crate::message::{Back, Tag};
use crate::violation::Violation;
use crate::write::Transaction;

/// Messages longer than this are not waited for but streamed, in bytes. All that are decoded whole are shorter.
const WHOLE_LEN_MAX: usize = 64 << 10;

/// So much of a long error is waited for, in bytes: it begins with its severity and SQLSTATE.
const BEGINNING_LEN: usize = 1 << 10;

/// Where the rest of a long message goes. Decided at its beginning: what comes to be expected later is not its action.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// It belongs to the first of the expected answers.
    Action,
    /// It belongs to none of them.
    Beside,
    /// It was answered by words of ours.
    Nowhere,
}

/// Whether to go on with the next message.
#[derive(PartialEq, Eq)]
enum Next {
    Message,
    Wait,
}

impl Session {
    /// Shows whatever of the target's answers is there and may be shown.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let mut target_in = std::mem::take(&mut self.target_in);
        let mut result = Ok(Next::Message);
        while matches!(result, Ok(Next::Message)) {
            result = self.answer_one(&mut target_in, turn);
        }
        self.target_in = target_in;
        if self.client_gone {
            let len = self.outlet.to_person().len();
            self.outlet.wrote_person(len);
        }
        result.map(|_| ())
    }

    fn answer_one(&mut self, input: &mut BytesMut, turn: &mut Turn<'_>) -> Result<Next, Stop> {
        if self.outlet.to_person().len() >= OUT_LEN_MAX && !self.client_gone {
            return Ok(Next::Wait);
        }
        while self.expected.front().is_some_and(|head| head.kind == Kind::CopyEnd) {
            self.expected.pop_front();
        }
        if self.through_len > 0 {
            return self.show_through(input, turn);
        }
        let Some(header) = frame::header(Side::Back, input).map_err(Stop::Target)? else {
            return Ok(Next::Wait);
        };
        if let Some(head) = self.expected.front_mut()
            && !head.open(turn.covered)
        {
            return Ok(Next::Wait);
        }
        if matches!(header.tag, b'D' | b'd') && self.show_run(input)? {
            return Ok(Next::Message);
        }
        if header.frame_len > input.len() {
            if header.frame_len <= WHOLE_LEN_MAX {
                return Ok(Next::Wait);
            }
            return self.begin_long(header, input);
        }
        self.whole(header, input, turn)?;
        input.advance(header.frame_len.min(input.len()));
        Ok(Next::Message)
    }

    /// Shows the whole rows or COPY data at the start of the input at once; `false` when there is not one.
    fn show_run(&mut self, input: &mut BytesMut) -> Result<bool, Stop> {
        let Some(head) = self.expected.front_mut() else { return Ok(false) };
        let mut run_len = 0;
        loop {
            let rest = input.get(run_len..).unwrap_or_default();
            let Some(header) = frame::header(Side::Back, rest).map_err(Stop::Target)? else { break };
            let Some(message) = rest.get(..header.frame_len) else { break };
            match header.tag {
                b'D' => head.rows += 1,
                b'd' => head.copies(message.get(HEADER_LEN..).unwrap_or_default()),
                _ => break,
            }
            run_len += header.frame_len;
        }
        if run_len == 0 {
            return Ok(false);
        }
        self.show(input.get(..run_len).unwrap_or_default(), b'D')?;
        input.advance(run_len);
        Ok(true)
    }

    /// Shows the beginning of a message that is not all there, and lets the rest through as it comes.
    fn begin_long(&mut self, header: Header, input: &mut BytesMut) -> Result<Next, Stop> {
        if header.tag == b'E' && input.len() < BEGINNING_LEN {
            return Ok(Next::Wait);
        }
        if let Some(head) = self.expected.front_mut() {
            match header.tag {
                b'D' => head.rows += 1,
                b'd' => head.copies(input.get(HEADER_LEN..).unwrap_or_default()),
                _ => {}
            }
        }
        self.through_tag = header.tag;
        self.through_len = header.frame_len.saturating_sub(input.len());
        self.through_way = match self.expected.front() {
            Some(Expect { show: Show::Open(_), .. }) => Way::Action,
            Some(_) | None => Way::Beside,
        };
        let ours = header.tag == b'E' && self.long_error(input.get(HEADER_LEN..).unwrap_or_default());
        if ours {
            self.through_way = Way::Nowhere;
        } else {
            self.show(input, header.tag)?;
        }
        input.clear();
        Ok(Next::Wait)
    }

    /// Reads the beginning of an error too long to wait for; whether it answers what we put in the place of a refused message,
    /// so that our own words were said instead.
    fn long_error(&mut self, body: &[u8]) -> bool {
        let (severity, code) = Told::beginning(body);
        self.target_ended |= matches!(severity, b"FATAL" | b"PANIC");
        let Some(head) = self.expected.front_mut() else {
            self.copying_in = false;
            return false;
        };
        self.through_error = Some(code);
        let words = if self.target_ended { None } else { head.refused.take() };
        if let Some(words) = &words {
            self.outlet.say(&words.report());
        }
        words.is_some()
    }

    fn show_through(&mut self, input: &mut BytesMut, turn: &mut Turn<'_>) -> Result<Next, Stop> {
        let len = self.through_len.min(input.len());
        if len == 0 {
            return Ok(Next::Wait);
        }
        let chunk = input.get(..len).unwrap_or_default();
        match self.through_way {
            Way::Action => {
                if let (Some(head), b'd') = (self.expected.front_mut(), self.through_tag) {
                    head.copies(chunk);
                }
                self.show(chunk, self.through_tag)?;
            }
            Way::Beside => self.show_beside(chunk, self.through_tag)?,
            Way::Nowhere => {}
        }
        self.through_len -= len;
        input.advance(len);
        let describes = self.expected.front().is_some_and(|head| head.kind.describes());
        if self.through_len == 0 && self.through_tag == b'T' && describes {
            self.finish(Ending::Done, turn)?;
        }
        if self.through_len == 0
            && let Some(code) = self.through_error.take()
        {
            self.fails(code, turn)?;
        }
        Ok(Next::Message)
    }

    /// Shows bytes that belong to the first of the expected answers, or carry no result.
    fn show(&mut self, bytes: &[u8], tag: u8) -> Result<(), Stop> {
        match self.expected.front_mut() {
            Some(Expect { show: Show::Open(permit), len: shown_len, .. }) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                *shown_len = shown_len.saturating_add(len);
                self.counts.shown_len = self.counts.shown_len.saturating_add(len);
                self.outlet.disclose(permit, bytes);
                Ok(())
            }
            Some(Expect { show: Show::Waits(..), .. }) => {
                Err(Stop::Target(Violation::Unexpected { tag, during: "session" }))
            }
            Some(Expect { show: Show::Nothing, .. }) | None => self.show_beside(bytes, tag),
        }
    }

    /// Shows bytes that belong to none of the expected answers.
    fn show_beside(&mut self, bytes: &[u8], tag: u8) -> Result<(), Stop> {
        let unexpected = || Stop::Target(Violation::Unexpected { tag, during: "session" });
        match (Status::of(tag), &self.settled) {
            (Some(status), _) => self.outlet.tell(status, bytes),
            // What an ended action still has to say (a deferred constraint, a notice) is part of its result.
            (None, Some(permit)) if matches!(tag, b'E' | b'N' | b'A') => {
                self.outlet.disclose(permit, bytes);
            }
            (None, None) => {
                self.outlet.tell(Status::before_any_action(tag).ok_or_else(unexpected)?, bytes);
            }
            (None, Some(_)) => return Err(unexpected()),
        }
        Ok(())
    }

    /// One whole message that is not a row.
    fn whole(&mut self, header: Header, input: &BytesMut, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let message = input.get(..header.frame_len).unwrap_or_default();
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        if header.tag == b'E' {
            return self.error(message, body, turn);
        }
        if header.tag == b'S'
            && let Ok(Back::ParameterStatus { name, value }) = Back::parse(b'S', body)
        {
            self.dialect.announced(name, value);
        }
        self.show(message, header.tag)?;
        let Some(head) = self.expected.front_mut() else {
            if header.tag == b'Z' {
                self.skipping = false;
            }
            return Ok(());
        };
        match (header.tag, head.kind) {
            (b'C', Kind::Query | Kind::Execute) => {
                let tag = Tag(body.strip_suffix(b"\0").unwrap_or(body));
                head.tag.clear();
                head.tag.extend_from_slice(tag.0.get(..64).unwrap_or(tag.0));
                head.tag_rows = match (head.tag_rows, tag.rows()) {
                    (Some(sum), Some(rows)) => Some(sum.saturating_add(rows)),
                    (one, other) => one.or(other),
                };
                self.copying_in = false;
                if head.kind == Kind::Execute {
                    self.finish(Ending::Done, turn)?;
                }
            }
            (b'I', Kind::Execute) => self.finish(Ending::Done, turn)?,
            (b's', Kind::Execute) => self.finish(Ending::Suspended, turn)?,
            (b'G', Kind::Query | Kind::Execute) => self.copy_begins(),
            (b'1', Kind::Parse) | (b'2', Kind::Bind) | (b'3', Kind::CloseStatement | Kind::ClosePortal) => {
                self.finish(Ending::Done, turn)?;
            }
            (b'T' | b'n', Kind::DescribeStatement | Kind::DescribePortal) => {
                self.finish(Ending::Done, turn)?
            }
            (b'Z', Kind::Query | Kind::FunctionCall | Kind::Sync) => self.ready(body, turn)?,
            (b'Z', _) => {
                return Err(Stop::Target(Violation::Unexpected { tag: b'Z', during: "session" }));
            }
            _ => {}
        }
        Ok(())
    }

    fn ready(&mut self, body: &[u8], turn: &mut Turn<'_>) -> Result<(), Stop> {
        let state = body.first().and_then(|code| Transaction::from_code(*code));
        self.transaction = state.ok_or(Stop::Target(Violation::Body { tag: b'Z' }))?;
        let Some(head) = self.expected.front() else { return Ok(()) };
        let ending = head.failed.map_or(Ending::Done, Ending::Failed);
        if self.transaction == Transaction::Idle {
            let seq = head.seq;
            self.portals.clear_before(seq);
        }
        self.finish(ending, turn)
    }

    /// The target asks for COPY data. Syncs sent before the end of the data are data to it, and not answered.
    fn copy_begins(&mut self) {
        let end = self.expected.iter().skip(1).position(|expect| expect.kind == Kind::CopyEnd);
        let mut place = 0;
        let until = end.map_or(usize::MAX, |end| end + 1);
        self.expected.retain(|expect| {
            let at = place;
            place += 1;
            let swallowed = at > 0 && at <= until && matches!(expect.kind, Kind::Sync | Kind::CopyEnd);
            !swallowed
        });
        self.copying_in = end.is_none();
    }

    /// The first of the expected answers is complete.
    fn finish(&mut self, ending: Ending, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let Some(mut head) = self.expected.pop_front() else { return Ok(()) };
        if let Show::Open(permit) = std::mem::replace(&mut head.show, Show::Nothing) {
            self.settled = Some(permit);
        }
        match (head.kind, ending) {
            (Kind::Parse, Ending::Done) => self.statements.confirm(&head.name, head.seq),
            (Kind::Parse, _) => self.statements.fail(&head.name, head.seq),
            (Kind::Bind, Ending::Done) => self.portals.confirm(&head.name, head.seq),
            (Kind::Bind, _) => self.portals.fail(&head.name, head.seq),
            (Kind::CloseStatement, Ending::Done) => self.statements.close(&head.name, head.seq),
            (Kind::ClosePortal, Ending::Done) => self.portals.close(&head.name, head.seq),
            (Kind::Query | Kind::Execute, Ending::Done) if head.forgets => {
                self.statements.clear_before(head.seq)
            }
            _ => {}
        }
        if let Some(outcome) = head.outcome(ending, turn.now, !self.client_gone) {
            turn.recorder.outcome(&outcome)?;
        }
        Ok(())
    }

    /// The target failed something: the first of the expected answers, or the session as a whole.
    fn error(&mut self, message: &[u8], body: &[u8], turn: &mut Turn<'_>) -> Result<(), Stop> {
        let told = Told::parse(b'E', body).map_err(Stop::Target)?;
        self.target_ended |= matches!(told.severity, b"FATAL" | b"PANIC");
        match self.expected.front_mut() {
            Some(head) if head.refused.is_some() && !self.target_ended => {
                if let Some(words) = head.refused.take() {
                    self.outlet.say(&words.report());
                }
            }
            _ => self.show(message, b'E')?,
        }
        self.fails(told.code, turn)
    }

    /// The error was said: the first of the expected answers has failed.
    fn fails(&mut self, code: SqlState, turn: &mut Turn<'_>) -> Result<(), Stop> {
        self.copying_in = false;
        let Some(head) = self.expected.front_mut() else { return Ok(()) };
        head.failed = Some(code);
        if head.kind.is_extended() {
            self.finish(Ending::Failed(code), turn)?;
            self.skip_batch(turn)?;
        }
        Ok(())
    }

    /// After an error in a batch the target skips everything up to the next Sync.
    fn skip_batch(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        self.skipping = true;
        while let Some(head) = self.expected.front() {
            if head.kind == Kind::Sync {
                self.skipping = false;
                return Ok(());
            }
            if let Some(head) = self.expected.pop_front() {
                self.skipped(&head, turn)?;
            }
        }
        Ok(())
    }
}

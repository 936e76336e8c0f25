//! The first half of the way to the target: read a message, decide, record. `forwarding` is the second.
//!
//! Messages are decided and recorded as soon as they are read, several ahead, so that a pipeline shares one sync; they are
//! forwarded strictly in order, each when its own gate opens.

use std::sync::Arc;

use bytes::BytesMut;
use daypass_access::action::{Action, Class, ClassSet, RiskSet};
use daypass_access::pipeline::{ActGate, Decision, Hold, Recorded, decide};
use daypass_access::time::Micros;

use super::expect::{Expect, Kind, Show};
use super::facts::{Ending, Form, Held, Holding, Intent, Outcome, Params, Refusal, Statement};
use super::names::Meaning;
use super::release::NO_NAME;
use super::words::{self, Words};
use super::{KEEP_LEN_MAX, STAGED_LEN_MAX, STAGED_MAX, Session, Stop, Turn};
use crate::frame::{self, HEADER_LEN, Header, Side};
use crate::message::{Front, FunctionCall, Named, Parse};
use crate::violation::Violation;

/// How much of a message too long to keep is looked at and recorded, in bytes.
const BEGINNING_LEN: usize = 64 << 10;

/// A message that was read, and decided if it needs a decision.
#[derive(Debug)]
pub(super) struct Staged {
    /// Place of the message in the session.
    pub(super) seq: u64,
    /// How many bytes of the client's stream it takes, as far as they were waited for.
    pub(super) len: usize,
    /// How many more bytes of it stream behind.
    pub(super) rest_len: usize,
    pub(super) item: Item,
}

/// What a message turned out to be.
#[derive(Debug)]
pub(super) enum Item {
    /// An action with its gate.
    Act {
        gate: ActGate,
        waits_for: Option<u64>,
        expect: Expect,
    },
    /// An action that waits for a release.
    Held(Expect),
    /// An action that was refused.
    Refused(Expect),
    /// A message that does nothing to data; decoded again when it is forwarded.
    Steer(Kind),
    Flush,
    CopyData,
    CopyEnd {
        failed: bool,
    },
    Terminate,
}

/// The action that is held, until it is released or given up.
#[derive(Debug)]
pub(super) struct HeldItem {
    pub(super) hold: Hold,
    pub(super) action: Action,
    pub(super) number: u64,
    pub(super) form: Form,
    pub(super) statement: Arc<Statement>,
}

impl HeldItem {
    pub(super) fn facts(&self) -> Held {
        Held {
            number: self.number,
            risks: self.hold.risks,
            statement: Arc::clone(&self.statement),
            grant: self.hold.grant().clone(),
            rule: self.hold.rule().clone(),
        }
    }

    pub(super) fn not_released(&self, at: Micros) -> Outcome<'static> {
        Outcome {
            at,
            number: self.number,
            intent: None,
            ending: Ending::NotReleased,
            tag: b"",
            rows: 0,
            bytes: 0,
            copy_bytes: 0,
            copy_sha256: None,
            duration_us: 0,
            shown: false,
        }
    }
}

impl Staged {
    pub(super) fn waits_for(&self) -> Option<u64> {
        match &self.item {
            Item::Act { waits_for, .. } => *waits_for,
            Item::Held(_) | Item::Refused(_) | Item::Steer(_) | Item::Flush => None,
            Item::CopyData | Item::CopyEnd { .. } | Item::Terminate => None,
        }
    }

    /// The portal a held item gives a name to, if it does.
    pub(super) fn held_portal(&self) -> Option<&[u8]> {
        match &self.item {
            Item::Held(Expect { kind: Kind::Bind, name, .. }) => Some(name),
            Item::Held(_) | Item::Act { .. } | Item::Refused(_) | Item::Steer(_) | Item::Flush => None,
            Item::CopyData | Item::CopyEnd { .. } | Item::Terminate => None,
        }
    }

    /// A held item was released and recorded at `index`.
    pub(super) fn may_go_on(&mut self, recorded: Recorded, index: u64) {
        if let Item::Held(expect) = &mut self.item {
            let mut expect = std::mem::replace(expect, Expect::new(Kind::Sync, 0));
            let (gate, show) = recorded.gates();
            expect.show = Show::Waits(show, index);
            expect.intent = Some(index);
            self.item = Item::Act { gate, waits_for: Some(index), expect };
        }
    }

    /// A held item was given up.
    pub(super) fn is_refused(&mut self, words: Words) {
        if let Item::Held(expect) = &mut self.item {
            let mut expect = std::mem::replace(expect, Expect::new(Kind::Sync, 0));
            expect.refused = Some(Box::new(words));
            expect.number = 0;
            self.item = Item::Refused(expect);
        }
    }

    pub(super) fn into_expect(self) -> Option<Expect> {
        match self.item {
            Item::Act { expect, .. } => Some(expect),
            Item::Held(_) | Item::Refused(_) | Item::Steer(_) | Item::Flush => None,
            Item::CopyData | Item::CopyEnd { .. } | Item::Terminate => None,
        }
    }
}

/// A message to be decided.
struct Asked<'a> {
    kind: Kind,
    form: Form,
    statement: Arc<Statement>,
    action: Action,
    params: Params<'a>,
    /// The number and intent of the action it belongs to, when that is recorded already.
    of: Option<(u64, u64)>,
    name: &'a [u8],
}

/// What preparing, binding or describing needs: what the statement needs, but nothing of it is run, so nothing is risked.
fn unrun(action: Action) -> Action {
    Action { risks: RiskSet::EMPTY, ..action }
}

impl Session {
    /// Reads, decides and records whatever is there and may be staged.
    pub(super) fn stage(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        let client_in = std::mem::take(&mut self.client_in);
        let result = self.stage_from(&client_in, turn);
        self.client_in = client_in;
        result
    }

    pub(super) fn stage_from(&mut self, client_in: &BytesMut, turn: &mut Turn<'_>) -> Result<(), Stop> {
        while self.held.is_none()
            && !self.terminated
            && self.passing.is_none()
            && self.staged_len < STAGED_LEN_MAX
            && self.staged.len() < STAGED_MAX
            && self.staged.back().is_none_or(|last| last.rest_len == 0)
        {
            let unread = client_in.get(self.staged_len..).unwrap_or_default();
            let Some(header) = frame::header(Side::Front, unread).map_err(Stop::Client)? else { break };
            let kept_len = if header.frame_len > KEEP_LEN_MAX { BEGINNING_LEN } else { header.frame_len };
            let Some(message) = unread.get(..kept_len) else { break };
            let item = self.item(header, message, turn)?;
            self.staged_len = self.staged_len.saturating_add(kept_len);
            let rest_len = header.frame_len.saturating_sub(kept_len);
            self.staged.push_back(Staged { seq: self.seq, len: kept_len, rest_len, item });
        }
        Ok(())
    }

    fn item(&mut self, header: Header, message: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        self.seq += 1;
        if header.tag == b'd' {
            return Ok(Item::CopyData);
        }
        if header.frame_len > message.len() {
            return self.long(header, body, turn);
        }
        match Front::parse(header.tag, body).map_err(Stop::Client)? {
            Front::Query(text) => self.query(text, turn),
            Front::Parse(parse) => self.parse(parse, turn),
            Front::Bind(bind) => self.bind(bind.portal, bind.statement, Params::Bind(bind), turn),
            Front::Describe(Named::Statement(name)) => self.describe(Kind::DescribeStatement, name, turn),
            Front::Describe(Named::Portal(name)) => self.describe(Kind::DescribePortal, name, turn),
            Front::Execute { portal, .. } => self.execute(portal, turn),
            Front::FunctionCall(call) => self.function_call(call, turn),
            Front::Close(Named::Statement(_)) => Ok(Item::Steer(Kind::CloseStatement)),
            Front::Close(Named::Portal(_)) => Ok(Item::Steer(Kind::ClosePortal)),
            Front::Sync => {
                self.batch += 1;
                Ok(Item::Steer(Kind::Sync))
            }
            Front::Flush => Ok(Item::Flush),
            Front::CopyData(_) => Ok(Item::CopyData),
            Front::CopyDone => Ok(Item::CopyEnd { failed: false }),
            Front::CopyFail(_) => Ok(Item::CopyEnd { failed: true }),
            Front::Terminate => {
                self.terminated = true;
                Ok(Item::Terminate)
            }
            Front::Password(_) => Err(Stop::Client(Violation::Unexpected { tag: b'p', during: "session" })),
        }
    }

    /// A message too long to keep: judged by its beginning.
    fn long(&mut self, header: Header, beginning: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let body_len = u64::try_from(header.body_len()).unwrap_or(u64::MAX);
        let mut parts = beginning.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        match header.tag {
            b'Q' => self.long_text(Kind::Query, b"", first, body_len, turn),
            b'P' => {
                let text = beginning.get(first.len().saturating_add(1)..).unwrap_or_default();
                self.long_text(Kind::Parse, first, text, body_len, turn)
            }
            b'B' => {
                let statement = parts.next().unwrap_or_default();
                self.bind(first, statement, Params::Beginning(beginning, body_len), turn)
            }
            tag => Err(Stop::Client(Violation::FrameLength {
                tag,
                stated: u32::try_from(body_len).unwrap_or(u32::MAX),
            })),
        }
    }

    fn long_text(
        &mut self,
        kind: Kind,
        name: &[u8],
        text: &[u8],
        text_len: u64,
        turn: &mut Turn<'_>,
    ) -> Result<Item, Stop> {
        if !name.is_ascii() {
            return Ok(self.absent(kind, words::odd_name()));
        }
        // SECURITY: what was not read whole was not understood.
        let action =
            Action { classes: ClassSet::EMPTY.with(Class::Admin), risks: RiskSet::EMPTY, pure_read: false };
        let mut statement = Statement::plain(text.to_vec(), action, "long");
        statement.text_len = text_len;
        let statement = Arc::new(statement);
        let form = if kind == Kind::Parse { Form::Prepare } else { Form::Query };
        self.ask(Asked { kind, form, statement, action, params: Params::None, of: None, name }, turn)
    }

    fn query(&mut self, text: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        self.batch += 1;
        let statement = match self.effective(&turn.grammar.statement(text, self.dialect)) {
            Ok(statement) => statement,
            Err(missing) => return Ok(self.absent(Kind::Query, words::no_such_statement(&missing))),
        };
        let action = statement.action;
        let asked = Asked {
            kind: Kind::Query,
            form: Form::Query,
            statement,
            action,
            params: Params::None,
            of: None,
            name: b"",
        };
        let item = self.ask(asked, turn);
        // SECURITY: a failed query skips nothing behind it, so the names it was to give do not count as given from here on.
        self.batch += 1;
        item
    }

    fn parse(&mut self, parse: Parse<'_>, turn: &mut Turn<'_>) -> Result<Item, Stop> {
        if parse.statement == NO_NAME {
            return Err(Stop::Client(Violation::Body { tag: b'P' }));
        }
        if !parse.statement.is_ascii() {
            return Ok(self.absent(Kind::Parse, words::odd_name()));
        }
        if !self.statements.has_room() {
            return Ok(self.absent(Kind::Parse, words::too_much()));
        }
        let statement = turn.grammar.statement(parse.text, self.dialect);
        let action = unrun(statement.action);
        let (kind, form, name) = (Kind::Parse, Form::Prepare, parse.statement);
        self.ask(Asked { kind, form, statement, action, params: Params::None, of: None, name }, turn)
    }

    fn bind(
        &mut self,
        portal: &[u8],
        name: &[u8],
        params: Params<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Item, Stop> {
        if portal == NO_NAME {
            return Err(Stop::Client(Violation::Body { tag: b'B' }));
        }
        if !portal.is_ascii() {
            return Ok(self.absent(Kind::Bind, words::odd_name()));
        }
        let known = self.statements.resolve(name, self.batch).ok_or_else(|| name.to_vec());
        let statement = match known.and_then(|meaning| self.effective(&meaning.statement)) {
            Ok(statement) => statement,
            Err(missing) => return Ok(self.absent(Kind::Bind, words::no_such_statement(&missing))),
        };
        if !self.portals.has_room() {
            return Ok(self.absent(Kind::Bind, words::too_much()));
        }
        // SECURITY: SQL's own FETCH runs a portal that has a name, and says nothing of what it runs.
        let action = if portal.is_empty() { unrun(statement.action) } else { statement.action };
        let (kind, form) = (Kind::Bind, Form::Execute);
        self.ask(Asked { kind, form, statement, action, params, of: None, name: portal }, turn)
    }

    fn describe(&mut self, kind: Kind, name: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let (names, words) = if kind == Kind::DescribeStatement {
            (&self.statements, words::no_such_statement(name))
        } else {
            (&self.portals, words::no_such_portal(name))
        };
        let Some(meaning) = names.resolve(name, self.batch) else {
            if kind == Kind::DescribePortal && !name.is_empty() {
                return self.describe_cursor(name, turn);
            }
            return Ok(self.absent(kind, words));
        };
        let action = unrun(meaning.statement.action);
        self.ask(of(meaning, kind, action), turn)
    }

    /// A portal that no Bind made may be a cursor that SQL declared: libpq's callers ask for its columns by its name. Only the
    /// target knows, and a description runs nothing.
    fn describe_cursor(&mut self, name: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let text = [b"describe portal ", name].concat();
        let classes = ClassSet::EMPTY.with(Class::Session);
        let action = Action { classes, risks: RiskSet::EMPTY, pure_read: true };
        let statement = Arc::new(Statement::plain(text, action, "describe"));
        let (kind, form, params) = (Kind::DescribePortal, Form::Prepare, Params::None);
        self.ask(Asked { kind, form, statement, action, params, of: None, name }, turn)
    }

    fn execute(&mut self, portal: &[u8], turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let known = self.portals.resolve(portal, self.batch);
        let Some((meaning, statement)) =
            known.and_then(|meaning| self.effective(&meaning.statement).ok().map(|s| (meaning, s)))
        else {
            return Ok(self.absent(Kind::Execute, words::no_such_portal(portal)));
        };
        let action = statement.action;
        self.ask(of(Meaning { statement, ..meaning }, Kind::Execute, action), turn)
    }

    fn function_call(&mut self, call: FunctionCall<'_>, turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let text = format!("function call {}", call.function).into_bytes();
        let action =
            Action { classes: ClassSet::EMPTY.with(Class::Call), risks: RiskSet::EMPTY, pure_read: false };
        let statement = Arc::new(Statement::plain(text, action, "function call"));
        let (kind, form, params) = (Kind::FunctionCall, Form::FunctionCall, Params::Call(call));
        self.ask(Asked { kind, form, statement, action, params, of: None, name: b"" }, turn)
    }

    /// A statement with everything that it runs by name; the first name that stands for nothing here otherwise.
    fn effective(&self, statement: &Arc<Statement>) -> Result<Arc<Statement>, Vec<u8>> {
        if statement.runs.is_empty() {
            return Ok(Arc::clone(statement));
        }
        let mut sum = Statement::clone(statement);
        for name in &statement.runs {
            let own = statement.prepares.iter().filter(|(n, _)| n == name).map(|(_, s)| Arc::clone(s));
            let known = self.statements.resolve(name, self.batch).map(|meaning| meaning.statement);
            let mut any = false;
            for run in own.chain(known) {
                any = true;
                sum = sum.and(&run, b"\n-- runs:\n");
            }
            if !any {
                return Err(name.clone());
            }
        }
        Ok(Arc::new(sum))
    }

    /// THE decision: every action of a session passes here, and is decided again each time it is run.
    fn ask(&mut self, asked: Asked<'_>, turn: &mut Turn<'_>) -> Result<Item, Stop> {
        let Asked { kind, form, statement, action, params, of, name } = asked;
        let number = of.map_or_else(|| self.number.saturating_add(1), |(number, _)| number);
        self.number = self.number.max(number);
        let at = turn.now;
        let mut expect = Expect::new(kind, self.seq);
        expect.number = number;
        expect.name = name.to_vec();
        match decide(turn.entitlement, action, at, self.gating) {
            Decision::Allow(allow) => {
                let index = match of {
                    Some((_, intent)) => intent,
                    None => {
                        let statement = &statement;
                        let intent = Intent { at, number, form, statement, action, params, allow: &allow };
                        self.counts.actions += 1;
                        turn.recorder.intent(&intent)?
                    }
                };
                if !self.note_names(&expect, &statement, index) {
                    return Ok(self.absent(kind, words::too_much()));
                }
                let waits_for = allow.waits_to_act().then_some(index);
                let (gate, show) = allow.recorded(index).gates();
                expect.show = Show::Waits(show, index);
                expect.intent = Some(index);
                expect.copies_in = kind.runs() && action.classes.contains(Class::CopyIn);
                expect.forgets = kind.runs() && statement.forgets;
                Ok(Item::Act { gate, waits_for, expect })
            }
            Decision::Hold(hold) => {
                let statement_ref = &statement;
                let control_size = turn.entitlement.control_size;
                let holding = Holding {
                    at,
                    number,
                    form,
                    statement: statement_ref,
                    action,
                    params,
                    hold: &hold,
                    control_size,
                };
                turn.recorder.holding(&holding)?;
                self.outlet_say(&words::held(hold.risks));
                self.note_names(&expect, &statement, 0);
                expect.copies_in = kind.runs() && action.classes.contains(Class::CopyIn);
                self.held = Some(HeldItem { hold, action, number, form, statement });
                self.held_news = true;
                Ok(Item::Held(expect))
            }
            Decision::Deny(denied) => {
                let refusal =
                    Refusal { at, number, form, statement: &statement, action, params, denied: &denied };
                turn.recorder.refusal(&refusal)?;
                self.counts.denied += 1;
                expect.number = 0;
                expect.refused = Some(Box::new(words::denied(&denied, &self.resource)));
                Ok(Item::Refused(expect))
            }
        }
    }

    fn outlet_say(&mut self, words: &Words) {
        if self.through_len == 0 && !self.client_gone {
            self.outlet.say(&words.report());
        }
    }

    /// Remembers what a name is about to stand for; `false` when there is no room for it.
    fn note_names(&mut self, expect: &Expect, statement: &Arc<Statement>, intent: u64) -> bool {
        let meaning = |statement: &Arc<Statement>| Meaning {
            statement: Arc::clone(statement),
            number: expect.number,
            intent,
            seq: expect.seq,
            batch: self.batch,
            confirmed: false,
        };
        match expect.kind {
            Kind::Parse => self.statements.give(&expect.name, meaning(statement)),
            Kind::Bind => self.portals.give(&expect.name, meaning(statement)),
            Kind::Query | Kind::Execute => {
                for (name, prepared) in &statement.prepares {
                    if !self.statements.has_room() {
                        return false;
                    }
                    self.statements.give(name, meaning(prepared));
                }
            }
            Kind::DescribeStatement | Kind::DescribePortal | Kind::FunctionCall => {}
            Kind::CloseStatement | Kind::ClosePortal | Kind::Sync | Kind::CopyEnd => {}
        }
        true
    }

    /// A message that cannot work, and never reaches the target.
    fn absent(&self, kind: Kind, words: Words) -> Item {
        let mut expect = Expect::new(kind, self.seq);
        expect.refused = Some(Box::new(words));
        Item::Refused(expect)
    }
}

/// A message of an action that is recorded already.
fn of(meaning: Meaning, kind: Kind, action: Action) -> Asked<'static> {
    Asked {
        kind,
        form: Form::Execute,
        statement: meaning.statement,
        action,
        params: Params::None,
        of: Some((meaning.number, meaning.intent)),
        name: b"",
    }
}

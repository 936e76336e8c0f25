//! A toy target, grammar, log and clock around one session.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    clippy::only_used_in_recursion,
    reason = "a toy looks at what it plays with only"
)]

use super::*;

/// First words are classes: `read`, `write`, `risky`, `fail`, `copyin`, `prepare NAME …`, `execute NAME`.
pub(super) struct ToyGrammar;

impl Grammar for ToyGrammar {
    fn statement(&mut self, text: &[u8], dialect: Dialect) -> Arc<Statement> {
        let words = String::from_utf8_lossy(text).into_owned();
        let mut parts = words.splitn(3, ' ');
        let (class, risk) = match parts.next().unwrap_or_default() {
            "read" | "fail" => (Class::Read, None),
            "write" => (Class::Write, None),
            "risky" => (Class::Write, Some(Risk::UpdateWithoutWhere)),
            "copyin" => (Class::CopyIn, None),
            "prepare" | "execute" => (Class::Session, None),
            _ => (Class::Admin, None),
        };
        let action = Action {
            classes: ClassSet::EMPTY.with(class),
            risks: risk.map_or(RiskSet::EMPTY, |risk| RiskSet::EMPTY.with(risk)),
            pure_read: class == Class::Read,
        };
        let mut statement = Statement::plain(text.to_vec(), action, "toy");
        if let (true, Some(name), Some(inner)) = (words.starts_with("prepare"), parts.next(), parts.next()) {
            statement.prepares.push((name.into(), self.statement(inner.as_bytes(), dialect)));
        }
        if let Some(name) = words.strip_prefix("execute ") {
            statement.runs.push(name.into());
        }
        Arc::new(statement)
    }
}

#[derive(Default)]
pub(super) struct ToyLog {
    pub(super) size: u64,
    pub(super) lines: Vec<String>,
}

impl Recorder for ToyLog {
    fn intent(&mut self, intent: &Intent<'_>) -> Result<u64, Unrecorded> {
        let params = match intent.params {
            Params::Bind(bind) if !bind.is_empty() => {
                let all: Vec<_> =
                    bind.params().map(|p| String::from_utf8_lossy(p.value.unwrap_or(b"NULL"))).collect();
                format!(" [{}]", all.join(","))
            }
            _ => String::new(),
        };
        let text = String::from_utf8_lossy(intent.statement.shown());
        self.lines.push(format!("{} intent {} {text}{params}", intent.number, intent.form.name()));
        self.size += 1;
        Ok(self.size - 1)
    }

    fn refusal(&mut self, refusal: &Refusal<'_>) -> Result<(), Unrecorded> {
        let text = String::from_utf8_lossy(refusal.statement.shown());
        self.lines.push(format!("{} denied {text}", refusal.number));
        self.size += 1;
        Ok(())
    }

    fn holding(&mut self, holding: &Holding<'_>) -> Result<(), Unrecorded> {
        self.lines.push(format!("{} held", holding.number));
        self.size += 1;
        Ok(())
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) -> Result<(), Unrecorded> {
        let tag = String::from_utf8_lossy(outcome.tag);
        let copied =
            if outcome.copy_bytes > 0 { format!(" copied {}", outcome.copy_bytes) } else { String::new() };
        self.lines.push(match outcome.ending {
            Ending::Done => format!("{} done {tag} rows {}{copied}", outcome.number, outcome.rows),
            Ending::Suspended => format!("{} suspended {tag} rows {}", outcome.number, outcome.rows),
            Ending::Failed(code) => format!("{} failed {}", outcome.number, code.as_str()),
            Ending::Skipped => format!("{} skipped", outcome.number),
            Ending::Unknown => format!("{} unknown {tag} rows {}", outcome.number, outcome.rows),
            Ending::NotReleased => format!("{} not released", outcome.number),
        });
        self.size += 1;
        Ok(())
    }
}

pub(super) struct World {
    pub(super) session: Session,
    pub(super) log: Vec<String>,
    recorder: ToyLog,
    entitlement: Entitlement,
    covered: Covered,
    now: u64,
    /// What reached the target, one message a line.
    pub(super) at_target: Vec<String>,
    to_target: BytesMut,
    statements: std::collections::HashMap<Vec<u8>, Vec<u8>>,
    portals: std::collections::HashMap<Vec<u8>, Vec<u8>>,
    skipping: bool,
    copying: Option<(bool, usize)>,
    answers: VecDeque<u8>,
    pub(super) target_is_stuck: bool,
    /// Type bytes of what the person saw.
    pub(super) shown: Vec<u8>,
    pub(super) errors: Vec<String>,
    pub(super) turns_waiting: usize,
}

pub(super) fn covered(size: u64) -> Covered {
    let signer = daypass_ledger::note::Signer::new("test", &[7; 32]).unwrap();
    signer.sign_head(size, daypass_ledger::tree::EMPTY_ROOT).durable()
}

impl World {
    pub(super) fn new(classes: &[Class]) -> Self {
        let right = Right::new(
            GrantId::new("G-1"),
            RoleId::new("fix"),
            classes.iter().copied().collect(),
            Risk::ALL.into_iter().collect(),
            Micros(0),
            Micros(1_000_000),
        );
        let resource = ResourceId::new("orders");
        Self {
            session: Session::new(resource.clone(), Gating::ActOrDisclose, Dialect::default()),
            log: vec![],
            recorder: ToyLog::default(),
            entitlement: Entitlement {
                person: PersonId::new("bob"),
                resource,
                rights: vec![right],
                control_size: 1,
            },
            covered: covered(0),
            now: 1,
            at_target: vec![],
            to_target: BytesMut::new(),
            statements: Default::default(),
            portals: Default::default(),
            skipping: false,
            copying: None,
            answers: VecDeque::new(),
            target_is_stuck: false,
            shown: vec![],
            errors: vec![],
            turns_waiting: 0,
        }
    }

    pub(super) fn gate_always(&mut self) {
        self.session = Session::new(ResourceId::new("orders"), Gating::Always, Dialect::default());
    }

    pub(super) fn take_all_rights(&mut self) {
        self.entitlement.rights.clear();
    }

    pub(super) fn client(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(self.session.client_in());
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Session, &mut Turn<'_>) -> R) -> R {
        self.now += 1;
        let mut turn = Turn {
            now: Micros(self.now),
            covered: self.covered,
            entitlement: &self.entitlement,
            grammar: &mut ToyGrammar,
            recorder: &mut self.recorder,
        };
        let result = f(&mut self.session, &mut turn);
        self.log = self.recorder.lines.clone();
        result
    }

    pub(super) fn turn(&mut self) -> Result<(), Stop> {
        self.with(Session::turn)
    }

    pub(super) fn release(&mut self) {
        self.with(Session::release).unwrap();
        self.settle();
    }

    pub(super) fn refuse(&mut self, why: Option<&str>) {
        self.with(|session, turn| session.refuse_held(why, turn)).unwrap();
        self.settle();
    }

    pub(super) fn end(&mut self) {
        self.with(|session, turn| session.end(None, turn)).unwrap();
    }

    /// Turns until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            self.turn().unwrap();
            let moved = self.target_reads() | self.person_reads();
            if !moved {
                break;
            }
        }
        self.turns_waiting += usize::from(self.session.waits_for().is_some());
    }

    /// Makes everything appended so far durable, and settles.
    pub(super) fn cover(&mut self) {
        self.covered = covered(self.recorder.size);
        self.settle();
    }

    fn person_reads(&mut self) -> bool {
        let bytes = self.session.outlet().to_person().to_vec();
        self.session.outlet().wrote_person(bytes.len());
        let mut rest = &bytes[..];
        while let Some((frame, len)) = first(Side::Back, rest).unwrap() {
            self.shown.push(frame.tag);
            if let Ok(Back::ErrorResponse(told)) = Back::parse(frame.tag, frame.body) {
                self.errors.push(format!("{} {}", told.code.as_str(), String::from_utf8_lossy(told.message)));
            }
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "the person got part of a message");
        !bytes.is_empty()
    }

    fn target_reads(&mut self) -> bool {
        let bytes = self.session.outlet().to_target().to_vec();
        self.session.outlet().wrote_target(bytes.len());
        self.to_target.extend_from_slice(&bytes);
        let input = self.to_target.split().freeze();
        let mut rest = &input[..];
        while let Some((frame, len)) = first(Side::Front, rest).unwrap() {
            match Front::parse(frame.tag, frame.body) {
                Ok(front) => self.target_takes(front),
                Err(_) if self.skipping => {}
                Err(_) => {
                    self.fail();
                    self.skipping = true;
                }
            }
            rest = &rest[len..];
        }
        self.to_target.extend_from_slice(rest);
        let answers: Vec<u8> = self.answers.drain(..).collect();
        self.session.target_in().extend_from_slice(&answers);
        !bytes.is_empty()
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        if self.target_is_stuck {
            return;
        }
        let mut out = BytesMut::new();
        write::frame(&mut out, tag, |b| b.extend_from_slice(body));
        self.answers.extend(&out);
    }

    fn fail(&mut self) {
        self.say(b'E', b"SERROR\0VERROR\0C22012\0Mtoy\0\0");
    }

    fn run(&mut self, text: &[u8], describe: bool, rows_max: u32, simple: bool) {
        let words = String::from_utf8_lossy(text).into_owned();
        match words.split(' ').next().unwrap_or_default() {
            "read" | "write" | "risky" => {
                if describe {
                    self.say(b'T', b"\0\0");
                }
                self.say(b'D', b"\0\0");
                if rows_max == 1 { self.say(b's', b"") } else { self.say(b'C', b"SELECT 1\0") }
            }
            "copyin" => {
                self.say(b'G', b"\0\0\0");
                self.copying = Some((simple, 0));
            }
            "prepare" => {
                let mut parts = words.splitn(3, ' ').skip(1);
                let name = parts.next().unwrap().as_bytes().to_vec();
                if self.statements.contains_key(&name) {
                    self.fail();
                    self.skipping = !simple;
                    return;
                }
                self.statements.insert(name, parts.next().unwrap().as_bytes().to_vec());
                self.say(b'C', b"PREPARE\0");
            }
            "execute" => self.say(b'C', b"SELECT 1\0"),
            _ => {
                self.fail();
                self.skipping = !simple;
            }
        }
    }

    fn target_takes(&mut self, front: Front<'_>) {
        let line = match front {
            Front::Query(text) => format!("Q {}", String::from_utf8_lossy(text)),
            Front::Parse(parse) => format!("P {}", String::from_utf8_lossy(parse.text)),
            Front::Bind(_) => "B".into(),
            Front::Execute { .. } => "E".into(),
            Front::Sync => "S".into(),
            other => format!("{other:?}"),
        };
        self.at_target.push(line);
        if let Some((simple, count)) = self.copying {
            match front {
                Front::CopyData(_) => self.copying = Some((simple, count + 1)),
                Front::CopyDone => {
                    self.copying = None;
                    self.say(b'C', format!("COPY {count}\0").as_bytes());
                    if simple {
                        self.say(b'Z', b"I");
                    }
                }
                _ => {}
            }
            return;
        }
        match front {
            Front::Sync => {
                self.skipping = false;
                self.say(b'Z', b"I");
            }
            _ if self.skipping => {}
            Front::Query(text) => {
                self.run(text, true, 0, true);
                if self.copying.is_none() {
                    self.say(b'Z', b"I");
                }
            }
            Front::Parse(parse) if parse.text.starts_with(b"daypass") => {
                self.statements.remove(parse.statement);
                self.fail();
                self.skipping = true;
            }
            Front::Parse(parse) => {
                let name = parse.statement.get(..63).unwrap_or(parse.statement);
                self.statements.insert(name.to_vec(), parse.text.to_vec());
                self.say(b'1', b"");
            }
            Front::Bind(bind) => {
                match self.statements.get(bind.statement.get(..63).unwrap_or(bind.statement)).cloned() {
                    Some(text) => {
                        self.portals.insert(bind.portal.to_vec(), text);
                        self.say(b'2', b"");
                    }
                    None => {
                        self.fail();
                        self.skipping = true;
                    }
                }
            }
            Front::Describe(crate::message::Named::Portal(name)) if self.portals.contains_key(name) => {
                self.say(b'T', b"\0\0");
            }
            Front::Execute { portal, rows_max } => match self.portals.get(portal).cloned() {
                Some(text) => self.run(&text, false, rows_max, false),
                None => {
                    self.fail();
                    self.skipping = true;
                }
            },
            Front::Close(named) => {
                if let crate::message::Named::Statement(name) = named {
                    self.statements.remove(name.get(..63).unwrap_or(name));
                }
                self.say(b'3', b"");
            }
            Front::Flush | Front::Terminate | Front::CopyData(_) | Front::CopyDone | Front::CopyFail(_) => {}
            _ => {
                self.fail();
                self.skipping = true;
            }
        }
    }
}

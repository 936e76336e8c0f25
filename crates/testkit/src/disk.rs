//! The activity log on a disk that syncs when it likes, fills up, and forgets what was not synced when the node dies.

use daypass_access::action::Class;
use daypass_access::activity;
use daypass_access::id::HoldId;
use daypass_access::pipeline::{Because, Gating};
use daypass_access::time::Micros;
use daypass_ledger::note::Signer;
use daypass_ledger::receipt::Covered;
use daypass_ledger::sealed::{Fresh, SealedJson, Sealer, SubjectKey};
use daypass_ledger::tree::{Tree, leaf_hash};
use daypass_pg::session::{Ending, Form, Holding, Intent, Outcome, Recorder, Refusal, Statement, Unrecorded};

/// The log of the node.
#[derive(Debug)]
pub struct Disk {
    /// Records appended, durable or not.
    pub leaves: Vec<Vec<u8>>,
    /// How many of them are durable.
    pub durable: u64,
    /// No space for new intents; the reserve still takes outcomes.
    pub full: bool,
    /// Position of the intent of each action text, by the number in the text.
    pub intents: Vec<(u64, u64)>,
    signer: Signer,
    covered: Covered,
    seq: u64,
}

impl Disk {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let signer = Signer::new("simulated.example/node", &[7; 32]).unwrap();
        let covered = signer.sign_head(0, Tree::new().root()).durable();
        Self { leaves: vec![], durable: 0, full: false, intents: vec![], signer, covered, seq: 0 }
    }

    /// What the gateway may count on.
    #[must_use]
    pub fn covered(&self) -> Covered {
        self.covered
    }

    /// A sync returns: everything appended is durable and under a signed head.
    pub fn sync(&mut self) {
        self.durable = self.leaves.len() as u64;
        let mut tree = Tree::new();
        for leaf in &self.leaves {
            tree.push(leaf_hash(leaf));
        }
        self.covered = self.signer.sign_head(self.durable, tree.root()).durable();
    }

    /// The node dies: of what was not synced, some first part survives.
    pub fn crash(&mut self, survivors: u64) {
        let size = (self.durable + survivors).min(self.leaves.len() as u64);
        self.leaves.truncate(size as usize);
        self.intents.retain(|(_, index)| *index < size);
        self.sync();
    }

    /// Notes the intent under which a text runs. Preparing runs nothing; the first intent that runs it counts, until a
    /// release makes another one.
    fn note_intent(&mut self, number: u64, index: u64, form: Form) {
        if form == Form::Released {
            self.intents.retain(|(text, _)| *text != number);
        }
        if form != Form::Prepare && self.intent_of(number).is_none() {
            self.intents.push((number, index));
        }
    }

    /// Position of the intent of the action whose text holds `number`.
    #[must_use]
    pub fn intent_of(&self, number: u64) -> Option<u64> {
        self.intents.iter().find(|(text, _)| *text == number).map(|(_, index)| *index)
    }

    /// Appends a record.
    pub fn append(&mut self, at: Micros, encode: impl FnOnce(Micros, u64, &mut Vec<u8>)) -> u64 {
        let mut leaf = Vec::new();
        self.seq += 1;
        encode(at, self.seq, &mut leaf);
        self.leaves.push(leaf);
        self.leaves.len() as u64 - 1
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// What people type is not sealed in a simulation.
pub const UNSEALED: Option<&()> = None;

/// What an opening says of where the person comes from.
#[must_use]
pub fn sealed_origin(person: &str) -> SealedJson {
    let sealer = Sealer::new(person, &SubjectKey([9; 32])).unwrap();
    let fields: [(&str, &[u8]); 2] = [("client", b"simulated"), ("origin", b"127.0.0.1:1")];
    // Always the same: a simulation runs alike each time, and nobody reads the values.
    sealer.seal(&fields, Fresh::new([5; 56])).unwrap().to_json()
}

/// Records of one session.
#[derive(Debug)]
pub struct Records<'a> {
    /// Where they go.
    pub disk: &'a mut Disk,
    /// The session.
    pub session: &'a str,
    /// Whose.
    pub person: &'a str,
    /// On what.
    pub resource: &'a str,
    /// The hold that the last held action got.
    pub hold: &'a mut Option<HoldId>,
}

/// The number in a text such as `write 12`.
#[must_use]
pub fn number_in(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.split(' ').next_back()?.parse().ok()
}

fn verb(statement: &Statement) -> String {
    statement.verb.to_string()
}

impl Recorder for Records<'_> {
    fn intent(&mut self, intent: &Intent<'_>) -> Result<u64, Unrecorded> {
        if self.disk.full {
            return Err(Unrecorded);
        }
        let hold = intent.form == Form::Released;
        let record = activity::Intent {
            session: self.session.into(),
            action: intent.number,
            person: self.person.into(),
            resource: self.resource.into(),
            grant: intent.allow.grant().as_str().into(),
            control: intent.allow.control_size(),
            verb: verb(intent.statement).into(),
            classes: intent.action.classes,
            risks: intent.action.risks,
            pure_read: intent.action.pure_read,
            gate: Gating::ActOrDisclose,
            rule: intent.allow.rule().as_str().into(),
            hold: self.hold.as_ref().filter(|_| hold).map(|hold| hold.to_string().into()),
        };
        let index = self.disk.append(intent.at, |at, seq, out| record.encode(at, seq, UNSEALED, out));
        if let Some(number) = number_in(&intent.statement.text) {
            self.disk.note_intent(number, index, intent.form);
        }
        Ok(index)
    }

    fn refusal(&mut self, refusal: &Refusal<'_>) -> Result<(), Unrecorded> {
        let (because, missing) = match refusal.denied.because {
            Because::NoGrant => ("no-grant", daypass_access::action::ClassSet::EMPTY),
            Because::NotGranted(missing) => ("not-granted", missing),
        };
        let record = activity::Denied {
            session: self.session.into(),
            action: refusal.number,
            person: self.person.into(),
            resource: self.resource.into(),
            control: refusal.denied.control_size,
            verb: verb(refusal.statement).into(),
            classes: refusal.action.classes,
            risks: refusal.action.risks,
            missing,
            rule: refusal.denied.rule.as_str().into(),
            because: because.into(),
            hold: None,
        };
        self.disk.append(refusal.at, |at, seq, out| record.encode(at, seq, UNSEALED, out));
        Ok(())
    }

    fn holding(&mut self, holding: &Holding<'_>) -> Result<(), Unrecorded> {
        if self.disk.full {
            return Err(Unrecorded);
        }
        let hold = HoldId::new(&format!("H-{:016x}", self.disk.leaves.len()));
        let record = activity::Held {
            session: self.session.into(),
            action: holding.number,
            person: self.person.into(),
            resource: self.resource.into(),
            grant: holding.hold.grant().as_str().into(),
            control: holding.control_size,
            verb: verb(holding.statement).into(),
            classes: holding.action.classes,
            risks: holding.hold.risks,
            rule: holding.hold.rule().as_str().into(),
            hold: hold.to_string().into(),
        };
        self.disk.append(holding.at, |at, seq, out| record.encode(at, seq, UNSEALED, out));
        *self.hold = Some(hold);
        Ok(())
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) -> Result<(), Unrecorded> {
        let (result, code) = match outcome.ending {
            Ending::Done | Ending::Suspended => ("ok", String::new()),
            Ending::Failed(code) => ("error", code.as_str().to_owned()),
            Ending::Skipped => ("skipped", String::new()),
            Ending::Unknown => ("cut", String::new()),
            Ending::NotReleased => ("not-released", String::new()),
        };
        let record = activity::Outcome {
            session: self.session.into(),
            action: outcome.number,
            result: result.into(),
            tag: String::from_utf8_lossy(outcome.tag),
            rows: outcome.rows,
            bytes: outcome.bytes,
            sent: outcome.copy_bytes,
            took_us: outcome.duration_us,
            code: code.into(),
            data_sha256: None,
        };
        self.disk.append(outcome.at, |at, seq, out| record.encode(at, seq, UNSEALED, out));
        Ok(())
    }
}

/// Whether an action of these classes may be forwarded before it is durable.
#[must_use]
pub fn is_act(class: Class) -> bool {
    class != Class::Read
}

//! What a session hands out to be recorded, and who takes it.

use std::sync::Arc;

use daypass_access::action::{Action, RiskSet};
use daypass_access::pipeline::{Allow, Denied, Hold};
use daypass_access::time::Micros;

use crate::classify::Dialect;
use crate::error::SqlState;
use crate::message::{Bind, FunctionCall};

/// What a statement is: its text and what it would do. Shared by everything that refers to it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text as the client sent it; cut to its beginning when it is longer than a session keeps.
    pub text: Vec<u8>,
    /// Length of the whole text in bytes.
    pub text_len: u64,
    /// What the pipeline needs to know of it.
    pub action: Action,
    /// The text with secrets replaced, when it held any.
    pub redacted: Option<Vec<u8>>,
    /// Words for people: what kind of statement it is, lower case, for example `select`.
    pub verb: Arc<str>,
    /// The statements it prepares by SQL's own PREPARE, with their names.
    pub prepares: Vec<(Vec<u8>, Arc<Self>)>,
    /// The names of the prepared statements it runs by SQL's own EXECUTE.
    pub runs: Vec<Vec<u8>>,
    /// It drops every prepared statement of the session.
    pub forgets: bool,
}

impl Statement {
    /// A statement that stands alone.
    #[must_use]
    pub fn plain(text: Vec<u8>, action: Action, verb: &str) -> Self {
        let text_len = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let verb = Arc::from(verb);
        Self { text, text_len, action, redacted: None, verb, prepares: vec![], runs: vec![], forgets: false }
    }

    /// The text to be kept and shown: secrets replaced.
    #[must_use]
    pub fn shown(&self) -> &[u8] {
        self.redacted.as_deref().unwrap_or(&self.text)
    }

    /// This statement, or one that also does what `other` does: both texts, and what both need.
    pub(super) fn and(&self, other: &Self, between: &[u8]) -> Self {
        let join = |x: &[u8], y: &[u8]| [x, between, y].concat();
        let redacted = self.redacted.is_some() || other.redacted.is_some();
        Self {
            text: join(&self.text, &other.text),
            text_len: self.text_len.saturating_add(other.text_len),
            action: Action {
                classes: self.action.classes.union(other.action.classes),
                risks: self.action.risks.union(other.action.risks),
                pure_read: self.action.pure_read && other.action.pure_read,
            },
            redacted: redacted.then(|| join(self.shown(), other.shown())),
            verb: Arc::clone(&self.verb),
            prepares: self.prepares.clone(),
            runs: self.runs.clone(),
            forgets: self.forgets && other.forgets,
        }
    }
}

/// Reads what a text would do. The classifier of this crate, or a small one of a test.
pub trait Grammar {
    /// The statement of that text, read under these settings; what cannot be understood is the highest class.
    fn statement(&mut self, text: &[u8], dialect: Dialect) -> Arc<Statement>;
}

/// How an action reaches the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A simple query.
    Query,
    /// Preparing a statement: the target reads it and does not run it.
    Prepare,
    /// A prepared statement with its parameters, to be run by the Execute that follows.
    Execute,
    /// A function call by number.
    FunctionCall,
    /// A held action that somebody released.
    Released,
}

impl Form {
    /// The word used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Prepare => "prepare",
            Self::Execute => "execute",
            Self::FunctionCall => "function-call",
            Self::Released => "released",
        }
    }
}

/// The parameters of an action.
#[derive(Clone, Copy, Debug)]
pub enum Params<'a> {
    /// It has none.
    None,
    /// Those of a Bind.
    Bind(Bind<'a>),
    /// Those of a FunctionCall.
    Call(FunctionCall<'a>),
    /// More than a session keeps: their beginning as it stands in the message, and the length of the message.
    Beginning(&'a [u8], u64),
}

/// An action that was allowed, to be recorded before it goes on.
#[derive(Debug)]
pub struct Intent<'a> {
    /// When it was decided.
    pub at: Micros,
    /// Its number in the session, from 1.
    pub number: u64,
    /// How it reaches the target.
    pub form: Form,
    /// What it is.
    pub statement: &'a Arc<Statement>,
    /// What was decided on: the classes and risks of this form of it.
    pub action: Action,
    /// Its parameters.
    pub params: Params<'a>,
    /// The decision.
    pub allow: &'a Allow,
}

/// An action that was refused.
#[derive(Debug)]
pub struct Refusal<'a> {
    /// When it was decided.
    pub at: Micros,
    /// Its number in the session.
    pub number: u64,
    /// How it would have reached the target.
    pub form: Form,
    /// What it is.
    pub statement: &'a Arc<Statement>,
    /// What was decided on.
    pub action: Action,
    /// Its parameters.
    pub params: Params<'a>,
    /// Why.
    pub denied: &'a Denied,
}

/// An action that waits for a release.
#[derive(Debug)]
pub struct Holding<'a> {
    /// When it was decided.
    pub at: Micros,
    /// Its number in the session.
    pub number: u64,
    /// How it would reach the target.
    pub form: Form,
    /// What it is.
    pub statement: &'a Arc<Statement>,
    /// What was decided on.
    pub action: Action,
    /// Its parameters.
    pub params: Params<'a>,
    /// The decision.
    pub hold: &'a Hold,
    /// Size of the control log it was decided at.
    pub control_size: u64,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It completed.
    Done,
    /// It stopped at its row limit and may go on.
    Suspended,
    /// The target refused or failed it.
    Failed(SqlState),
    /// The target skipped it, after an earlier error of the batch.
    Skipped,
    /// The session ended before the target said how it ended.
    Unknown,
    /// A held action was given up: refused, cancelled, or the session ended. It never reached the target.
    NotReleased,
}

/// The end of an action.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// When it ended.
    pub at: Micros,
    /// The number of the action.
    pub number: u64,
    /// Position of its intent in the log, when it has one.
    pub intent: Option<u64>,
    /// How it ended.
    pub ending: Ending,
    /// The command tag of its last statement; empty if none.
    pub tag: &'a [u8],
    /// Rows shown or touched.
    pub rows: u64,
    /// Bytes of result the target gave.
    pub bytes: u64,
    /// Bytes of COPY data, either way.
    pub copy_bytes: u64,
    /// SHA-256 of the COPY data, when there was any.
    pub copy_sha256: Option<[u8; 32]>,
    /// From being forwarded to its end, in microseconds.
    pub duration_us: u64,
    /// Whether its result went to the person.
    pub shown: bool,
}

/// The log could not take a record. The session must end: nothing goes on unrecorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded;

/// Takes what a session hands out, seals and appends it. Never blocks.
pub trait Recorder {
    /// Appends an intent; gives its position in the log.
    ///
    /// # Errors
    /// [`Unrecorded`] when the log cannot take it: the action must not go on.
    fn intent(&mut self, intent: &Intent<'_>) -> Result<u64, Unrecorded>;

    /// Appends a refusal.
    ///
    /// # Errors
    /// [`Unrecorded`].
    fn refusal(&mut self, refusal: &Refusal<'_>) -> Result<(), Unrecorded>;

    /// Appends that an action is held.
    ///
    /// # Errors
    /// [`Unrecorded`].
    fn holding(&mut self, holding: &Holding<'_>) -> Result<(), Unrecorded>;

    /// Appends how an action ended.
    ///
    /// # Errors
    /// [`Unrecorded`].
    fn outcome(&mut self, outcome: &Outcome<'_>) -> Result<(), Unrecorded>;
}

/// A held action, for the supervisor to announce.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its number in the session.
    pub number: u64,
    /// What made it wait.
    pub risks: RiskSet,
    /// What it is.
    pub statement: Arc<Statement>,
    /// The grant it is held under.
    pub grant: daypass_access::id::GrantId,
    /// The rule that holds it.
    pub rule: daypass_access::id::RuleId,
}

//! One message on its way to an answer, and what is known of the answer so far.

use daypass_access::pipeline::{DiscloseGate, DisclosePermit, ForwardPermit};
use daypass_access::time::Micros;
use daypass_ledger::receipt::Covered;
use sha2::{Digest, Sha256};

use super::facts::{Ending, Outcome};
use super::words::Words;
use crate::error::SqlState;

/// What kind of message it was: it says which answers are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Parse,
    Bind,
    DescribeStatement,
    DescribePortal,
    Execute,
    FunctionCall,
    CloseStatement,
    ClosePortal,
    Sync,
    /// The client ended COPY data before the target was seen to ask for it. It has no answer.
    CopyEnd,
}

impl Kind {
    /// Whether an error in it makes the target skip everything up to the next Sync.
    pub(super) fn is_extended(self) -> bool {
        !matches!(self, Self::Query | Self::FunctionCall | Self::Sync | Self::CopyEnd)
    }

    /// Whether the columns of a result are its whole answer.
    pub(super) fn describes(self) -> bool {
        matches!(self, Self::DescribeStatement | Self::DescribePortal)
    }

    /// Whether it runs what its action says, so that its end is the action's end.
    pub(super) fn runs(self) -> bool {
        matches!(self, Self::Query | Self::Execute | Self::FunctionCall)
    }
}

/// The way of an answer to the person.
#[derive(Debug)]
pub(super) enum Show {
    /// The message asked for no result: none may come.
    Nothing,
    /// Until the intent is durable.
    Waits(DiscloseGate, u64),
    /// It may be shown.
    Open(DisclosePermit),
}

/// What went through the COPY channel.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) len: u64,
    pub(super) hash: Sha256,
}

/// One message on its way to an answer.
#[derive(Debug)]
pub(super) struct Expect {
    pub(super) kind: Kind,
    /// Place of the message in the session.
    pub(super) seq: u64,
    /// Number of its action, 0 for none.
    pub(super) number: u64,
    /// Position of its intent.
    pub(super) intent: Option<u64>,
    /// The name of the statement or portal it gives or closes.
    pub(super) name: Vec<u8>,
    /// What the person is told instead of the target's error.
    pub(super) refused: Option<Box<Words>>,
    pub(super) show: Show,
    /// Kept while more bytes of the action may follow: COPY data.
    pub(super) permit: Option<ForwardPermit>,
    pub(super) copies_in: bool,
    /// It drops every prepared statement when it succeeds.
    pub(super) forgets: bool,
    pub(super) forwarded_at: Micros,
    pub(super) rows: u64,
    pub(super) len: u64,
    pub(super) tag: Vec<u8>,
    pub(super) tag_rows: Option<u64>,
    pub(super) failed: Option<SqlState>,
    pub(super) copied: Option<Box<Copied>>,
}

impl Expect {
    pub(super) fn new(kind: Kind, seq: u64) -> Self {
        Self {
            kind,
            seq,
            number: 0,
            intent: None,
            name: Vec::new(),
            refused: None,
            show: Show::Nothing,
            permit: None,
            copies_in: false,
            forgets: false,
            forwarded_at: Micros(0),
            rows: 0,
            len: 0,
            tag: Vec::new(),
            tag_rows: None,
            failed: None,
            copied: None,
        }
    }

    /// The position in the log its answer waits for.
    pub(super) fn waits_for(&self) -> Option<u64> {
        match &self.show {
            Show::Waits(_, index) => Some(*index),
            Show::Nothing | Show::Open(_) => None,
        }
    }

    /// Opens the way to the person when the log reaches far enough; says whether anything is still in the way.
    pub(super) fn open(&mut self, covered: Covered) -> bool {
        match std::mem::replace(&mut self.show, Show::Nothing) {
            Show::Waits(gate, index) => match gate.open(covered) {
                Ok(permit) => self.show = Show::Open(permit),
                Err(gate) => {
                    self.show = Show::Waits(gate, index);
                    return false;
                }
            },
            open @ (Show::Open(_) | Show::Nothing) => self.show = open,
        }
        true
    }

    /// Counts COPY data.
    pub(super) fn copies(&mut self, data: &[u8]) {
        let copied = self.copied.get_or_insert_default();
        copied.len = copied.len.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        copied.hash.update(data);
    }

    /// The outcome to record, when this message decides over its action's end.
    ///
    /// Preparing and binding have an outcome only when they fail: otherwise the Execute that follows is the end. A description
    /// belongs to what it describes, unless that was a cursor, which it names.
    pub(super) fn outcome(&self, ending: Ending, now: Micros, shown: bool) -> Option<Outcome<'_>> {
        let names_only = matches!(self.kind, Kind::Parse | Kind::Bind)
            && matches!(ending, Ending::Done | Ending::Unknown)
            && self.copied.is_none();
        let describes =
            matches!(self.kind, Kind::DescribeStatement | Kind::DescribePortal) && self.name.is_empty();
        if self.number == 0 || self.intent.is_none() || names_only || describes {
            return None;
        }
        Some(Outcome {
            at: now,
            number: self.number,
            intent: self.intent,
            ending,
            tag: &self.tag,
            rows: self.tag_rows.unwrap_or(self.rows),
            bytes: self.len,
            copy_bytes: self.copied.as_ref().map_or(0, |copied| copied.len),
            copy_sha256: self.copied.as_ref().map(|copied| copied.hash.clone().finalize().into()),
            duration_us: now.0.saturating_sub(self.forwarded_at.0),
            shown,
        })
    }
}

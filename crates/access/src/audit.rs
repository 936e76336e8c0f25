//! The auditor: re-runs the invariants over the records alone, offline. It trusts no decision, only the records' order.
//!
//! Feed it the whole control log first ([`Audit::control`], in order from 0), then the activity logs
//! ([`Audit::activity`], each in order). Memory is the state plus the open sessions: activity streams through. What it
//! finds names the invariant, the log and the record. I14: every decision that the gateway recorded is made again here, at
//! the size of the control log it names.

mod activity;
mod control;
mod history;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::state::State;
use crate::time::Micros;

use activity::Session;
use history::History;

/// How long after the end of its access a session may take to be cut. I4.
pub const CUT_WITHIN_US: u64 = 1_000_000;

/// No more findings than this are kept; the rest is counted.
const FINDINGS_MAX: usize = 1_000;

/// Something that should not be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The invariant, `I1` to `I18`, or `form` for a record that is not one.
    pub invariant: &'static str,
    /// The log the record is in.
    pub log: String,
    /// The record.
    pub index: u64,
    /// What is wrong: lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record {}: {}: {}", self.log, self.index, self.invariant, self.message)
    }
}

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Control records read.
    pub control: u64,
    /// Activity records read.
    pub activity: u64,
    /// Grants looked at.
    pub grants: u64,
    /// Sessions looked at.
    pub sessions: u64,
    /// Actions decided again.
    pub actions: u64,
    /// Actions whose outcome is not recorded: the log says that they may have happened.
    pub without_outcome: u64,
    /// Sessions whose end is not recorded (the node stopped, or they are still open).
    pub without_end: u64,
    /// How often each invariant was put to the test.
    pub tested: BTreeMap<&'static str, u64>,
    /// What should not be so, at most a thousand.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// An audit under way.
#[derive(Debug)]
pub struct Audit {
    /// The name of the control log, for findings.
    control_log: String,
    state: State,
    /// The first control record that could not be folded: what comes after cannot be judged.
    broken: bool,
    history: History,
    sessions: BTreeMap<String, Session>,
    anchors: Vec<Anchored>,
    report: Report,
}

/// A head of another log that the control log vouches for: the caller checks it against that log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The other log.
    pub log: String,
    /// Its size.
    pub size: u64,
    /// Its root, hex.
    pub root: String,
    /// The control record that says so.
    pub index: u64,
}

impl Audit {
    /// An audit of an installation whose control log is called `control_log`.
    #[must_use]
    pub fn new(control_log: &str) -> Self {
        Self {
            control_log: control_log.to_owned(),
            state: State::default(),
            broken: false,
            history: History::default(),
            sessions: BTreeMap::new(),
            anchors: Vec::new(),
            report: Report::default(),
        }
    }

    /// The state after the control records so far.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The heads of other logs that the control log vouches for.
    #[must_use]
    pub fn anchors(&self) -> &[Anchored] {
        &self.anchors
    }

    /// What came of it.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for session in self.sessions.values() {
            self.report.without_end += 1;
            self.report.without_outcome += session.unfinished();
        }
        self.report
    }

    fn test(&mut self, invariant: &'static str) {
        *self.report.tested.entry(invariant).or_default() += 1;
    }

    /// Puts an invariant to the test: `holds`, or the finding says what is wrong.
    fn must(
        &mut self,
        invariant: &'static str,
        holds: bool,
        log: &str,
        index: u64,
        message: impl FnOnce() -> String,
    ) {
        self.test(invariant);
        if holds {
            return;
        }
        if self.report.findings.len() >= FINDINGS_MAX {
            self.report.more += 1;
            return;
        }
        let (log, message) = (log.to_owned(), message());
        self.report.findings.push(Finding { invariant, log, index, message });
    }
}

/// A moment after which a session whose access ended at `end` must be gone.
fn cut_by(end: Micros) -> Micros {
    Micros(end.0.saturating_add(CUT_WITHIN_US))
}

//! What the records say: anchors of the activity log, and the access invariants re-run.

use std::path::Path;

use daypass_access::audit::{Audit, Report};
use daypass_ledger::source::{Source, Tiles};
use daypass_ledger::verify::Record;
use serde::Deserialize;

use super::findings::{Finding, Findings};

/// Facts gathered while the records go by: the control log first, then the activity log.
#[derive(Debug)]
pub(crate) struct Auditor {
    anchors: Vec<(u64, Anchor)>,
    /// Re-runs the invariants, when that is wanted.
    audit: Option<Audit>,
    is_control: bool,
    log: String,
}

#[derive(Debug, Deserialize)]
struct Anchor {
    kind: String,
    log: String,
    size: u64,
    root: String,
}

impl Auditor {
    pub(crate) fn new(invariants: bool) -> Self {
        let audit = invariants.then(|| Audit::new("control"));
        Self { anchors: Vec::new(), audit, is_control: false, log: String::new() }
    }

    /// Says whose records come next.
    pub(crate) fn begin(&mut self, origin: &str) {
        self.log = origin.rsplit('/').next().unwrap_or_default().to_owned();
        self.is_control = self.log == "control";
    }

    /// Sees one record.
    pub(crate) fn see(&mut self, record: Record<'_>) {
        self.see_leaf(record.index, record.leaf);
    }

    pub(crate) fn see_leaf(&mut self, index: u64, leaf: &[u8]) {
        if self.is_control {
            self.see_anchor(index, leaf);
        }
        match &mut self.audit {
            Some(audit) if self.is_control => audit.control(index, leaf),
            Some(audit) => audit.activity(&self.log, index, leaf),
            None => {}
        }
    }

    fn see_anchor(&mut self, index: u64, leaf: &[u8]) {
        const MARK: &[u8] = b"\"anchored\"";
        if leaf.windows(MARK.len()).take(64).any(|window| window == MARK)
            && let Ok(anchor) = serde_json::from_slice::<Anchor>(leaf)
            && anchor.kind == "anchored"
        {
            self.anchors.push((index, anchor));
        }
    }

    /// The control log says from time to time how long the activity log was and which root it had then.
    pub(crate) fn check_anchors(&self, activity: &impl Source, path: &Path, findings: &mut Findings) {
        let log = path.display().to_string();
        let Some(size) = published_size(activity) else { return };
        let before = findings.len();
        for (record, anchor) in &self.anchors {
            if anchor.size > size {
                let words = format!(
                    "the tail is missing: control record {record} anchored {} records of `{}`, there are {size}; \
                     record {size} is the first that is gone",
                    anchor.size, anchor.log
                );
                findings.add(Finding::new(&log, "checkpoint", Some(size), words));
                return;
            }
            match Tiles::new(activity, size).root(anchor.size) {
                Ok(root) if hex::encode(root.0) == anchor.root => {}
                Ok(_) => {
                    let words = format!(
                        "one of its first {} records was rewritten: control record {record} anchored another root",
                        anchor.size
                    );
                    findings.add(Finding::new(&log, "tile/0/…", None, words));
                    return;
                }
                // Unreadable tiles were found already.
                Err(_) => return,
            }
        }
        if findings.len() == before && !self.anchors.is_empty() {
            findings.held(format!("{} anchors in the control log fit the activity log", self.anchors.len()));
        }
    }

    /// What the invariants came to.
    pub(crate) fn finish(self, findings: &mut Findings) {
        let Some(audit) = self.audit else { return };
        let report = audit.finish();
        for finding in &report.findings {
            let words = format!("{}: {}", finding.invariant, finding.message);
            findings.add(Finding::new(&finding.log, "records", Some(finding.index), words));
        }
        if report.more > 0 {
            findings.add(Finding::new(
                "control",
                "records",
                None,
                format!("and {} findings more", report.more),
            ));
        }
        if report.is_clean() {
            findings.held(words(&report));
        }
    }
}

fn words(report: &Report) -> String {
    let tested: Vec<&str> = report.tested.keys().copied().collect();
    let unfinished = match report.without_outcome {
        0 => String::new(),
        count => format!("; {count} actions have no recorded outcome and may have happened"),
    };
    format!(
        "the policy was followed: {} grants, {} sessions, {} actions decided again ({}){unfinished}",
        report.grants,
        report.sessions,
        report.actions,
        tested.join(", ")
    )
}

fn published_size(source: &impl Source) -> Option<u64> {
    let bytes = source.read("checkpoint").ok().flatten()?;
    String::from_utf8_lossy(&bytes).lines().nth(1)?.parse().ok()
}

//! What a verification found, and how it is told.

use serde::Serialize;

use crate::out::Out;
use crate::trouble::Trouble;

/// Something that is not as it should be.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which log or file was checked.
    pub(crate) log: String,
    /// The file in it.
    pub(crate) file: String,
    /// The first record that is affected, when it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<u64>,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(log: &str, file: &str, record: Option<u64>, message: impl Into<String>) -> Self {
        Self { log: log.to_owned(), file: file.to_owned(), record, message: message.into() }
    }
}

/// A log that is whole.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) log: String,
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    /// How it relates to what was seen before.
    pub(crate) remembered: String,
}

/// Everything found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    whole: Vec<Verified>,
    findings: Vec<Finding>,
    /// Sentences about what else was checked and held.
    held: Vec<String>,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn whole(&mut self, verified: Verified) {
        self.whole.push(verified);
    }

    pub(crate) fn held(&mut self, words: impl Into<String>) {
        self.held.push(words.into());
    }

    pub(crate) fn len(&self) -> usize {
        self.findings.len()
    }

    /// Prints everything; an error when something was found.
    pub(crate) fn tell(&self, out: &Out) -> Result<(), Trouble> {
        if out.is_json() {
            out.json(self)?;
        } else {
            for line in self.lines() {
                out.line(line)?;
            }
        }
        if self.findings.is_empty() {
            Ok(())
        } else {
            Err(Trouble::NotProven { findings: self.findings.len() })
        }
    }

    fn lines(&self) -> Vec<String> {
        let whole = self.whole.iter().map(|log| {
            format!(
                "✓ {}: {} records, whole, root {} ({})",
                log.origin,
                log.size,
                short_root(&log.root),
                log.remembered
            )
        });
        let held = self.held.iter().map(|words| format!("✓ {words}"));
        let findings = self.findings.iter().map(|finding| {
            let record = finding.record.map(|record| format!(" record {record}")).unwrap_or_default();
            format!("✗ {}, file {}{record}: {}", finding.log, finding.file, finding.message)
        });
        whole.chain(held).chain(findings).collect()
    }
}

fn short_root(root: &str) -> String {
    root.chars().take(16).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_log_file_and_record() {
        let mut findings = Findings::default();
        findings.whole(Verified {
            log: "data/control".into(),
            origin: "demo/control".into(),
            size: 42,
            root: "00112233445566778899".into(),
            remembered: "seen for the first time".into(),
        });
        findings.held("every anchor of the activity log fits");
        findings.add(Finding::new("data/activity", "tile/entries/000.p/9", Some(7), "record 7 was changed"));
        insta::assert_snapshot!(findings.lines().join("\n"), @r#"
    ✓ demo/control: 42 records, whole, root 0011223344556677… (seen for the first time)
    ✓ every anchor of the activity log fits
    ✗ data/activity, file tile/entries/000.p/9 record 7: record 7 was changed
"#);
        let out = Out::new(true);
        assert!(matches!(findings.tell(&out), Err(Trouble::NotProven { findings: 1 })));
    }
}

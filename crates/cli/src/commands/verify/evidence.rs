//! An evidence file: the log is whole where it says so, the records are in it, the policy was followed. Offline.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use daypass_ledger::evidence::{Checked, CheckedLog, Evidence, Trust};

use super::Wanted;
use super::findings::{Finding, Findings, Verified};
use super::keys::Keys;
use super::policy::Auditor;
use crate::trouble::Trouble;

pub(crate) fn verify(path: &Path, wanted: &Wanted, keys: &Keys) -> Result<Findings, Trouble> {
    let mut findings = Findings::default();
    let name = path.display().to_string();
    let file = File::open(path).map_err(Trouble::file(path, "read"))?;
    let checked =
        Evidence::read(BufReader::new(file)).and_then(|evidence| evidence.check(wanted.auditor.as_ref()));
    match checked {
        Ok(checked) => believe(&name, &checked, wanted, keys, &mut findings),
        Err(error) => findings.add(Finding::new(&name, "evidence", None, error.to_string())),
    }
    Ok(findings)
}

fn believe(name: &str, checked: &Checked, wanted: &Wanted, keys: &Keys, findings: &mut Findings) {
    let mut auditor = Auditor::new(wanted.policy);
    // Control records first: the invariants are about the state they fold to.
    let is_control = |log: &CheckedLog| log.checkpoint.origin.ends_with("/control");
    let (control, activity): (Vec<&CheckedLog>, Vec<&CheckedLog>) =
        checked.logs.iter().partition(|log| is_control(log));
    for log in control.into_iter().chain(activity) {
        let origin = &log.checkpoint.origin;
        if log.trust == Trust::None && keys.key(origin) != Some(&log.key) {
            findings.add(Finding::new(
                name,
                "manifest.json",
                None,
                format!("nothing but the file itself vouches for the key of `{origin}`; give the right one with `--key` or in an auditor's policy"),
            ));
        }
        let ranges: Vec<String> = log
            .ranges
            .iter()
            .map(|range| format!("{} to {}", range.start, range.end.saturating_sub(1)))
            .collect();
        let whole = if ranges.is_empty() {
            String::new()
        } else {
            format!(", nothing missing from {}", ranges.join(", "))
        };
        findings.whole(Verified {
            log: name.to_owned(),
            origin: origin.clone(),
            size: log.checkpoint.size,
            root: log.checkpoint.root.to_string(),
            remembered: format!("{} records of it are here{whole}", log.records.len()),
        });
        auditor.begin(origin);
        for (index, record) in &log.records {
            auditor.see_leaf(*index, &record.leaf);
        }
    }
    auditor.finish(findings);
}

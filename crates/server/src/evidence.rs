//! Evidence of a grant: everything an outsider needs to check what was done under it.

use std::io::{self, Cursor};
use std::path::PathBuf;

use daypass_access::id::GrantId;
use daypass_access::state::State;
use daypass_control::{Personal, unseal};
use daypass_journal::Journal;
use daypass_ledger::evidence::{EvidenceError, Part, Writer};
use daypass_ledger::note::VerifierKey;
use daypass_ledger::sealed::OpenedField;
use daypass_ledger::source::Source;
use daypass_vault::Vault;
use serde_json::{Value, json};

use crate::app::App;
use crate::files;
use crate::problem::Problem;

/// Records read at once.
const CHUNK: usize = 1024;

/// An evidence file.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) zip: Vec<u8>,
    /// Records whose fields were opened.
    pub(crate) records: usize,
}

/// Why there is no evidence file.
#[derive(Debug)]
enum BuildFailed {
    Read(io::Error),
    Evidence(EvidenceError),
}

impl BuildFailed {
    fn source(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Self::Read(error) => error,
            Self::Evidence(error) => error,
        }
    }
}

impl From<io::Error> for BuildFailed {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<EvidenceError> for BuildFailed {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error)
    }
}

/// A published log on disk.
struct Folder(PathBuf);

impl Source for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Indices of records, and their opened fields.
type Scanned = (Vec<u64>, Vec<(u64, OpenedField)>);

/// Everything needed to build, without the app.
struct Builder {
    vault: Vault,
    control: (Journal, VerifierKey, Folder),
    activity: (Journal, VerifierKey, Folder),
}

/// Builds the evidence of a grant and what extends it: the control log up to now (decisions are re-run from its start), the
/// activity log from the first to the last record of the grant's sessions, and their personal fields, opened.
pub(crate) async fn of_grant(app: &App, grant: &GrantId) -> Result<Built, Problem> {
    let state = app.controller.state();
    for journal in [app.controller.journal(), &app.activity] {
        if let Some(last) = journal.covered().size().checked_sub(1) {
            journal.publish(last).await.map_err(|error| Problem::failed(&error))?;
        }
    }
    let builder = Builder {
        vault: app.vault.clone(),
        control: (
            app.controller.journal().clone(),
            app.controller.verifier_key(),
            Folder(files::control(&app.data_dir)),
        ),
        activity: (app.activity.clone(), app.activity_key.clone(), Folder(files::activity(&app.data_dir))),
    };
    let grant = grant.clone();
    let built = tokio::task::spawn_blocking(move || builder.build(&state, &grant)).await;
    built.map_err(|error| Problem::failed(&error))?.map_err(|failed| Problem::failed(failed.source()))
}

impl Builder {
    fn build(&self, state: &State, grant: &GrantId) -> Result<Built, BuildFailed> {
        let root = state.grant(grant).map_or_else(|| grant.clone(), |grant| grant.root.clone());
        let chain: Vec<GrantId> = state.chain(&root).map(|grant| grant.id().clone()).collect();
        let requests: Vec<String> =
            state.chain(&root).map(|grant| grant.opened.request.to_string()).collect();
        let of_chain = |value: &Value| {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            text("request").is_some_and(|request| requests.iter().any(|known| known == request))
                || text("grant").is_some_and(|grant| chain.iter().any(|known| known.as_str() == grant))
        };
        let (control, control_opened) = self.scan(&self.control.0, of_chain)?;
        let mut sessions: Vec<String> = Vec::new();
        let (activity, activity_opened) = self.scan(&self.activity.0, |value| {
            let session = value.get("session").and_then(Value::as_str).unwrap_or_default();
            let known = sessions.iter().any(|known| known == session);
            let of_grant = of_chain(value);
            if of_grant && !known {
                sessions.push(session.to_owned());
            }
            of_grant || known
        })?;
        let records = control.len() + activity.len();
        let about = json!({
            "kind": "grant", "grant": grant.as_str(), "chain": chain.iter().map(GrantId::as_str).collect::<Vec<_>>(),
            "sessions": sessions,
            "control": control, "activity": activity,
        });
        let page = page(grant, &chain, records);
        let mut writer = Writer::new(Cursor::new(Vec::new()), about);
        let decided_to = state.size();
        writer.add_log(&Part {
            key: &self.control.1,
            source: &self.control.2,
            ranges: std::iter::once(0..decided_to).collect(),
            records: Vec::new(),
            opened: control_opened,
            start: None,
        })?;
        if let (Some(first), Some(last)) = (activity.first(), activity.last()) {
            writer.add_log(&Part {
                key: &self.activity.1,
                source: &self.activity.2,
                ranges: std::iter::once(*first..last + 1).collect(),
                records: Vec::new(),
                opened: activity_opened,
                start: None,
            })?;
        }
        let zip = writer.finish(&page)?.into_inner();
        Ok(Built { zip, records })
    }

    /// Indices of the records wanted, and their personal fields.
    fn scan(&self, journal: &Journal, mut wanted: impl FnMut(&Value) -> bool) -> io::Result<Scanned> {
        let (mut indices, mut opened) = (Vec::new(), Vec::new());
        let mut next = 0;
        loop {
            let records = journal.read(next, CHUNK)?;
            let Some(last) = records.last() else { return Ok((indices, opened)) };
            next = last.index + 1;
            for stored in records {
                let Ok(value) = serde_json::from_slice(&stored.leaf) else { continue };
                if !wanted(&value) {
                    continue;
                }
                indices.push(stored.index);
                if let Personal::Opened(fields) = unseal(&self.vault, &stored.leaf, stored.sidecar.as_deref())
                {
                    opened.extend(fields.into_iter().map(|field| (stored.index, field)));
                }
            }
        }
    }
}

/// The page for people. Nothing on it is proof: the file is checked with `daypass verify`.
fn page(grant: &GrantId, chain: &[GrantId], records: usize) -> String {
    let chain: Vec<&str> = chain.iter().map(GrantId::as_str).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Evidence of grant {grant}</title>\
         <h1>Evidence of grant {grant}</h1>\
         <p>Grants: {}. Records about them: {records}.</p>\
         <p>This page proves nothing. Check the file offline: <code>daypass verify FILE --policy</code>.</p></html>\n",
        chain.join(", ")
    )
}

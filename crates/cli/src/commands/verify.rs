//! `daypass verify`: is the log whole, is it the log we saw before, and was the policy followed?
//!
//! Reads: `verify` decides what it was given; `one_log` checks a single log; `memory` is what this person saw before;
//! `source` reads folders and servers; `policy` re-runs the access invariants.

mod evidence;
mod findings;
mod keys;
mod memory;
mod policy;
mod source;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use daypass_ledger::note::{Note, VerifierKey};
use daypass_ledger::policy::Policy as AuditorPolicy;
use daypass_ledger::source::Source;
use daypass_ledger::verify::{self as ledger_verify, Observer, Options, Record};
use indicatif::{ProgressBar, ProgressStyle};

use self::findings::{Finding, Findings, Verified};
use self::keys::Keys;
use self::memory::Memory;
use self::policy::Auditor;
pub(crate) use self::source::Folder;
use self::source::Server;
use super::Context;
use crate::args::proof::VerifyArgs;
use crate::client::{Client, normalise};
use crate::trouble::Trouble;

/// What the person wants checked beside the log itself.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Re-run the access invariants.
    pub(crate) policy: bool,
    /// What must be present, from the auditor: never from what is being checked.
    pub(crate) auditor: Option<AuditorPolicy>,
    /// Compare with, and update, what was seen before.
    pub(crate) remember: bool,
}

pub(crate) async fn verify(c: &Context, args: VerifyArgs) -> Result<(), Trouble> {
    let auditor = match &args.policy {
        Some(Some(path)) => Some(auditor_policy(path)?),
        _ => None,
    };
    let wanted = Wanted { policy: args.policy.is_some(), auditor, remember: !args.forget };
    let keys = Keys::gather(c, &args.key, wanted.auditor.as_ref()).await?;
    let findings = if args.subject.contains("://") {
        server(c, &args, &wanted, &keys).await?
    } else {
        let path = PathBuf::from(&args.subject);
        let kind = fs::metadata(&path).map_err(Trouble::file(&path, "read"))?;
        if kind.is_dir() {
            tokio::task::block_in_place(|| folder(c, &path, &wanted, &keys))?
        } else {
            tokio::task::block_in_place(|| evidence::verify(&path, &wanted, &keys))?
        }
    };
    findings.tell(&c.out)
}

fn auditor_policy(path: &Path) -> Result<AuditorPolicy, Trouble> {
    let text = fs::read_to_string(path).map_err(Trouble::file(path, "read"))?;
    AuditorPolicy::parse(&text).map_err(|error| {
        Trouble::input(
            format!("{}:{}: {error}", path.display(), error.line()),
            "an auditor's policy has lines like `log <key>`, `witness <name> <key>`, `quorum none` (C2SP tlog-policy)",
        )
    })
}

/// A published log: `https://host/log/control`, or all logs of a control plane: `https://host`.
async fn server(c: &Context, args: &VerifyArgs, wanted: &Wanted, keys: &Keys) -> Result<Findings, Trouble> {
    let url = normalise(&args.subject);
    let (base, path) = split(&url);
    let client = match (c.client(), &args.ca) {
        (Ok(client), None) if client.url() == base => client,
        (_, Some(ca)) => Client::new(base, &fs::read(ca).map_err(Trouble::file(ca, "read"))?)?,
        (Err(trouble), None) => match c.home.authority(base)? {
            Some(pem) => Client::new(base, &pem)?,
            None => return Err(trouble),
        },
        (Ok(_), None) => {
            let pem = c.home.authority(base)?.ok_or_else(|| {
                Trouble::input(format!("no authority is known for `{base}`"), "give it with `--ca`")
            })?;
            Client::new(base, &pem)?
        }
    };
    let paths = if path.is_empty() { keys.published(&client).await? } else { vec![path.to_owned()] };
    let mut findings = Findings::default();
    let handle = tokio::runtime::Handle::current();
    // The invariants need the control log: a single other log is only checked for being whole.
    let mut auditor =
        Auditor::new(wanted.policy && paths.first().is_some_and(|path| path.ends_with("/control")));
    for path in paths {
        let source = Server::new(client.clone(), path.clone(), handle.clone());
        let name = format!("{base}{path}");
        tokio::task::block_in_place(|| {
            one_log(c, &name, &source, wanted, keys, &mut auditor, &mut findings)
        })?;
    }
    auditor.finish(&mut findings);
    Ok(findings)
}

/// Splits `https://host:port/log/control` after the host.
fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(start..).unwrap_or_default();
    match rest.find('/') {
        Some(at) => url.split_at(start + at),
        None => (url, ""),
    }
}

/// One log, or a data directory with the control log and its activity log.
fn folder(c: &Context, path: &Path, wanted: &Wanted, keys: &Keys) -> Result<Findings, Trouble> {
    let mut findings = Findings::default();
    let root = if path.join("data/control").is_dir() { path.join("data") } else { path.to_owned() };
    let is_installation = root.join("control").is_dir() && root.join("activity").is_dir();
    let logs = if is_installation { vec![root.join("control"), root.join("activity")] } else { vec![root] };
    let is_control =
        logs.first().is_some_and(|log| source::origin(log).is_some_and(|name| name.ends_with("/control")));
    let mut auditor = Auditor::new(wanted.policy && is_control);
    for log in &logs {
        let (name, source) = (log.display().to_string(), Folder(log.clone()));
        one_log(c, &name, &source, wanted, keys, &mut auditor, &mut findings)?;
        if let Some(key) = source::origin(log).and_then(|origin| keys.key(&origin)) {
            source::write_ahead(log, key, &mut findings);
        }
    }
    if let [_, activity] = logs.as_slice() {
        auditor.check_anchors(&Folder(activity.clone()), activity, &mut findings);
    }
    if wanted.policy && !is_control {
        c.out.note("the access invariants need the control log; this is only one other log")?;
    }
    auditor.finish(&mut findings);
    Ok(findings)
}

/// Checks one log completely. What is wrong goes to `findings`; an error is only what keeps us from checking.
fn one_log(
    c: &Context,
    name: &str,
    source: &(impl Source + Sync),
    wanted: &Wanted,
    keys: &Keys,
    auditor: &mut Auditor,
    findings: &mut Findings,
) -> Result<(), Trouble> {
    let Some((origin, bytes)) = checkpoint(name, source, findings)? else { return Ok(()) };
    let Some(key) = keys.key(&origin) else {
        return Err(Trouble::missing(
            format!("no key is known for the log `{origin}`"),
            "give it with `--key` (`daypass doctor --json` of somebody logged in shows it), or log in once",
        ));
    };
    if let Some(error) = wanted.auditor.as_ref().and_then(|auditor| auditor.open(&bytes).err()) {
        findings.add(Finding::new(name, "checkpoint", None, error.to_string()));
    }
    let bar = progress(c);
    auditor.begin(&origin);
    let mut watching = Watching { bar: bar.clone(), auditor };
    let options = Options { threads: workers(), ..Options::default() };
    let verified = ledger_verify::verify(source, key, &options, &mut watching);
    bar.finish_and_clear();
    let memory = Memory::of(&c.home, &origin);
    match verified {
        Err(error) => {
            let record = error.record();
            findings.add(Finding::new(name, error.file(), record, error.to_string()));
            // The files do not fit each other; memory may still say what they were.
            if wanted.remember {
                memory.point_at_difference(name, source, findings)?;
            }
        }
        Ok(report) => {
            let remembered = if wanted.remember {
                memory.compare(name, &report, key, source, findings)?
            } else {
                "not compared"
            };
            findings.whole(Verified {
                log: name.to_owned(),
                origin,
                size: report.checkpoint.size,
                root: report.checkpoint.root.to_string(),
                remembered: remembered.to_owned(),
            });
        }
    }
    Ok(())
}

/// Origin and bytes of the checkpoint, or a finding.
fn checkpoint(
    name: &str,
    source: &impl Source,
    findings: &mut Findings,
) -> Result<Option<(String, Vec<u8>)>, Trouble> {
    let bytes = source.read("checkpoint").map_err(|error| match error.into_inner() {
        Some(inner) => {
            Trouble::missing(format!("cannot read `{name}`: {inner}"), "check the address and your login")
        }
        None => Trouble::missing(format!("cannot read `{name}`"), "check the path and your permissions"),
    })?;
    let Some(bytes) = bytes else {
        findings.add(Finding::new(
            name,
            "checkpoint",
            None,
            "there is no checkpoint, so nothing vouches for the files",
        ));
        return Ok(None);
    };
    match Note::parse(&bytes) {
        Ok(note) => Ok(Some((note.text().lines().next().unwrap_or_default().to_owned(), bytes))),
        Err(error) => {
            findings.add(Finding::new(name, "checkpoint", None, error.to_string()));
            Ok(None)
        }
    }
}

fn workers() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

struct Watching<'a> {
    bar: ProgressBar,
    auditor: &'a mut Auditor,
}

impl Observer for Watching<'_> {
    fn record(&mut self, record: Record<'_>) {
        self.auditor.see(record);
    }

    fn progress(&mut self, done: u64, size: u64) {
        self.bar.set_length(size);
        self.bar.set_position(done);
    }
}

fn progress(c: &Context) -> ProgressBar {
    if c.out.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} records, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The key of a log, for those who know none yet.
pub(crate) fn parse_key(text: &str) -> Result<VerifierKey, Trouble> {
    VerifierKey::parse(text.trim()).map_err(|error| {
        Trouble::input(
            format!("`{text}` is no key of a log: {error}"),
            "a key is written `name+8 hex digits+base64`",
        )
    })
}

/// Stores the keys of the logs of the control plane just logged in to: from now on another key is noticed.
pub(crate) async fn remember_keys(c: &Context, client: &Client) -> Result<(), Trouble> {
    keys::remember(c, client).await
}

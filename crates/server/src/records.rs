//! Looking for records in both logs, in time order, with a bound on the work of one request.
//!
//! A search result never proves that nothing is missing: ranges with proofs do (evidence). Reading is recorded by the
//! route before anything is shown (I15).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;

use daypass_api::log::{Record, RecordQuery};
use daypass_control::{Personal, unseal};
use daypass_journal::{Journal, Stored};
use daypass_vault::Vault;
use serde_json::Value;

/// Records read at once.
const CHUNK: u64 = 512;
/// Records one request looks at, at most.
const SCANNED_MAX: u64 = 200_000;

/// Where to go on: a position in each log. Ascending it is the next record, descending the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    control: u64,
    activity: u64,
}

impl Cursor {
    /// Reads `control.activity`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (control, activity) = text.split_once('.')?;
        Some(Self { control: control.parse().ok()?, activity: activity.parse().ok()? })
    }

    pub(crate) fn text(self) -> String {
        format!("{}.{}", self.control, self.activity)
    }
}

/// A log with its name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) journal: Journal,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) items: Vec<Record>,
    pub(crate) next: Cursor,
    /// The logs hold nothing more.
    pub(crate) end: bool,
}

/// One log, read chunk by chunk in either direction.
struct Reader<'a> {
    log: &'a Named,
    /// Position as in [`Cursor`], of the first record not taken yet.
    at: u64,
    read: u64,
    size: u64,
    newest: bool,
    skipped: bool,
    buffer: VecDeque<(Stored, Value)>,
}

impl<'a> Reader<'a> {
    fn new(log: &'a Named, at: Option<u64>, query: &RecordQuery) -> Self {
        let size = log.journal.covered().size();
        let newest = query.newest == Some(true);
        let at = at.unwrap_or(if newest { size } else { 0 }).min(size);
        let skipped = query.log.as_deref().is_some_and(|wanted| wanted != log.name);
        Self { log, at, read: at, size, newest, skipped, buffer: VecDeque::new() }
    }

    fn fill(&mut self) -> io::Result<()> {
        let (from, until) = if self.newest {
            (self.read.saturating_sub(CHUNK), self.read)
        } else {
            (self.read, self.size.min(self.read.saturating_add(CHUNK)))
        };
        let mut next = from;
        let mut chunk = VecDeque::new();
        while next < until {
            let records = self.log.journal.read(next, usize::try_from(until - next).unwrap_or(1))?;
            let Some(last) = records.last() else { break };
            next = last.index + 1;
            for stored in records.into_iter().filter(|stored| stored.index < until) {
                let value = serde_json::from_slice(&stored.leaf).unwrap_or(Value::Null);
                chunk.push_back((stored, value));
            }
        }
        if self.newest {
            chunk = chunk.into_iter().rev().collect();
        }
        self.read = if self.newest { from } else { next.max(from) };
        self.buffer.extend(chunk);
        Ok(())
    }

    fn peek_at(&mut self) -> io::Result<Option<u64>> {
        let more = if self.newest { self.read > 0 } else { self.read < self.size };
        if self.skipped {
            return Ok(None);
        }
        if self.buffer.is_empty() && more {
            self.fill()?;
        }
        Ok(self.buffer.front().map(|(_, value)| value.get("at").and_then(Value::as_u64).unwrap_or(0)))
    }

    fn take(&mut self) -> Option<(Stored, Value)> {
        let taken = self.buffer.pop_front()?;
        self.at = if self.newest { taken.0.index } else { taken.0.index + 1 };
        Some(taken)
    }
}

/// Looks for records. Blocks.
pub(crate) fn find(
    logs: &[Named; 2],
    vault: &Vault,
    query: &RecordQuery,
    from: Option<Cursor>,
    follow: bool,
) -> io::Result<Found> {
    let [control, activity] = logs;
    let mut control = Reader::new(control, from.map(|cursor| cursor.control), query);
    let mut activity = Reader::new(activity, from.map(|cursor| cursor.activity), query);
    let limit = usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(100);
    let mut filter = Filter::new(query, follow);
    let mut items = Vec::new();
    let mut end = true;
    for scanned in 0.. {
        if items.len() >= limit || scanned >= SCANNED_MAX {
            end = false;
            break;
        }
        let reader = match (control.peek_at()?, activity.peek_at()?) {
            (None, None) => break,
            (Some(_), None) => &mut control,
            (None, Some(_)) => &mut activity,
            (Some(a), Some(b)) if (a <= b) != (query.newest == Some(true)) => &mut control,
            (Some(_), Some(_)) => &mut activity,
        };
        let name = reader.log.name;
        let Some((stored, value)) = reader.take() else { break };
        if filter.passes(&value) {
            let record = show(vault, name, &stored, value);
            if filter.passes_text(&record) {
                items.push(record);
            }
        }
    }
    Ok(Found { items, next: Cursor { control: control.at, activity: activity.at }, end })
}

/// One record, opened as far as the vault can.
pub(crate) fn show(vault: &Vault, log: &str, stored: &Stored, body: Value) -> Record {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut opened = BTreeMap::new();
    let mut sealed = BTreeMap::new();
    let mut closed = |names: Vec<String>, why: &str| {
        sealed.extend(names.into_iter().map(|name| (name, why.to_owned())));
    };
    match unseal(vault, &stored.leaf, stored.sidecar.as_deref()) {
        Personal::None => {}
        Personal::Opened(fields) => {
            let fields = fields.iter();
            opened.extend(fields.map(|f| (f.id.clone(), String::from_utf8_lossy(&f.value).into_owned())));
        }
        Personal::Erased(names) => closed(names, "erased"),
        Personal::Withheld(names) => closed(names, "withheld"),
    }
    Record {
        log: log.to_owned(),
        index: stored.index,
        at: body.get("at").and_then(Value::as_u64).unwrap_or(0),
        kind: text("kind"),
        opened,
        sealed,
        body,
    }
}

/// What a query lets through. Records of a session that name neither person nor resource (outcomes) pass when an earlier
/// record of their session did.
struct Filter<'q> {
    query: &'q RecordQuery,
    text: Option<String>,
    sessions: HashSet<String>,
    follow: bool,
}

impl<'q> Filter<'q> {
    fn new(query: &'q RecordQuery, follow: bool) -> Self {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        Self { query, text, sessions: HashSet::new(), follow }
    }

    fn passes(&mut self, value: &Value) -> bool {
        let query = self.query;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let is = |wanted: &Option<String>, names: &[&str]| {
            wanted.as_deref().is_none_or(|wanted| names.iter().any(|name| text(name) == Some(wanted)))
        };
        let at = value.get("at").and_then(Value::as_u64).unwrap_or(0);
        if query.since.is_some_and(|since| at < since) || query.until.is_some_and(|until| at >= until) {
            return false;
        }
        // Whoever follows would otherwise see their own reading, which is reading again.
        if self.follow && query.kind.is_none() && text("kind") == Some("log-read") {
            return false;
        }
        let class = |wanted: &str| {
            let classes = value.get("classes").and_then(Value::as_array);
            classes.is_some_and(|classes| classes.iter().any(|class| class.as_str() == Some(wanted)))
        };
        if !is(&query.kind, &["kind"])
            || !is(&query.session, &["session"])
            || !is(&query.grant, &["grant", "extends"])
            || !query.class.as_deref().is_none_or(class)
        {
            return false;
        }
        let named = is(&query.person, &["person", "by"]) && is(&query.resource, &["resource"]);
        let Some(session) = text("session") else { return named };
        if named {
            self.sessions.insert(session.to_owned());
        }
        named || (text("person").is_none() && self.sessions.contains(session))
    }

    fn passes_text(&self, record: &Record) -> bool {
        let Some(wanted) = &self.text else { return true };
        record.opened.values().any(|value| value.to_lowercase().contains(wanted.as_str()))
    }
}

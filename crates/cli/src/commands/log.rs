//! Reading the log: tail, show, search. The control plane records that we did.

use std::time::Duration;

use daypass_api::log::{Record, RecordPage, RecordQuery};
use serde_json::Value;

use super::Context;
use crate::args::proof::{FilterArgs, SearchArgs, ShowArgs, TailArgs};
use crate::client::{Client, segment};
use crate::out::short;
use crate::trouble::Trouble;
use crate::when;

/// One long poll while following.
const POLL_S: u64 = 25;
/// Records of one page.
const PAGE_LEN: u64 = 500;

pub(crate) async fn tail(c: &Context, args: Option<TailArgs>) -> Result<(), Trouble> {
    let client = c.client()?;
    let args = args.unwrap_or(TailArgs { follow: false, lines: 20, filter: FilterArgs::default() });
    let mut query = query(&args.filter);
    query.newest = Some(true);
    query.limit = Some(u64::from(args.lines).clamp(1, 1_000));
    let began = when::now();
    let mut page: RecordPage = client.query("/v1/log/records", &query, Duration::ZERO).await?;
    page.items.reverse();
    if !args.follow {
        return list(c, &page.items);
    }
    for record in &page.items {
        show_line(c, record)?;
    }
    let since = page.items.last().map_or(began, |record| record.at.saturating_add(1));
    let query = RecordQuery { since: Some(since), newest: None, limit: None, ..query };
    follow(c, &client, query).await
}

/// Prints records as they come, until Ctrl-C.
async fn follow(c: &Context, client: &Client, query: RecordQuery) -> Result<(), Trouble> {
    let mut query = RecordQuery { wait_s: Some(POLL_S), limit: Some(PAGE_LEN), ..query };
    loop {
        let page: RecordPage = tokio::select! {
            page = client.query("/v1/log/records", &query, Duration::from_secs(POLL_S)) => page?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        for record in &page.items {
            show_line(c, record)?;
        }
        if page.next.is_some() {
            query.after = page.next;
        } else if let Some(last) = page.items.last() {
            query.since = Some(last.at.saturating_add(1));
        }
    }
}

pub(crate) async fn search(c: &Context, args: SearchArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let mut query = query(&args.filter);
    query.text = args.text;
    let mut found: Vec<Record> = Vec::new();
    loop {
        let left = u64::from(args.limit).saturating_sub(u64::try_from(found.len()).unwrap_or(u64::MAX));
        query.limit = Some(left.clamp(1, PAGE_LEN));
        let page: RecordPage = client.query("/v1/log/records", &query, Duration::ZERO).await?;
        found.extend(page.items);
        let full = found.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX);
        if full || page.end || page.next.is_none() {
            list(c, &found)?;
            return if full {
                c.out.note(format!("stopped at {}; `--limit` shows more", args.limit))
            } else {
                c.out.note("a search proves no absence; `daypass evidence grant` and `daypass verify` do")
            };
        }
        query.after = page.next;
    }
}

pub(crate) async fn show(c: &Context, args: &ShowArgs) -> Result<(), Trouble> {
    let (log, index) = args
        .record
        .rsplit_once(['/', '#'])
        .and_then(|(log, index)| Some((log, index.parse::<u64>().ok()?)))
        .ok_or_else(|| {
            Trouble::input(format!("`{}` names no record", args.record), "write it like `activity/17`")
        })?;
    let record: Record = c.client()?.fetch(&format!("/v1/log/records/{}/{index}", segment(log))).await?;
    if c.out.is_json() {
        return c.out.json(&record);
    }
    c.out.facts(&[
        ("record", format!("{}/{}", record.log, record.index)),
        ("at", when::moment(record.at, c.out.zone())),
        ("kind", record.kind.clone()),
    ])?;
    for (name, value) in &record.opened {
        c.out.facts(&[(name.as_str(), value.clone())])?;
    }
    for (name, why) in &record.sealed {
        c.out.facts(&[(name.as_str(), format!("({why})"))])?;
    }
    c.out.json(&record.body)
}

fn query(filter: &FilterArgs) -> RecordQuery {
    RecordQuery {
        person: filter.person.clone(),
        resource: filter.resource.clone(),
        class: filter.class.clone(),
        kind: filter.kind.clone(),
        since: filter.since.map(|moment| moment.0),
        until: filter.until.map(|moment| moment.0),
        ..RecordQuery::default()
    }
}

fn list(c: &Context, records: &[Record]) -> Result<(), Trouble> {
    let row = |record: &Record| {
        vec![
            c.out.clock(record.at),
            format!("{}/{}", record.log, record.index),
            record.kind.clone(),
            member(record, "person"),
            member(record, "resource"),
            short(&details(record), 300),
        ]
    };
    c.out.list(records, &["at", "record", "kind", "who", "what", "details"], row, "no records fit")
}

fn show_line(c: &Context, record: &Record) -> Result<(), Trouble> {
    if c.out.is_json() {
        return c.out.json_line(record);
    }
    let who = [member(record, "person"), member(record, "resource")].join(" ");
    c.out.line(format!(
        "{}  {:<14} {:<24} {}",
        c.out.clock(record.at),
        record.kind,
        who.trim(),
        short(&details(record), 160)
    ))
}

fn member(record: &Record, name: &str) -> String {
    match record.body.get(name) {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

/// What was said or done, in one line: opened text first, then the facts that matter for this kind of record.
fn details(record: &Record) -> String {
    const FACTS: [&str; 14] = [
        "session", "action", "request", "grant", "role", "verb", "tag", "rows", "sqlstate", "reason", "by",
        "hold", "ends", "status",
    ];
    let say = |(name, value): (&String, &String)| match name.as_str() {
        "origin" => format!("from {value}"),
        "client" => format!("with {value}"),
        "asked" => format!("asked for {value}"),
        _ => value.clone(),
    };
    let mut parts: Vec<String> = record.opened.iter().map(say).collect();
    for name in FACTS {
        match record.body.get(name) {
            Some(Value::String(text)) if !text.is_empty() => parts.push(format!("{name} {text}")),
            Some(Value::Number(number)) if name == "ends" => {
                let at = number.as_u64().unwrap_or(0);
                parts.push(format!("until {}", when::moment(at, &jiff::tz::TimeZone::system())));
            }
            Some(Value::Number(number)) => parts.push(format!("{name} {number}")),
            _ => {}
        }
    }
    parts.join(" · ")
}

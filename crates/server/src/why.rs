//! `why`: the chain of records that made a session, an action or a grant possible, first cause first.

use std::io;

use daypass_access::id::{GrantId, PersonId, RequestId};
use daypass_access::state::State;
use daypass_api::log::{Why, WhyStep};
use daypass_control::{Personal, unseal};
use daypass_journal::Journal;
use daypass_vault::Vault;
use serde_json::Value;

/// Records read at once.
const CHUNK: usize = 1024;

/// Whose grant a thing stands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    grant: GrantId,
    /// What the activity log says about it, oldest first.
    activity: Vec<WhyStep>,
    /// Whose it is.
    pub(crate) person: PersonId,
}

/// Finds what is meant: `G-1`, `R-1`, `S-…` or `S-…/3`. Reads the activity log and blocks.
pub(crate) fn subject(
    state: &State,
    activity: &Journal,
    vault: &Vault,
    id: &str,
) -> io::Result<Option<Subject>> {
    let of = |grant: GrantId, activity| {
        let person = state.grant(&grant).map(|grant| grant.opened.person.clone());
        person.map(|person| Subject { grant, activity, person })
    };
    if id.starts_with("G-") {
        return Ok(of(GrantId::new(id), Vec::new()));
    }
    if id.starts_with("R-") {
        let request = state.request(&RequestId::new(id));
        return Ok(request.and_then(|request| request.grant.clone()).and_then(|grant| of(grant, Vec::new())));
    }
    let (session, action) = id.split_once('/').unwrap_or((id, ""));
    let action = action.parse::<u64>().ok();
    let mut grant = None;
    let mut steps = Vec::new();
    let mut next = 0;
    loop {
        let records = activity.read(next, CHUNK)?;
        let Some(last) = records.last() else { break };
        next = last.index + 1;
        for stored in &records {
            if !String::from_utf8_lossy(&stored.leaf).contains(session) {
                continue;
            }
            let Ok(value) = serde_json::from_slice::<Value>(&stored.leaf) else { continue };
            if value.get("session").and_then(Value::as_str) != Some(session) {
                continue;
            }
            let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            let of_action = action.is_some() && value.get("action").and_then(Value::as_u64) == action;
            if text("kind") == "session-opened" || of_action {
                if !text("grant").is_empty() {
                    grant = Some(GrantId::new(text("grant")));
                }
                let personal = unseal(vault, &stored.leaf, stored.sidecar.as_deref());
                steps.push(step("activity", stored.index, &value, activity_words(&value, &personal)));
            }
        }
    }
    Ok(grant.and_then(|grant| of(grant, steps)))
}

fn step(log: &str, index: u64, value: &Value, words: String) -> WhyStep {
    WhyStep { log: log.to_owned(), index, at: value.get("at").and_then(Value::as_u64).unwrap_or(0), words }
}

fn activity_words(value: &Value, personal: &Personal) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    match text("kind") {
        "session-opened" => format!(
            "{} opened session {} on {} from {} by pass {} of grant {}",
            text("person"),
            text("session"),
            text("resource"),
            origin(personal),
            text("pass"),
            text("grant")
        ),
        "intent" => format!(
            "action {} ({}) was allowed by rule {} under grant {}, decided at control size {}",
            number("action"),
            text("verb"),
            text("rule"),
            text("grant"),
            number("control")
        ),
        "denied" => format!(
            "action {} ({}) was denied by rule {}: {}",
            number("action"),
            text("verb"),
            text("rule"),
            text("because")
        ),
        "held" => format!("action {} ({}) was held as {}", number("action"), text("verb"), text("hold")),
        "outcome" => {
            format!("action {} ended {}: {} rows", number("action"), text("result"), number("rows"))
        }
        kind => kind.to_owned(),
    }
}

/// From where, as far as the vault can open it.
fn origin(personal: &Personal) -> String {
    let why_not = match personal {
        Personal::Erased(_) => "an erased address",
        Personal::None | Personal::Opened(_) | Personal::Withheld(_) => "an address that is withheld",
    };
    personal.text("origin").unwrap_or_else(|| why_not.to_owned())
}

/// The chain.
pub(crate) fn why(state: &State, id: &str, subject: Subject) -> Why {
    let mut steps = Vec::new();
    let mut add = |index: u64, at: u64, words: String| {
        steps.push(WhyStep { log: daypass_control::LOG.to_owned(), index, at, words });
    };
    let root = state.grant(&subject.grant).map_or_else(|| subject.grant.clone(), |grant| grant.root.clone());
    for grant in state.chain(&root) {
        let opened = &grant.opened;
        if let Some(request) = state.request(&opened.request) {
            let filed = &request.filed;
            add(
                request.index,
                request.at.0,
                format!(
                    "{} asked for {} on {} for {} s as {}, under policy {} (rule {})",
                    filed.person,
                    filed.role,
                    filed.resource,
                    filed.duration_s,
                    filed.request,
                    filed.policy,
                    filed.rule
                ),
            );
            for approval in &request.approvals {
                let words =
                    format!("{} approved step {} as {}", approval.by, approval.step + 1, approval.through);
                add(approval.index, approval.at.0, words);
            }
        }
        let how = opened.extends.as_ref().map_or_else(String::new, |before| format!(", extending {before}"));
        add(
            grant.index,
            grant.at.0,
            format!(
                "{} gave {} until {}{how} (rule {})",
                opened.grant,
                opened.person,
                time(opened.ends.0),
                opened.rule
            ),
        );
        if let Some(ended) = &grant.ended {
            let by = ended.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            add(ended.index, ended.at.0, format!("{} ended: {}{by}", opened.grant, ended.how.name()));
        }
    }
    steps.extend(subject.activity);
    steps.sort_by_key(|step| step.at);
    Why { subject: id.to_owned(), steps }
}

fn time(at: u64) -> String {
    let stamp = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    stamp.map_or_else(|| at.to_string(), |stamp| format!("{stamp:.0}"))
}

//! What happens now: sessions, kill, hold.

use daypass_api::List;
use daypass_api::requests::{ApproveRequest, Because};
use daypass_api::sessions::{Hold, LiveAction, Session};

use super::Context;
use super::requests::{post_done, with_factor};
use crate::args::access::{HoldRefuseArgs, HoldReleaseArgs, KillArgs, SessionsArgs};
use crate::client::{Client, segment};
use crate::out::short;
use crate::trouble::Trouble;
use crate::when;

pub(crate) async fn sessions(c: &Context, args: &SessionsArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    if args.live {
        return live(c, &client).await;
    }
    let mut list: List<Session> = client.fetch("/v1/sessions").await?;
    list.items.retain(|session| session.status != "closed");
    let now = when::now();
    let row = |session: &Session| {
        let hold = session.hold.as_ref().map(|hold| format!(" ({hold})")).unwrap_or_default();
        vec![
            session.id.clone(),
            session.person.clone(),
            session.resource.clone(),
            session.grant.clone(),
            format!("{}{hold}", session.status),
            c.out.clock(session.opened_at),
            when::span(session.deadline_at.saturating_sub(now) / 1_000_000),
            session.actions.to_string(),
            session.origin.clone(),
        ]
    };
    let headers = ["session", "who", "what", "grant", "state", "since", "time left", "actions", "from"];
    c.out.list(&list.items, &headers, row, "nobody is in")
}

/// Shows the sessions that are open, then every action of everybody as it is recorded.
async fn live(c: &Context, client: &Client) -> Result<(), Trouble> {
    c.out.note("following; Ctrl-C ends")?;
    let open: List<Session> = client.fetch("/v1/sessions").await?;
    for session in open.items.iter().filter(|session| session.status != "closed") {
        c.out.note(format!("{} is in {} ({})", session.person, session.resource, session.id))?;
    }
    let show = |event: &str, data: &str| {
        if event != "action" {
            return c.out.note(format!("{data} actions were too fast to show; the log has them"));
        }
        match serde_json::from_str::<LiveAction>(data) {
            Ok(action) if c.out.is_json() => c.out.json_line(&action),
            Ok(action) => c.out.line(live_words(c, &action)),
            Err(error) => c.out.note(format!("an event could not be read: {error}")),
        }
    };
    tokio::select! {
        ended = client.events("/v1/sessions/live", show) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn live_words(c: &Context, action: &LiveAction) -> String {
    let outcome = [
        action.tag.clone(),
        action.code.as_ref().map(|code| format!("error {code}")),
        action.rows.map(|rows| format!("{rows} rows")),
        action.took_us.map(when::duration_us),
    ];
    let outcome: Vec<String> = outcome.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let what = if action.kind == "outcome" { outcome.join(", ") } else { short(&action.text, 160) };
    let risks =
        if action.risks.is_empty() { String::new() } else { format!(" [{}]", action.risks.join(", ")) };
    format!(
        "{}  {} {} #{} {:<8}{risks} {what}",
        c.out.clock(action.at),
        action.person,
        action.resource,
        action.action,
        action.kind
    )
}

pub(crate) async fn kill(c: &Context, args: KillArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let list: List<Session> = client.fetch("/v1/sessions").await?;
    let ids =
        list.items.iter().filter(|session| session.status != "closed").map(|session| session.id.as_str());
    let id = one(ids, &args.session, "session", "daypass sessions")?;
    let body = Because { reason: Some(args.reason), totp: None };
    post_done(&client, &format!("/v1/sessions/{}/kill", segment(&id)), &body).await?;
    if c.out.is_json() {
        c.out.json(&serde_json::json!({"killed": id}))
    } else {
        c.out.line(format!("closed {id}"))
    }
}

pub(crate) async fn holds(c: &Context) -> Result<(), Trouble> {
    let mut list: List<Hold> = c.client()?.fetch("/v1/holds").await?;
    list.items.retain(|hold| hold.status == "waiting");
    let row = |hold: &Hold| {
        vec![
            hold.id.clone(),
            hold.person.clone(),
            hold.resource.clone(),
            hold.risks.join(", "),
            hold.rows.map_or_else(|| "unknown".to_owned(), |rows| format!("about {rows}")),
            short(hold.text.as_deref().unwrap_or("(sealed)"), 200),
            c.out.clock(hold.opened_at),
            if hold.can_decide { "you" } else { "" }.to_owned(),
        ]
    };
    let headers = ["hold", "who", "what", "risk", "rows", "statement", "since", "waits for"];
    c.out.list(&list.items, &headers, row, "nothing is held")
}

pub(crate) async fn release(c: &Context, args: HoldReleaseArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let id = hold_id(&client, &args.hold).await?;
    let path = format!("/v1/holds/{}/release", segment(&id));
    let body = |totp| ApproveRequest { narrow: None, comment: None, totp };
    let _: serde_json::Value = with_factor(&client, &path, args.code, body).await?;
    if c.out.is_json() {
        c.out.json(&serde_json::json!({"released": id}))
    } else {
        c.out.line(format!("✓ released {id}"))
    }
}

pub(crate) async fn refuse(c: &Context, args: HoldRefuseArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let id = hold_id(&client, &args.hold).await?;
    let body = Because { reason: args.reason, totp: None };
    let _: serde_json::Value = client.post(&format!("/v1/holds/{}/refuse", segment(&id)), &body).await?;
    if c.out.is_json() {
        c.out.json(&serde_json::json!({"refused": id}))
    } else {
        c.out.line(format!("refused {id}"))
    }
}

async fn hold_id(client: &Client, wanted: &str) -> Result<String, Trouble> {
    let list: List<Hold> = client.fetch("/v1/holds").await?;
    one(list.items.iter().map(|hold| hold.id.as_str()), wanted, "hold", "daypass hold list")
}

/// The one id that begins with `wanted`.
fn one<'a>(
    ids: impl Iterator<Item = &'a str>,
    wanted: &str,
    noun: &str,
    lister: &str,
) -> Result<String, Trouble> {
    let fitting: Vec<&str> = ids.filter(|id| id.starts_with(wanted)).collect();
    match fitting.as_slice() {
        _ if fitting.contains(&wanted) => Ok(wanted.to_owned()),
        [only] => Ok((*only).to_owned()),
        [] => {
            Err(Trouble::missing(format!("there is no {noun} `{wanted}`"), format!("`{lister}` lists them")))
        }
        several => Err(Trouble::input(
            format!("`{wanted}` could be {}", several.join(" or ")),
            format!("write more of its name; `{lister}` lists them"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_enough_when_it_names_one() {
        let ids = ["S-0a1", "S-0a1b", "S-ff"];
        let find = |wanted| one(ids.into_iter(), wanted, "session", "daypass sessions");
        assert_eq!(find("S-f").unwrap(), "S-ff");
        assert_eq!(find("S-0a1").unwrap(), "S-0a1", "a whole name wins");
        assert!(matches!(find("S-0"), Err(Trouble::Input { .. })));
        assert!(matches!(find("S-x"), Err(Trouble::Missing { .. })));
    }
}

//! Waiting for an approval, visibly, without asking the control plane over and over.

use std::time::Duration;

use daypass_api::requests::{Request, RequestStatus};
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Context;
use super::super::requests::approvers;
use crate::client::{Client, segment};
use crate::trouble::Trouble;
use crate::when::{self, Span};

/// One long poll.
const POLL_S: u64 = 25;

/// Waits until the request is decided; an error unless it was approved.
pub(super) async fn wait(
    c: &Context,
    client: &Client,
    request: Request,
    at_most: Span,
) -> Result<(), Trouble> {
    c.out.note(format!(
        "filed {}: {} on {} for {}",
        request.id,
        request.role,
        request.resource,
        when::span(request.duration_s)
    ))?;
    let give_up = when::now().saturating_add(at_most.0.saturating_mul(1_000_000));
    let spinner = spinner(c);
    let mut request = request;
    let mut asked_of = Vec::new();
    while request.status == RequestStatus::Pending {
        let people = approvers(&request);
        if people != asked_of {
            let who = if people.is_empty() {
                "nobody who could approve it now".to_owned()
            } else {
                people.join(" or ")
            };
            let words = format!("waiting for {who} (they run: daypass approve {})", request.id);
            if spinner.is_hidden() {
                c.out.note(&words)?
            } else {
                spinner.set_message(words)
            }
            asked_of = people;
        }
        let left_s = give_up.saturating_sub(when::now()) / 1_000_000;
        if left_s == 0 {
            spinner.finish_and_clear();
            return Err(Trouble::Waited {
                what: format!("nobody has decided {} yet", request.id),
                hint: format!(
                    "run the same command to go on waiting, or take it back: daypass withdraw {}",
                    request.id
                ),
            });
        }
        let wait_s = left_s.min(POLL_S);
        let path = format!("/v1/requests/{}", segment(&request.id));
        let query = [("wait_s", wait_s)];
        let poll = client.query(&path, &query, Duration::from_secs(wait_s));
        request = tokio::select! {
            polled = poll => polled?,
            _ = tokio::signal::ctrl_c() => {
                spinner.finish_and_clear();
                return Err(Trouble::Waited {
                    what: format!("stopped waiting; {} stays filed", request.id),
                    hint: format!("run the same command to go on waiting, or take it back: daypass withdraw {}", request.id),
                });
            }
        };
    }
    spinner.finish_and_clear();
    decided(c, &request)
}

fn decided(c: &Context, request: &Request) -> Result<(), Trouble> {
    let turned_down = |what: String| {
        let hint = format!("ask again when things have changed: daypass connect {}", request.resource);
        Err(Trouble::TurnedDown { what, hint })
    };
    match request.status {
        RequestStatus::Approved | RequestStatus::Pending => {
            let by: Vec<&str> = request
                .steps
                .iter()
                .flat_map(|step| &step.approvals)
                .map(|approval| approval.person.as_str())
                .collect();
            let by = if by.is_empty() { "policy".to_owned() } else { by.join(" and ") };
            c.out.note(format!("✓ approved by {by}"))
        }
        RequestStatus::Denied => {
            let who = request.denied_by.as_deref().unwrap_or("an approver");
            let why = request.comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
            turned_down(format!("{who} denied {}{why}", request.id))
        }
        RequestStatus::Withdrawn => turned_down(format!("{} was withdrawn", request.id)),
        RequestStatus::Expired => turned_down(format!("nobody decided {} in time, it expired", request.id)),
    }
}

fn spinner(c: &Context) -> ProgressBar {
    if c.out.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

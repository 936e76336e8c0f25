//! Asking and deciding: resources, request, requests, approve, deny, withdraw.

use daypass_api::hidden::Hidden;
use daypass_api::requests::{ApproveRequest, Because, Narrow, NewRequest, Request, RequestStatus, Step};
use daypass_api::resources::{Resource, RoleOffer};
use daypass_api::{Done, List};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::args::access::{ApproveArgs, AskArgs, DenyArgs, RequestArgs, RequestsArgs, WithdrawArgs};
use crate::client::{Client, segment};
use crate::out::{Out, short};
use crate::trouble::Trouble;
use crate::{ask, when};

pub(crate) async fn resources(c: &Context) -> Result<(), Trouble> {
    let list: List<Resource> = c.client()?.fetch("/v1/resources").await?;
    let row = |resource: &Resource| {
        let roles: Vec<String> = resource.roles.iter().map(role_words).collect();
        let access = resource.access.as_ref();
        vec![
            resource.name.clone(),
            resource.kind.clone(),
            resource.database.clone(),
            if roles.is_empty() { "nothing".to_owned() } else { roles.join("\n") },
            access
                .map(|a| format!("{} until {}", a.classes.join(", "), c.out.clock(a.ends_at)))
                .unwrap_or_default(),
        ]
    };
    c.out.list(
        &list.items,
        &["resource", "kind", "database", "you may ask for", "you have"],
        row,
        "no resources",
    )
}

fn role_words(role: &RoleOffer) -> String {
    let steps =
        if role.steps.is_empty() { "nobody has to approve".to_owned() } else { role.steps.join(", then ") };
    format!("{}: {}; up to {}; {steps}", role.name, role.classes.join(", "), when::span(role.max_duration_s))
}

pub(crate) async fn request(c: &Context, args: &RequestArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let (resource, role) = target(&args.resource, args.ask.role.as_deref());
    let filed = file(&client, &resource, role, &args.ask).await?;
    if c.out.is_json() {
        return c.out.json(&filed);
    }
    c.out.line(format!("filed {}", filed.id))?;
    describe(&c.out, &filed)
}

/// Splits `resource/role`; the flag wins.
pub(crate) fn target(text: &str, role: Option<&str>) -> (String, Option<String>) {
    let (resource, named) = match text.split_once('/') {
        Some((resource, role)) => (resource, Some(role)),
        None => (text, None),
    };
    (resource.to_owned(), role.or(named).map(str::to_owned))
}

/// Files a request, asking at the terminal for what the flags do not say.
pub(crate) async fn file(
    client: &Client,
    resource: &str,
    role: Option<String>,
    ask: &AskArgs,
) -> Result<Request, Trouble> {
    let known: List<Resource> = client.fetch("/v1/resources").await?;
    let found = known.items.into_iter().find(|r| r.name == resource).ok_or_else(|| {
        Trouble::missing(
            format!("there is no resource `{resource}` for you"),
            "`daypass resources` lists them",
        )
    })?;
    let role = choose_role(&found, role)?;
    let reason = match &ask.reason {
        Some(reason) => Some(reason.clone()),
        None if ask::somebody_there() => Some(ask::text("Why do you need it?", None, "--reason")?),
        None if role.reason_required => return Err(no_reason()),
        None => None,
    };
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if role.reason_required && reason.is_none() {
        return Err(no_reason());
    }
    let duration_s = match ask.span {
        Some(span) => Some(span.0),
        None if ask::somebody_there() => Some(ask_span(role)?),
        None => None,
    };
    if let Some(asked) = duration_s.filter(|asked| *asked > role.max_duration_s) {
        return Err(Trouble::input(
            format!(
                "`{}` gives at most {}, you asked for {}",
                role.name,
                when::span(role.max_duration_s),
                when::span(asked)
            ),
            format!("ask with `--for {}`", when::span(role.max_duration_s).replace(' ', "")),
        ));
    }
    let new = NewRequest {
        resource: found.name.clone(),
        role: Some(role.name.clone()),
        reason,
        duration_s,
        starts_at: None,
    };
    client.post("/v1/requests", &new).await
}

fn no_reason() -> Trouble {
    Trouble::input(
        "a reason is needed",
        "say with `--reason` why you need it; those who approve will read it",
    )
}

fn choose_role(resource: &Resource, wanted: Option<String>) -> Result<&RoleOffer, Trouble> {
    let names = || resource.roles.iter().map(|role| role.name.clone()).collect::<Vec<_>>();
    let wanted = match (wanted, resource.roles.as_slice()) {
        (Some(wanted), _) => wanted,
        (None, []) => {
            return Err(Trouble::TurnedDown {
                what: format!("there is no role that you may ask for on `{}`", resource.name),
                hint: "talk to your lead or sponsor, who may put you into a team that may ask".to_owned(),
            });
        }
        (None, [only]) => only.name.clone(),
        (None, _) if ask::somebody_there() => ask::choice("Which role?", names(), "--role")?,
        (None, _) => {
            return Err(Trouble::input(
                format!("`{}` has more than one role for you: {}", resource.name, names().join(", ")),
                "choose one with `--role`",
            ));
        }
    };
    resource.roles.iter().find(|role| role.name == wanted).ok_or_else(|| {
        Trouble::input(
            format!("there is no role `{wanted}` for you on `{}`", resource.name),
            format!("there are: {}", names().join(", ")),
        )
    })
}

fn ask_span(role: &RoleOffer) -> Result<u64, Trouble> {
    let default = when::span(role.default_duration_s).replace(' ', "");
    let question = format!("For how long? (at most {})", when::span(role.max_duration_s));
    let answer = ask::text(&question, Some(&default), "--for")?;
    when::parse_span(&answer)
        .map(|span| span.0)
        .map_err(|hint| Trouble::input(format!("`{answer}` is no length of time"), hint))
}

/// Says what was asked and who may approve it.
pub(crate) fn describe(out: &Out, request: &Request) -> Result<(), Trouble> {
    out.facts(&[
        ("request", format!("{} ({})", request.id, status_words(request.status))),
        ("who", request.person.clone()),
        ("what", format!("{} on {}: {}", request.role, request.resource, request.classes.join(", "))),
        ("why", request.reason.clone().unwrap_or_default()),
        ("how long", when::span(request.duration_s)),
        ("could break", request.could_break.join("\n")),
        ("held for release", request.holds.join(", ")),
        ("approval", request.steps.iter().map(step_words).collect::<Vec<_>>().join("\n")),
        ("answer by", out.clock(request.expires_at)),
        ("grant", request.grant.clone().unwrap_or_default()),
    ])
}

fn step_words(step: &Step) -> String {
    let by: Vec<&str> = step.approvals.iter().map(|approval| approval.person.as_str()).collect();
    match (step.status.as_str(), by.is_empty(), step.candidates.is_empty()) {
        (status, false, _) => format!("{}: {status} by {}", step.words, by.join(", ")),
        (_, true, false) => format!("{}: can be given by {}", step.words, step.candidates.join(", ")),
        (status, true, true) => format!("{}: {status}", step.words),
    }
}

/// Who could approve the open step.
pub(crate) fn approvers(request: &Request) -> Vec<String> {
    let mut people: Vec<String> = request
        .steps
        .iter()
        .filter(|step| step.status == "open")
        .flat_map(|step| step.candidates.clone())
        .collect();
    people.sort();
    people.dedup();
    people
}

pub(crate) fn status_words(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Pending => "pending",
        RequestStatus::Approved => "approved",
        RequestStatus::Denied => "denied",
        RequestStatus::Withdrawn => "withdrawn",
        RequestStatus::Expired => "expired",
    }
}

pub(crate) async fn requests(c: &Context, args: &RequestsArgs) -> Result<(), Trouble> {
    let mut list: List<Request> = c.client()?.fetch("/v1/requests").await?;
    if !args.all {
        list.items.retain(|request| request.status == RequestStatus::Pending);
    }
    let row = |request: &Request| {
        let next = if request.can_approve { "you".to_owned() } else { approvers(request).join(", ") };
        vec![
            request.id.clone(),
            request.person.clone(),
            format!("{} ({})", request.resource, request.role),
            when::span(request.duration_s),
            short(request.reason.as_deref().unwrap_or_default(), 200),
            short(&request.could_break.join("; "), 120),
            status_words(request.status).to_owned(),
            if request.status == RequestStatus::Pending { next } else { String::new() },
        ]
    };
    let headers = ["request", "who", "what", "how long", "why", "could break", "status", "waits for"];
    c.out.list(&list.items, &headers, row, "no requests are waiting; `--all` shows the decided ones")
}

pub(crate) async fn approve(c: &Context, args: ApproveArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let path = format!("/v1/requests/{}", segment(&args.request));
    let asked: Request = client.fetch(&path).await?;
    if !c.out.is_json() {
        describe(&c.out, &asked)?;
    }
    let narrow = args.span.map(|span| Narrow { duration_s: Some(span.0), classes: None });
    let body = |totp| ApproveRequest { narrow: narrow.clone(), comment: args.comment.clone(), totp };
    let decided: Request = with_factor(&client, &format!("{path}/approve"), args.code, body).await?;
    if c.out.is_json() {
        return c.out.json(&decided);
    }
    match &decided.grant {
        Some(grant) => c.out.line(format!("✓ approved; {} has {grant} now", decided.person)),
        None => c.out.line(format!("✓ approved; it still waits for {}", approvers(&decided).join(", "))),
    }
}

pub(crate) async fn deny(c: &Context, args: DenyArgs) -> Result<(), Trouble> {
    let path = format!("/v1/requests/{}/deny", segment(&args.request));
    let body = Because { reason: args.comment, totp: None };
    let decided: Request = c.client()?.post(&path, &body).await?;
    told(c, &decided, &format!("denied {}", decided.id))
}

pub(crate) async fn withdraw(c: &Context, args: &WithdrawArgs) -> Result<(), Trouble> {
    let path = format!("/v1/requests/{}/withdraw", segment(&args.request));
    let decided: Request = c.client()?.post(&path, &Because::default()).await?;
    told(c, &decided, &format!("withdrew {}", decided.id))
}

/// Prints an answer: as JSON, or as a sentence.
pub(crate) fn told(c: &Context, answer: &impl Serialize, words: &str) -> Result<(), Trouble> {
    if c.out.is_json() { c.out.json(answer) } else { c.out.line(words) }
}

/// Posts something that needs a fresh second factor: asks for a code when the control plane says the last one is too old.
pub(crate) async fn with_factor<B: Serialize, T: DeserializeOwned>(
    client: &Client,
    path: &str,
    code: Option<String>,
    body: impl Fn(Option<Hidden>) -> B,
) -> Result<T, Trouble> {
    let given = code.is_some();
    match client.post(path, &body(code.map(Hidden))).await {
        Err(Trouble::Api(refusal)) if refusal.code == "factor-too-old" && !given && ask::somebody_there() => {
            let code = ask::text("Code of your second factor:", None, "--code")?;
            client.post(path, &body(Some(Hidden(code)))).await
        }
        Err(Trouble::Api(mut refusal)) if refusal.code == "factor-too-old" && !given => {
            refusal.hint = Some("give a code of your second factor with `--code`".to_owned());
            Err(Trouble::Api(refusal))
        }
        answer => answer,
    }
}

/// Posts something whose answer says nothing but yes.
pub(crate) async fn post_done(client: &Client, path: &str, body: &impl Serialize) -> Result<(), Trouble> {
    client.post::<Option<Done>>(path, body).await.map(|_| ())
}

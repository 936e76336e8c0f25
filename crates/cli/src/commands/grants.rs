//! What you have: status, extend, done, revoke, pass.

use daypass_api::List;
use daypass_api::requests::{Because, Extended, Grant, GrantStatus, Pass, Request, RequestStatus};
use serde_json::json;

use super::Context;
use super::requests::{approvers, told};
use crate::args::access::{DoneArgs, ExtendArgs, PassArgs, PassFormat, RevokeArgs};
use crate::client::{Client, segment};
use crate::home;
use crate::trouble::Trouble;
use crate::when;

pub(crate) async fn status(c: &Context) -> Result<(), Trouble> {
    let client = c.client()?;
    let grants: List<Grant> = client.fetch("/v1/grants").await?;
    let requests: List<Request> = client.fetch("/v1/requests").await?;
    let grants: Vec<Grant> =
        grants.items.into_iter().filter(|g| g.person == client.person() && open(g)).collect();
    let (mine, for_me): (Vec<Request>, Vec<Request>) = requests
        .items
        .into_iter()
        .filter(|r| r.status == RequestStatus::Pending)
        .partition(|r| r.person == client.person());
    let for_me: Vec<Request> = for_me.into_iter().filter(|r| r.can_approve).collect();
    if c.out.is_json() {
        return c.out.json(&json!({"grants": grants, "pending": mine, "to_approve": for_me}));
    }
    let now = when::now();
    let row = |grant: &Grant| {
        vec![
            grant.id.clone(),
            grant.resource.clone(),
            grant.role.clone(),
            grant.classes.join(", "),
            c.out.clock(grant.ends_at),
            when::span(grant.ends_at.saturating_sub(now) / 1_000_000),
            extension_words(grant),
            grant.sessions.len().to_string(),
        ]
    };
    let headers = ["grant", "resource", "role", "you may", "until", "left", "extension", "sessions"];
    c.out.list(&grants, &headers, row, "you have no access now; `daypass connect <resource>` asks for it")?;
    for request in &mine {
        c.out.line(format!("{} waits for {}", request.id, approvers(request).join(", ")))?;
    }
    for request in &for_me {
        c.out.line(format!(
            "{} of {} waits for you: daypass approve {}",
            request.id, request.person, request.id
        ))?;
    }
    Ok(())
}

fn extension_words(grant: &Grant) -> String {
    grant.extension.as_ref().map_or_else(String::new, |offer| {
        let approval = if offer.needs_approval { ", when approved" } else { "" };
        format!("{} more{approval}", when::span(offer.by_s))
    })
}

fn open(grant: &Grant) -> bool {
    matches!(grant.status, GrantStatus::Active | GrantStatus::Scheduled)
}

/// This person's active grants, the one that ends last first.
pub(crate) async fn active(client: &Client) -> Result<Vec<Grant>, Trouble> {
    let list: List<Grant> = client.fetch("/v1/grants").await?;
    let mut mine: Vec<Grant> = list
        .items
        .into_iter()
        .filter(|grant| grant.person == client.person() && grant.status == GrantStatus::Active)
        .collect();
    mine.sort_by_key(|grant| std::cmp::Reverse(grant.ends_at));
    Ok(mine)
}

/// The grant that `target` names: its id, its resource, or the only one there is.
async fn pick(client: &Client, target: Option<&str>) -> Result<Grant, Trouble> {
    let grants = active(client).await?;
    let named = |grant: &&Grant| target.is_none_or(|t| grant.id == t || grant.resource == t);
    let mut fitting = grants.iter().filter(named);
    match (fitting.next(), target) {
        (Some(first), Some(_)) => Ok(first.clone()),
        (Some(first), None) if fitting.all(|other| other.resource == first.resource) => Ok(first.clone()),
        (Some(_), None) => {
            let names: Vec<&str> = grants.iter().map(|grant| grant.id.as_str()).collect();
            Err(Trouble::input(
                format!("you have more than one grant: {}", names.join(", ")),
                "name one; `daypass status` shows them",
            ))
        }
        (None, Some(target)) => Err(Trouble::missing(
            format!("you have no active grant `{target}`"),
            "`daypass status` shows what you have, `daypass connect` asks for more",
        )),
        (None, None) => {
            Err(Trouble::missing("you have no active grant", "`daypass connect <resource>` asks for one"))
        }
    }
}

pub(crate) async fn extend(c: &Context, args: &ExtendArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let grant = pick(&client, args.target.as_deref()).await?;
    let extended = extend_grant(&client, &grant.id, args.reason.clone()).await?;
    told(c, &extended, &extended_words(c, &extended))
}

pub(crate) async fn extend_grant(
    client: &Client,
    grant: &str,
    reason: Option<String>,
) -> Result<Extended, Trouble> {
    client.post(&format!("/v1/grants/{}/extend", segment(grant)), &Because { reason, totp: None }).await
}

pub(crate) fn extended_words(c: &Context, extended: &Extended) -> String {
    match &extended.grant {
        Some(grant) => format!("extended: {} goes on until {}", grant.resource, c.out.clock(grant.ends_at)),
        None => {
            format!("asked: {} waits for an approval; sessions go on until the old end", extended.request)
        }
    }
}

pub(crate) async fn done(c: &Context, args: &DoneArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let grant = pick(&client, args.target.as_deref()).await?;
    let path = format!("/v1/grants/{}/done", segment(&grant.id));
    let ended: Grant = client.post(&path, &Because::default()).await?;
    told(c, &ended, &format!("handed {} back; its sessions are closed", ended.id))
}

pub(crate) async fn revoke(c: &Context, args: RevokeArgs) -> Result<(), Trouble> {
    let path = format!("/v1/grants/{}/revoke", segment(&args.grant));
    let ended: Grant = c.client()?.post(&path, &Because { reason: Some(args.reason), totp: None }).await?;
    told(c, &ended, &format!("revoked {} of {}; its sessions are closed", ended.id, ended.person))
}

pub(crate) async fn pass(c: &Context, args: &PassArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let grant = pick(&client, Some(&args.target)).await?;
    let pass = issue(&client, &grant.id).await?;
    if c.out.is_json() {
        return c.out.json(&pass);
    }
    let host = gateway_host(&client, &pass);
    let database = args.database.as_deref().unwrap_or(&pass.database);
    let authority = match &pass.ca_pem {
        Some(pem) => {
            let path = c.home.gateway_authority();
            home::write_private(&path, pem.as_bytes())?;
            Some(path.display().to_string())
        }
        None => None,
    };
    c.out.note(format!("this pass works until {}; whoever has it is you", c.out.clock(pass.ends_at)))?;
    c.out.line(written(args.format, &pass, &host, database, authority.as_deref()))
}

pub(crate) async fn issue(client: &Client, grant: &str) -> Result<Pass, Trouble> {
    client.post(&format!("/v1/grants/{}/passes", segment(grant)), &json!({})).await
}

/// The gateway's host: what the server says, else where its API is.
pub(crate) fn gateway_host(client: &Client, pass: &Pass) -> String {
    pass.host.clone().unwrap_or_else(|| {
        let rest = client.url().split_once("://").map_or(client.url(), |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        host.trim_matches(['[', ']']).to_owned()
    })
}

/// The pass in one of the forms that tools read.
fn written(format: PassFormat, pass: &Pass, host: &str, database: &str, authority: Option<&str>) -> String {
    let token = pass.token.expose();
    let (user, port) = (&pass.user, pass.port);
    match format {
        PassFormat::Url => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let root = authority.map_or_else(
                || "&sslrootcert=system".to_owned(),
                |path| format!("&sslrootcert={}", segment(path).replace("%2F", "/")),
            );
            let (user, token, database) = (segment(user), segment(token), segment(database));
            format!("postgresql://{user}:{token}@{host}:{port}/{database}?sslmode=verify-full{root}")
        }
        PassFormat::Env => [
            ("PGHOST", host),
            ("PGPORT", &port.to_string()),
            ("PGUSER", user),
            ("PGPASSWORD", token),
            ("PGDATABASE", database),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", authority.unwrap_or("system")),
        ]
        .map(|(name, value)| format!("export {name}='{}'", value.replace('\'', r"'\''")))
        .join("\n"),
        PassFormat::Pgpass => {
            let field = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
            format!("{}:{port}:{}:{}:{}", field(host), field(database), field(user), field(token))
        }
    }
}

#[cfg(test)]
mod tests {
    use daypass_api::hidden::Hidden;

    use super::*;

    fn pass() -> Pass {
        Pass {
            id: "P-1".into(),
            grant: "G-1".into(),
            resource: "prod-orders".into(),
            token: Hidden("dp_abc".into()),
            user: "prod-orders/orders-fix".into(),
            host: None,
            port: 5440,
            database: "orders".into(),
            ends_at: 0,
            ca_pem: None,
        }
    }

    #[test]
    fn a_pass_is_written_for_tools() {
        insta::assert_snapshot!(written(PassFormat::Url, &pass(), "127.0.0.1", "orders", Some("/home/bob/gateway ca.pem")), @"postgresql://prod-orders%2Forders-fix:dp_abc@127.0.0.1:5440/orders?sslmode=verify-full&sslrootcert=/home/bob/gateway%20ca.pem");
        insta::assert_snapshot!(written(PassFormat::Env, &pass(), "gw.example", "o'rders", None), @r#"
    export PGHOST='gw.example'
    export PGPORT='5440'
    export PGUSER='prod-orders/orders-fix'
    export PGPASSWORD='dp_abc'
    export PGDATABASE='o'\''rders'
    export PGSSLMODE='verify-full'
    export PGSSLROOTCERT='system'
"#);
        insta::assert_snapshot!(written(PassFormat::Pgpass, &pass(), "::1", "orders", None), @r#"\:\:1:5440:orders:prod-orders/orders-fix:dp_abc"#);
    }

    #[test]
    fn an_extension_that_waits_says_what_stays_as_it_is() {
        let out = crate::out::Out::new(false);
        let c = Context { home: home::Home::at(std::path::Path::new("home")), out, server: None };
        let extended = Extended { request: "R-2".into(), grant: None };
        insta::assert_snapshot!(extended_words(&c, &extended), @"asked: R-2 waits for an approval; sessions go on until the old end");
    }
}

//! People and the credentials of targets.

use std::fs;

use daypass_api::hidden::Hidden;
use daypass_api::people::{Invitation, NewPerson, Person, PersonKind, PutSecret, SecretName, SuspendRequest};
use daypass_api::{Done, List};

use super::Context;
use super::requests::{post_done, told};
use crate::args::operate::{
    PersonAddArgs, PersonKind as Kind, PersonRef, SecretRef, SecretSetArgs, SuspendArgs,
};
use crate::ask;
use crate::client::segment;
use crate::trouble::Trouble;

pub(crate) async fn add(c: &Context, args: Box<PersonAddArgs>) -> Result<(), Trouble> {
    let client = c.client()?;
    let new = NewPerson {
        id: args.person.clone(),
        kind: match args.kind {
            Kind::Staff => PersonKind::Staff,
            Kind::Contractor => PersonKind::Contractor,
        },
        name: Some(args.name),
        email: args.email,
        manager: args.manager,
        organisation: args.organisation,
        sponsor: args.sponsor,
        tenure_starts_at: args.tenure_start.map(|moment| moment.0),
        tenure_ends_at: args.tenure_end.map(|moment| moment.0),
        time_zone: args.time_zone,
        hours: args.hours,
        alias_of: args.alias_of,
    };
    let invitation: Invitation = client.post("/v1/people", &new).await?;
    invited(c, client.url(), &invitation)
}

pub(crate) async fn invite(c: &Context, args: &PersonRef) -> Result<(), Trouble> {
    let client = c.client()?;
    let path = format!("/v1/people/{}/invite", segment(&args.person));
    let invitation: Invitation = client.post(&path, &Done {}).await?;
    invited(c, client.url(), &invitation)
}

fn invited(c: &Context, url: &str, invitation: &Invitation) -> Result<(), Trouble> {
    if c.out.is_json() {
        return c.out.json(invitation);
    }
    c.out.line(format!(
        "{} can enroll until {} with:",
        invitation.person,
        c.out.clock(invitation.ends_at)
    ))?;
    c.out.line(format!("  daypass enroll {} {} --url {url}", invitation.person, invitation.code.expose()))?;
    c.out.note("send it on a way that only this person reads; it works once")
}

pub(crate) async fn list(c: &Context) -> Result<(), Trouble> {
    let list: List<Person> = c.client()?.fetch("/v1/people").await?;
    let row = |person: &Person| {
        let kind = match person.kind {
            PersonKind::Staff => "staff".to_owned(),
            PersonKind::Contractor => {
                format!("contractor of {}", person.organisation.as_deref().unwrap_or("nobody"))
            }
        };
        vec![
            person.id.clone(),
            person.name.clone().unwrap_or_default(),
            kind,
            person.status.clone(),
            person.teams.join(", "),
            person.manager.clone().or_else(|| person.sponsor.clone()).unwrap_or_default(),
            person.tenure_ends_at.map(|at| c.out.clock(at)).unwrap_or_default(),
        ]
    };
    let headers = ["person", "name", "kind", "state", "teams", "manager or sponsor", "tenure ends"];
    c.out.list(&list.items, &headers, row, "nobody is here yet; `daypass person add` adds people")
}

pub(crate) async fn suspend(c: &Context, args: SuspendArgs) -> Result<(), Trouble> {
    let path = format!("/v1/people/{}/suspend", segment(&args.person));
    post_done(&c.client()?, &path, &SuspendRequest { reason: args.reason }).await?;
    told(c, &serde_json::json!({"suspended": args.person}), &format!("suspended {}", args.person))
}

pub(crate) async fn set_secret(c: &Context, args: SecretSetArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let file = |path: &Option<std::path::PathBuf>| -> Result<Option<Hidden>, Trouble> {
        let Some(path) = path else { return Ok(None) };
        fs::read_to_string(path).map(|text| Some(Hidden(text))).map_err(Trouble::file(path, "read"))
    };
    let password = if args.no_password || (args.client_cert.is_some() && !args.password_stdin) {
        None
    } else {
        Some(Hidden((*ask::secret("Password at the target:", args.password_stdin)?).clone()))
    };
    let secret = PutSecret {
        user: args.user,
        password,
        client_cert_pem: file(&args.client_cert)?,
        client_key_pem: file(&args.client_key)?,
    };
    client.put::<Option<Done>>(&format!("/v1/secrets/{}", segment(&args.name)), &secret).await?;
    told(c, &serde_json::json!({"stored": args.name}), &format!("stored {}", args.name))
}

pub(crate) async fn list_secrets(c: &Context) -> Result<(), Trouble> {
    let list: List<SecretName> = c.client()?.fetch("/v1/secrets").await?;
    c.out.list(&list.items, &["secret"], |secret| vec![secret.name.clone()], "no credentials are stored")
}

pub(crate) async fn remove_secret(c: &Context, args: &SecretRef) -> Result<(), Trouble> {
    c.client()?.delete::<Option<Done>>(&format!("/v1/secrets/{}", segment(&args.name))).await?;
    told(c, &serde_json::json!({"removed": args.name}), &format!("removed {}", args.name))
}

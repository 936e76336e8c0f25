//! `daypass connect`: from "I need in" to a prompt. Uses access that is there, else asks, waits, then opens the way.
//!
//! Reads: `connect` is the table of contents; `keeper` watches the end of access; `crate::relay` adds TLS and the pass.

mod keeper;
mod listen;
mod psql;
mod waiting;

use std::sync::{Arc, RwLock};

use daypass_api::List;
use daypass_api::requests::{Grant, Pass, Request, RequestStatus};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use self::keeper::Kept;
use super::Context;
use super::grants::{active, gateway_host, issue};
use super::requests::{file, target};
use crate::args::access::ConnectArgs;
use crate::client::Client;
use crate::relay::Route;
use crate::trouble::Trouble;
use crate::{trust, when};

pub(crate) async fn connect(c: &Context, args: ConnectArgs) -> Result<(), Trouble> {
    let client = c.client()?;
    let (resource, role) = target(&args.resource, args.ask.role.as_deref());
    let grant = match usable(&client, &resource, role.as_deref()).await? {
        Some(grant) => grant,
        None if args.no_request => return Err(no_access(&resource)),
        None => ask_and_wait(c, &client, &resource, role.clone(), &args).await?,
    };
    let pass = issue(&client, &grant.id).await?;
    let left = when::span(grant.ends_at.saturating_sub(when::now()) / 1_000_000);
    c.out.note(format!("✓ {} until {} ({left} left)", grant.resource, c.out.clock(grant.ends_at)))?;
    let (tell, notices) = tokio::sync::watch::channel(None);
    let route = Route {
        notices,
        local_password: None,
        database: args.database.clone().unwrap_or_else(|| pass.database.clone()),
        ..route(c, &client, &pass)?
    };
    let kept = Kept::new(client, grant, role, route.pass.clone(), tell);
    if args.listen || args.port.is_some() {
        listen::listen(c, route, kept, args.port.unwrap_or(0)).await
    } else {
        psql::psql(c, route, kept, &args).await
    }
}

fn no_access(resource: &str) -> Trouble {
    Trouble::TurnedDown {
        what: format!("you have no access to `{resource}` now"),
        hint: format!("ask for it: daypass connect {resource} --reason \"…\""),
    }
}

/// The active grant on `resource` that ends last.
async fn usable(client: &Client, resource: &str, role: Option<&str>) -> Result<Option<Grant>, Trouble> {
    let fits = |grant: &Grant| grant.resource == resource && role.is_none_or(|role| grant.role == role);
    Ok(active(client).await?.into_iter().find(fits))
}

/// Files a request, or picks up the one that waits already, and waits for its end.
async fn ask_and_wait(
    c: &Context,
    client: &Client,
    resource: &str,
    role: Option<String>,
    args: &ConnectArgs,
) -> Result<Grant, Trouble> {
    let waiting: List<Request> = client.fetch("/v1/requests").await?;
    let mine = waiting.items.into_iter().find(|request| {
        request.status == RequestStatus::Pending
            && request.person == client.person()
            && request.resource == resource
            && request.extends.is_none()
            && role.as_ref().is_none_or(|role| *role == request.role)
    });
    let request = match mine {
        Some(request) => request,
        None => {
            c.out.note(format!("You have no access to {resource} now, so this asks for it."))?;
            file(client, resource, role.clone(), &args.ask).await?
        }
    };
    waiting::wait(c, client, request, args.wait).await?;
    usable(client, resource, role.as_deref()).await?.ok_or_else(|| no_access(resource))
}

/// Where the relay goes with this pass.
fn route(c: &Context, client: &Client, pass: &Pass) -> Result<Route, Trouble> {
    let host = gateway_host(client, pass);
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        Trouble::missing(
            format!("`{host}` is no host name"),
            "set `public_host` in the configuration of the gateway",
        )
    })?;
    let authority = match &pass.ca_pem {
        Some(pem) => pem.clone().into_bytes(),
        None => c.home.authority(client.url())?.ok_or(Trouble::NotLoggedIn)?,
    };

    Ok(Route {
        gateway: if host.contains(':') {
            format!("[{host}]:{}", pass.port)
        } else {
            format!("{host}:{}", pass.port)
        },
        name,
        tls: Arc::new(trust::client_config(&authority)?),
        user: pass.user.clone(),
        database: pass.database.clone(),
        pass: Arc::new(RwLock::new(Zeroizing::new(pass.token.expose().to_owned()))),
        local_password: None,
        notices: tokio::sync::watch::channel(None).1,
    })
}

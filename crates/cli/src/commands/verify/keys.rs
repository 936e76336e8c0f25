//! Which key a log must be signed with. Never taken from what is being checked: given, from the auditor's policy,
//! remembered from a login, or asked of the control plane that we trust over TLS.

use std::collections::BTreeMap;

use daypass_api::health::Health;
use daypass_ledger::note::VerifierKey;
use daypass_ledger::policy::Policy as AuditorPolicy;

use super::{Context, parse_key};
use crate::client::Client;
use crate::home::{self, Home, file_name};
use crate::trouble::Trouble;

/// Keys by origin.
#[derive(Debug, Default)]
pub(crate) struct Keys(BTreeMap<String, VerifierKey>);

impl Keys {
    pub(crate) async fn gather(
        c: &Context,
        given: &[String],
        auditor: Option<&AuditorPolicy>,
    ) -> Result<Self, Trouble> {
        let mut keys = Self::default();
        for text in given {
            keys.add(parse_key(text)?);
        }
        for log in auditor.map(AuditorPolicy::logs).unwrap_or_default() {
            keys.add(log.key.clone());
        }
        for key in remembered(&c.home)? {
            keys.add(key);
        }
        if keys.0.is_empty()
            && let Ok(client) = c.client()
        {
            remember(c, &client).await?;
            for key in remembered(&c.home)? {
                keys.add(key);
            }
        }
        Ok(keys)
    }

    /// The first key that is known for an origin stays: what was given wins over what was remembered.
    fn add(&mut self, key: VerifierKey) {
        self.0.entry(key.name().to_owned()).or_insert(key);
    }

    pub(crate) fn key(&self, origin: &str) -> Option<&VerifierKey> {
        self.0.get(origin)
    }

    /// Paths of all logs that a control plane publishes.
    pub(crate) async fn published(&self, client: &Client) -> Result<Vec<String>, Trouble> {
        let health: Health = client.fetch("/v1/health").await?;
        let paths: Vec<String> =
            health.logs.into_iter().map(|log| log.path.trim_end_matches('/').to_owned()).collect();
        if paths.is_empty() {
            return Err(Trouble::missing(
                format!("`{}` names no logs to you", client.url()),
                "name one: `daypass verify https://host:8440/log/control`",
            ));
        }
        Ok(paths)
    }
}

/// Stores the keys of the logs of a control plane that was authenticated over TLS. A key that changed is an error.
pub(crate) async fn remember(c: &Context, client: &Client) -> Result<(), Trouble> {
    let health: Health = client.fetch("/v1/health").await?;
    for log in health.logs {
        let path = c.home.remembered().join(format!("{}.key", file_name(&log.origin)));
        match home::read(&path)? {
            Some(known) if String::from_utf8_lossy(&known).trim() != log.verifier_key.trim() => {
                return Err(Trouble::input(
                    format!("the log `{}` has another key than when it was seen first", log.origin),
                    format!(
                        "ask an auditor whether it was changed on purpose; if so, remove `{}`",
                        path.display()
                    ),
                ));
            }
            Some(_) => {}
            None => home::write_private(&path, log.verifier_key.trim().as_bytes())?,
        }
    }
    Ok(())
}

fn remembered(home: &Home) -> Result<Vec<VerifierKey>, Trouble> {
    let Ok(entries) = std::fs::read_dir(home.remembered()) else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.extension().is_some_and(|extension| extension == "key")
            && let Some(text) = home::read(&path)?
        {
            keys.push(parse_key(&String::from_utf8_lossy(&text))?);
        }
    }
    Ok(keys)
}

//! Watches how long the access still lasts: warns before the end, extends when asked, brings a new pass after an extension.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use daypass_api::requests::{Extended, Grant};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::super::grants::{extend_grant, issue};
use super::usable;
use crate::client::Client;
use crate::out::Out;
use crate::trouble::Trouble;
use crate::when;

/// When to warn, in seconds before the end.
const WARNINGS_S: [u64; 2] = [600, 60];
/// How often the end is asked for.
const LOOK_EVERY_S: u64 = 15;

/// Access that is being kept an eye on.
#[derive(Debug)]
pub(super) struct Kept {
    client: Client,
    grant: Grant,
    /// The role, when one was asked for by name.
    role: Option<String>,
    pass: Arc<RwLock<Zeroizing<String>>>,
    /// Words for whoever uses the relay.
    tell: watch::Sender<Option<Arc<str>>>,
    /// The smallest warning given for this end; warnings that were due before we came count as given.
    warned_s: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The end is near; seconds left.
    Warn { left_s: u64, ends_at: u64 },
    /// The end moved away.
    Extended { ends_at: u64 },
    /// Nothing is left.
    Over,
}

impl Kept {
    pub(super) fn new(
        client: Client,
        grant: Grant,
        role: Option<String>,
        pass: Arc<RwLock<Zeroizing<String>>>,
        tell: watch::Sender<Option<Arc<str>>>,
    ) -> Self {
        let left_s = left_s(grant.ends_at, when::now());
        Self { client, grant, role, pass, tell, warned_s: already_due(left_s) }
    }

    /// The grant that is used now.
    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Waits until something is worth telling.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            let left = left_s(self.grant.ends_at, when::now());
            if let Some(at) = due(left, self.warned_s) {
                self.warned_s = at;
                return Happened::Warn { left_s: left, ends_at: self.grant.ends_at };
            }
            let until_warning =
                WARNINGS_S.iter().filter(|w| **w < self.warned_s).map(|w| left.saturating_sub(*w)).min();
            let nap_s = until_warning.unwrap_or(LOOK_EVERY_S).min(left).clamp(1, LOOK_EVERY_S);
            tokio::time::sleep(Duration::from_secs(nap_s)).await;
            match usable(&self.client, &self.grant.resource, self.role.as_deref()).await {
                Ok(Some(grant)) if grant.ends_at > self.grant.ends_at => {
                    self.moved_to(grant).await;
                    return Happened::Extended { ends_at: self.grant.ends_at };
                }
                Ok(Some(grant)) => self.grant = grant,
                Ok(None) => return Happened::Over,
                // The control plane may be away for a while; the gateway decides about sessions anyway.
                Err(_) if left_s(self.grant.ends_at, when::now()) == 0 => return Happened::Over,
                Err(_) => {}
            }
        }
    }

    /// Asks for more time.
    pub(super) async fn extend(&mut self) -> Result<Extended, Trouble> {
        let extended = extend_grant(&self.client, &self.grant.id, None).await?;
        if let Some(grant) = extended.grant.clone() {
            self.moved_to(grant).await;
        }
        Ok(extended)
    }

    /// Tells whoever uses the relay, in between their messages.
    pub(super) fn tell(&self, words: &str) {
        self.tell.send_replace(Some(Arc::from(words)));
    }

    async fn moved_to(&mut self, grant: Grant) {
        self.grant = grant;
        self.warned_s = already_due(left_s(self.grant.ends_at, when::now()));
        // Sessions move over by themselves; a new pass is for connections opened later. Without one the old grant's
        // pass is offered, and refused if its grant is over.
        if let Ok(fresh) = issue(&self.client, &self.grant.id).await
            && let Ok(mut pass) = self.pass.write()
        {
            *pass = Zeroizing::new(fresh.token.expose().to_owned());
        }
    }
}

/// The sentence of a warning.
pub(super) fn warning(out: &Out, left_s: u64, ends_at: u64, how: &str) -> String {
    format!("your access ends in {} (at {}); {how}", when::span(left_s), out.clock(ends_at))
}

fn left_s(ends_at: u64, now: u64) -> u64 {
    ends_at.saturating_sub(now).div_ceil(1_000_000)
}

/// The warning to give now, when `given` was the last.
fn due(left_s: u64, given: u64) -> Option<u64> {
    WARNINGS_S.into_iter().filter(|w| left_s <= *w && *w < given && left_s > 0).min()
}

/// Warnings whose time was over when the access began: the first line said the end already.
fn already_due(left_s: u64) -> u64 {
    WARNINGS_S.into_iter().filter(|w| left_s <= *w).min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_given_once_and_late_comers_get_the_next() {
        let hour = already_due(3_600);
        assert_eq!(due(601, hour), None);
        assert_eq!(due(600, hour), Some(600));
        assert_eq!(due(599, 600), None);
        assert_eq!(due(60, 600), Some(60));
        assert_eq!(due(30, 60), None);
        assert_eq!(due(0, 600), None);
        assert_eq!(due(59, hour), Some(60), "woke up late: one warning, the nearest");
        assert_eq!(due(300, already_due(300)), None, "five minutes were said at the start");
        assert_eq!(due(60, already_due(300)), Some(60));
    }
}

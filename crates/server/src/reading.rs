//! INVARIANT: I15. What counts as reading the log, and its record. The rule is here and nowhere else:
//!
//! - Records, tiles, live actions, `why`, `access` and evidence: always recorded, also one's own.
//! - What others wrote and who they are (reasons, comments, names, addresses, held text), shown with requests, people and
//!   holds: recorded, one record an answer. Not recorded for those it was written to: whose it is, and who may decide the
//!   request or has approved a step of it.
//! - Facts without personal text (grants, sessions, resources, a request without a reason): not recorded.
//!
//! The record is durable before anything is shown.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use daypass_access::command::Ask;
use daypass_access::decide::may_decide;
use daypass_access::id::{LoginId, PersonId};
use daypass_access::state::Request;
use daypass_access::time::Micros;

use crate::app::{App, Caller};
use crate::problem::Problem;

/// A login that reads tiles is recorded again after so long, in seconds.
const TILES_S: u64 = 60 * 60;
/// So many readers of tiles are remembered before old ones are looked for.
const TILE_READERS_MAX: usize = 4096;

/// Records that somebody reads; refuses who may not.
pub(crate) async fn reads(
    app: &App,
    caller: &Caller,
    log: &str,
    what: &str,
    query: String,
    records: usize,
    about: Option<PersonId>,
) -> Result<(), Problem> {
    let ask = Ask::ReadLog {
        log: log.to_owned(),
        what: what.to_owned(),
        query,
        records: u64::try_from(records).unwrap_or(u64::MAX),
        about,
    };
    app.controller.submit(caller.asks(ask)).await?;
    Ok(())
}

/// Whether the reason and the comments of a request were written to the caller: their own, or theirs to decide.
pub(crate) fn written_to(caller: &Caller, request: &Request) -> bool {
    let state = &caller.state;
    state.same_human(&caller.person, &request.filed.person)
        || may_decide(state, request, &caller.person, caller.now)
        || request.approvals.iter().any(|approval| state.same_human(&approval.by, &caller.person))
}

/// What an answer opens of others.
#[derive(Debug, Default)]
pub(crate) struct OfOthers {
    things: usize,
    whose: BTreeSet<PersonId>,
}

impl OfOthers {
    /// Something of `person` is opened.
    pub(crate) fn add(&mut self, person: &PersonId) {
        self.things += 1;
        self.whose.insert(person.clone());
    }

    /// Records it, when there is anything.
    pub(crate) async fn record(self, app: &App, caller: &Caller, what: &str) -> Result<(), Problem> {
        if self.things == 0 {
            return Ok(());
        }
        let about = self.whose.first().filter(|_| self.whose.len() == 1).cloned();
        reads(app, caller, daypass_control::LOG, what, String::new(), self.things, about).await
    }
}

/// Who reads tiles: a reader asks for many, and one record an hour stands for them.
#[derive(Debug, Default)]
pub(crate) struct TileReaders(Mutex<HashMap<(LoginId, &'static str), Micros>>);

impl TileReaders {
    /// Whether a record stands for this reading already.
    pub(crate) fn is_recorded(&self, login: &LoginId, log: &'static str, now: Micros) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.get(&(login.clone(), log)).is_some_and(|at| now.since_s(*at) < TILES_S)
    }

    /// A record was made.
    pub(crate) fn recorded(&self, login: &LoginId, log: &'static str, now: Micros) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= TILE_READERS_MAX {
            readers.retain(|_, at| now.since_s(*at) < TILES_S);
        }
        readers.insert((login.clone(), log), now);
    }
}

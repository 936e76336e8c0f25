//! What a text would do, by the target's own grammar (libpg_query). Security-critical.
//!
//! The rule: what is not proven to be a pure read is an act; what cannot be understood needs the highest class. The parse tree
//! is visited whole (`visit`), every node is either in the closed table of statements and pieces (`table`) or unknown,
//! every function and operator is judged by its name (`function`, `builtins`), every setting by `setting`.
//!
//! | statement | classes | pure read |
//! |---|---|---|
//! | SELECT, VALUES, TABLE, EXPLAIN without ANALYZE | read | yes, if all it calls is known to have no effect |
//! | SHOW; BEGIN, ROLLBACK, SAVEPOINT, RELEASE | session | yes |
//! | COMMIT, SET, RESET, LISTEN, NOTIFY, DISCARD, DEALLOCATE, CLOSE, SET CONSTRAINTS | session | no |
//! | FETCH, MOVE | read (what the cursor does was weighed at DECLARE) | no |
//! | DECLARE CURSOR, PREPARE | session and what the statement inside needs | no |
//! | EXECUTE | session and what its PREPARE needs: [`Classified::resolve`]; admin if unknown | as prepared |
//! | SELECT … FOR UPDATE/SHARE | read, write | no |
//! | INSERT, UPDATE, DELETE, MERGE, also in WITH | write; read as well if it reads other tables or RETURNs | no |
//! | REFRESH MATERIALIZED VIEW, two-phase commit | write | no |
//! | LOCK TABLE | write; read in ACCESS SHARE mode | no |
//! | COPY … TO STDOUT / FROM STDIN | copy-out, read / copy-in, write; and what its query needs | no |
//! | COPY of a file or program | admin | no |
//! | CREATE TABLE/INDEX/VIEW/SEQUENCE/SCHEMA/TYPE/DOMAIN/STATISTICS, ALTER TABLE, COMMENT, VACUUM, ANALYZE, CLUSTER, REINDEX, DROP | ddl, and what expressions and queries inside need | no |
//! | SELECT INTO, CREATE TABLE AS, TRUNCATE, ALTER COLUMN TYPE | ddl, write | no |
//! | CREATE TRIGGER | ddl, call | no |
//! | CALL; any function not known (volatile, user-defined, `lo_*`, advisory locks); unknown operators | call | no |
//! | `nextval`, `setval` | write | no |
//! | functions that reach files, programs, other servers, other sessions (`pg_read_file`, `dblink`, `pg_terminate_backend`, …) | admin | no |
//! | DO, CREATE FUNCTION, casts, operators, rules, policies, event triggers, extensions, languages | admin | no |
//! | roles, GRANT, ownership, databases, tablespaces, ALTER SYSTEM, subscriptions, foreign servers | admin | no |
//! | SET ROLE, SET SESSION AUTHORIZATION, settings that change how texts are read | admin | no |
//! | reads of `pg_authid` and the like, of `subconninfo`, of whole rows of `pg_subscription`; changes of `pg_*` tables | admin | no |
//! | does not parse, over [`TEXT_LEN_MAX`], deeper than the decoder goes (about 45 nested operators), not in the client's encoding | admin | no |
//!
//! # What cannot be seen
//!
//! The text is all there is. These can hide an effect behind what looks like a pure read, each planted by somebody who could
//! create code at the target: a view or rule that calls a function; a function found in `search_path` under a builtin's name with
//! better matching argument types; an operator, cast, type input function or domain check of a builtin's name; `t.f` that calls
//! `f(t)`, where `t` is a table, view, subquery, WITH query or join and `f` takes its row (or `record`, or `anyelement`) and is
//! no column of it; `(x).f` that calls `f(x)`, where `f` is in the list of fields of the server's own functions; row security policies; default expressions and triggers (those run on writes, which are acts anyway).
//! Creating any of these through Daypass needs `admin` (views and domains: `ddl` and what they call). What remains: code planted
//! beforehand. For such a read the record is still written, and durable before its result is shown; that it is durable
//! before it *runs* is what `gate = "always"` adds. The right answer to code that must not run is a role at the target
//! that may not run it.

use std::collections::HashMap;
use std::sync::Arc;

use daypass_access::action::{Action, Class, ClassSet, RiskSet};

use crate::redact;

mod builtins;
mod collect;
mod dialect;
mod function;
mod judge;
mod marker;
mod notation;
mod setting;
mod table;
mod visit;

pub use dialect::Dialect;

/// Longest text that is looked at, in bytes; longer ones are not understood.
pub const TEXT_LEN_MAX: usize = 1024 * 1024;

/// Longest text that is kept in the cache, in bytes.
const CACHED_LEN_MAX: usize = 16 * 1024;

/// What pg_dump sends to every server since 2024. Its condition pins the one setting it can set.
const RESTRICT_KIND: &[u8] = b"SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings \
WHERE name = 'restrict_nonsystem_relation_kind'";

/// Texts kept per generation; two generations are alive.
const GENERATION_MAX: usize = 2048;

/// Bytes of text kept per generation.
const GENERATION_LEN_MAX: usize = 2 * 1024 * 1024;

/// What a text would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// What the pipeline weighs. SQL-level EXECUTE is not in it: see [`Self::resolve`].
    pub action: Action,
    /// What each statement is called, in order: `SELECT`, `CREATE TABLE`, …; `UNKNOWN` when not understood.
    pub verbs: Box<[&'static str]>,
    /// Tables named, for display; schema-qualified where the text is. At most 32.
    pub tables: Box<[String]>,
    /// SQL-level prepared statements made, used and forgotten, in order.
    pub plans: Box<[Plan]>,
    /// Whether the text holds what looks like a secret: use [`redact::text`] before it is recorded.
    pub secret: bool,
    /// Why it was not understood, if it was not.
    pub trouble: Option<Trouble>,
    /// Whether the value of a string decided something.
    looks_at_strings: bool,
}

/// Why a text was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is longer than [`TEXT_LEN_MAX`].
    Long,
    /// It is not in the client's encoding, or the encoding hides where quotes end.
    Encoding,
    /// It does not parse.
    Syntax,
    /// It is nested deeper than is looked at.
    Deep,
}

/// What a text does with SQL-level prepared statements. Names are shared with the protocol's `Parse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// PREPARE: from here on, executing `name` is this action. The target may refuse it when the name is taken.
    Prepare {
        /// Name of the statement.
        name: String,
        /// What executing it needs.
        action: Action,
    },
    /// EXECUTE.
    Execute {
        /// Name of the statement.
        name: String,
    },
    /// DEALLOCATE.
    Deallocate {
        /// Name of the statement.
        name: String,
    },
    /// DEALLOCATE ALL or DISCARD.
    DeallocateAll,
}

/// Both of two actions.
#[must_use]
pub fn both(a: Action, b: Action) -> Action {
    Action {
        classes: a.classes.union(b.classes),
        risks: a.risks.union(b.risks),
        pure_read: a.pure_read && b.pure_read,
    }
}

/// The action of what is not understood.
pub const NOT_UNDERSTOOD: Action =
    Action { classes: ClassSet::EMPTY.with(Class::Admin), risks: RiskSet::EMPTY, pure_read: false };

impl Classified {
    /// The whole action, with what each EXECUTE needs; `known` tells what a statement prepared before needs.
    /// An unknown name is [`NOT_UNDERSTOOD`].
    pub fn resolve(&self, known: impl Fn(&str) -> Option<Action>) -> Action {
        let mut here: HashMap<&str, Action> = HashMap::new();
        let mut action = self.action;
        for plan in &self.plans {
            match plan {
                Plan::Prepare { name, action } => {
                    // The target keeps the old one if the name is taken: either may run.
                    let prepared = known(name).map_or(*action, |old| both(old, *action));
                    let prepared = here.get(name.as_str()).map_or(prepared, |old| both(*old, prepared));
                    here.insert(name, prepared);
                }
                Plan::Execute { name } => {
                    let found = here.get(name.as_str()).copied().or_else(|| known(name));
                    action = both(action, found.unwrap_or(NOT_UNDERSTOOD));
                }
                Plan::Deallocate { .. } | Plan::DeallocateAll => {}
            }
        }
        action
    }

    /// Whether any other string constants in the same places give the same.
    fn is_free_of_strings(&self) -> bool {
        let data = |verb: &&str| matches!(*verb, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE");
        self.trouble.is_none() && !self.looks_at_strings && self.verbs.iter().all(data)
    }

    fn unknown(text: &[u8], trouble: Trouble) -> Self {
        Self {
            action: NOT_UNDERSTOOD,
            verbs: Box::new(["UNKNOWN"]),
            tables: Box::default(),
            plans: Box::default(),
            secret: redact::is_needed(text),
            trouble: Some(trouble),
            looks_at_strings: true,
        }
    }
}

/// Classifies texts, and remembers what it classified. One for each thread; bounded to about 8 MiB.
#[derive(Debug, Default)]
pub struct Classifier {
    young: Generation,
    old: Generation,
    key: Vec<u8>,
}

#[derive(Debug, Default)]
struct Generation {
    texts: HashMap<Box<[u8]>, Arc<Classified>>,
    len: usize,
}

impl Classifier {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Classifies a text of a client with the usual settings: UTF-8 and standard strings.
    pub fn classify(&mut self, text: &[u8]) -> Arc<Classified> {
        self.classify_in(text, Dialect::default())
    }

    /// Classifies a text of a client with these settings.
    pub fn classify_in(&mut self, text: &[u8], dialect: Dialect) -> Arc<Classified> {
        // SECURITY: a zero byte is the mark of a constant in keys; no text of the protocol holds one.
        let kept = dialect.is_usual_for(text) && text.len() <= CACHED_LEN_MAX;
        if !kept || memchr::memchr(0, text).is_some() {
            return Arc::new(classify(text, dialect));
        }
        let mut key = std::mem::take(&mut self.key);
        let shape = marker::mark(text, &mut key);
        let found = shape.and_then(|_| self.find(&key)).or_else(|| match shape {
            // Numbers alone never make a text stand for itself, unless it did not parse.
            Some(marker::Shape { strings: false, .. }) => None,
            Some(_) | None => self.find(text),
        });
        let classified = match found {
            // What is secret is in the strings, and those are not in the key.
            Some(found) if shape.is_some_and(|s| s.strings) && found.secret != redact::is_needed(text) => {
                Arc::new(Classified { secret: !found.secret, ..Classified::clone(&found) })
            }
            Some(found) => found,
            None => self.fresh(text, shape.map(|shape| (&key[..], shape))),
        };
        self.key = key;
        classified
    }

    fn fresh(&mut self, text: &[u8], marked: Option<(&[u8], marker::Shape)>) -> Arc<Classified> {
        let classified = Arc::new(classify(text, Dialect::default()));
        match marked {
            Some((_, shape)) if shape.strings && !classified.is_free_of_strings() => {
                self.keep(text, Arc::clone(&classified));
            }
            // A text that failed to parse may have failed because of a number in it.
            Some((key, _)) if classified.trouble.is_none() => self.keep(key, Arc::clone(&classified)),
            Some(_) => {}
            None => self.keep(text, Arc::clone(&classified)),
        }
        classified
    }

    fn find(&mut self, name: &[u8]) -> Option<Arc<Classified>> {
        if let Some(classified) = self.young.texts.get(name) {
            return Some(Arc::clone(classified));
        }
        let classified = Arc::clone(self.old.texts.get(name)?);
        self.keep(name, Arc::clone(&classified));
        Some(classified)
    }

    fn keep(&mut self, name: &[u8], classified: Arc<Classified>) {
        if self.young.texts.len() >= GENERATION_MAX || self.young.len >= GENERATION_LEN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.len += name.len();
        self.young.texts.insert(Box::from(name), classified);
    }
}

/// Classifies a text, remembering nothing.
#[must_use]
pub fn classify(text: &[u8], dialect: Dialect) -> Classified {
    if text.len() > TEXT_LEN_MAX {
        return Classified::unknown(text, Trouble::Long);
    }
    if text == RESTRICT_KIND {
        let reads = classify(b"SELECT pg_sleep(0) FROM pg_settings", Dialect::default());
        return Classified { looks_at_strings: true, ..reads };
    }
    let Some(readable) = dialect.read(text) else { return Classified::unknown(text, Trouble::Encoding) };
    let parsed = match pg_query::parse(&readable, dialect.options()) {
        Ok(parsed) => parsed,
        Err(pg_query::Error::Decode(_)) => return Classified::unknown(text, Trouble::Deep),
        Err(_) => return Classified::unknown(text, Trouble::Syntax),
    };
    let mut action =
        Action { classes: ClassSet::EMPTY.with(Class::Session), risks: RiskSet::EMPTY, pure_read: true };
    let (mut verbs, mut tables, mut plans) = (Vec::new(), Vec::new(), Vec::new());
    let mut looks_at_strings = false;
    for statement in &parsed.protobuf.stmts {
        let mut judge = judge::Judge::of(statement);
        let judged = judge.action();
        action = if verbs.is_empty() { judged } else { both(action, judged) };
        looks_at_strings |= judge.looks_at_strings;
        verbs.push(judge.verb.unwrap_or("UNKNOWN"));
        tables.append(&mut judge.tables);
        plans.append(&mut judge.plans);
    }
    tables.sort_unstable();
    tables.dedup();
    Classified {
        action,
        verbs: verbs.into(),
        tables: tables.into(),
        plans: plans.into(),
        secret: redact::is_needed(text),
        trouble: None,
        looks_at_strings,
    }
}

#[cfg(test)]
mod tests;

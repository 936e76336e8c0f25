//! Functional notation: `alias.name` is `name(alias)` when the alias is of a function in FROM and it has no such column.
//!
//! SECURITY: aliases are not told apart by where in a statement they hold: what any function of that alias does not have as a
//! column is a call. Of tables and subqueries it cannot be known: see "What cannot be seen" in [`super`].

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::collect::{Collected, Sources, number};
use super::function::{self, Effect};

/// What was seen of references and of functions in FROM.
#[derive(Debug, Default)]
pub(super) struct Notation {
    references: HashSet<(String, String)>,
    sources: HashMap<String, Columns>,
    /// A source in FROM has a name we do not know.
    nameless: bool,
    secrets: Secrets,
}

/// Whether the secrets of `pg_subscription` are shown: its column is named, or whole rows are taken.
#[derive(Debug, Default)]
struct Secrets {
    /// What the table is called here; empty when it is not read.
    names: HashSet<String>,
    /// Names that stand alone, where a row may be meant.
    alone: HashSet<String>,
    /// The column is named, by itself or with everything else of a table whose columns were given other names.
    named: bool,
    /// A `*` stands somewhere, or a join has a name of its own.
    whole: bool,
}

/// The columns of everything of one alias.
#[derive(Debug, Default)]
struct Columns {
    names: HashSet<String>,
    /// It gives rows of the server's own functions, of which a newer server may give more columns.
    fields: bool,
}

/// A function in FROM, field by field.
#[derive(Debug, Default)]
pub(super) struct RangeFunction {
    ordinality: bool,
    /// The alias, and those of columns.
    alias: Vec<String>,
    sources: Sources,
}

impl RangeFunction {
    /// Takes a field of it.
    pub(super) fn field<T: Serialize + ?Sized>(&mut self, field: &str, value: &T) {
        match field {
            "ordinality" => self.ordinality = number(value) != Some(0),
            "alias" => self.alias = Collected::of(value).strings,
            "functions" | "coldeflist" => self.sources.add(value),
            _ => {}
        }
    }

    /// Its name and its columns; no name when it has one that we do not know.
    fn columns(self) -> (Option<String>, Columns) {
        let Self { ordinality, alias, sources } = self;
        let mut alias = alias.into_iter();
        let given = alias.next();
        let renamed: HashSet<String> = alias.collect();
        let renamed_len = renamed.len();
        let mut columns = Columns { names: renamed, fields: false };
        let alone = sources.functions.len() == 1 && !sources.other;
        for name in &sources.functions {
            match function::columns(name) {
                // One value: its column is called as the function is, unless it is called otherwise.
                None if renamed_len == 0 => {
                    let called = given.as_ref().filter(|_| alone).unwrap_or(name);
                    columns.names.insert(called.clone());
                }
                None => {}
                Some([one]) if renamed_len == 0 => drop(columns.names.insert((*one).to_owned())),
                Some([] | [_]) => {}
                Some(many) => {
                    columns.names.extend(many.iter().map(|&name| name.to_owned()));
                    columns.fields = true;
                }
            }
        }
        if ordinality && renamed_len < 2 {
            columns.names.insert("ordinality".to_owned());
        }
        let name = given.or_else(|| sources.functions.first().filter(|_| !sources.other).cloned());
        columns.names.extend(sources.defined);
        (name, columns)
    }
}

impl Notation {
    /// A reference `alias.name`.
    pub(super) fn refers(&mut self, alias: &str, name: &str) {
        self.references.insert((alias.to_owned(), name.to_owned()));
    }

    /// A function in FROM.
    pub(super) fn may_mean(&mut self, source: RangeFunction) {
        let (name, columns) = source.columns();
        let Some(name) = name else {
            self.nameless = true;
            return;
        };
        match self.sources.get_mut(&name) {
            None => drop(self.sources.insert(name, columns)),
            Some(old) => {
                old.names.retain(|name| columns.names.contains(name));
                old.fields &= columns.fields;
            }
        }
    }

    /// A table, and its alias with those of columns.
    pub(super) fn table(&mut self, schema: &str, name: String, mut alias: Vec<String>) {
        if matches!(schema, "" | "pg_catalog") && name == "pg_subscription" {
            self.secrets.named |= alias.len() > 1;
            self.secrets.names.insert(if alias.is_empty() { name } else { alias.swap_remove(0) });
        }
    }

    /// A join with a name of its own, or a table copied without a query.
    pub(super) fn whole_rows(&mut self) {
        self.secrets.whole = true;
    }

    /// The names of a reference.
    pub(super) fn names(&mut self, names: &[String], star: bool) {
        self.secrets.whole |= star;
        self.secrets.named |= names.iter().any(|name| name == function::SECRET_COLUMN);
        if let [name] = names {
            self.secrets.alone.insert(name.clone());
        }
    }

    /// Whether the secret column of a table may be shown.
    pub(super) fn shows_secrets(&self) -> bool {
        let Secrets { names, alone, named, whole } = &self.secrets;
        let row = || names.iter().any(|name| alone.contains(name));
        let notation = || {
            let of_row =
                |(alias, name): &(String, String)| names.contains(alias) && !function::is_open_column(name);
            self.references.iter().any(of_row)
        };
        // SECURITY: a column of that name is a secret whatever it is read from: a subquery, a view, a cursor.
        *named || (!names.is_empty() && (*whole || row() || notation()))
    }

    /// Whether a reference calls a function that is not known to have no effect.
    pub(super) fn calls(self) -> bool {
        let Self { references, sources, nameless, secrets: _ } = self;
        references.iter().any(|(alias, name)| {
            let may_call = sources.get(alias).map_or(nameless, |columns| {
                !(columns.names.contains(name) || columns.fields && function::is_field(name))
            });
            // What the walk judged by name alone is judged.
            may_call && function::column(name) == Effect::None && function::function(&[name]) != Effect::None
        })
    }
}

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

    /// Whether a reference calls a function that is not known to have no effect.
    pub(super) fn calls(self) -> bool {
        let Self { references, sources, nameless } = self;
        references.iter().any(|(alias, name)| {
            let may_call = sources.get(alias).map_or(nameless, |columns| {
                !(columns.names.contains(name) || columns.fields && function::is_field(name))
            });
            // What the walk judged by name alone is judged.
            may_call && function::column(name) == Effect::None && function::function(&[name]) != Effect::None
        })
    }
}

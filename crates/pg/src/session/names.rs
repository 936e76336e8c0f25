//! What the names of a session mean: prepared statements and portals.
//!
//! Names are given before the target confirms them, and clients pipeline. So a name keeps every meaning it may have: the
//! one last confirmed and those on their way. Within one batch (up to a Sync) the newest meaning is the only one that can
//! run, because a batch is skipped as a whole after an error; across batches the meanings add up.

use std::collections::HashMap;
use std::sync::Arc;

use daypass_access::action::{Action, Class, ClassSet, RiskSet};

use super::facts::Statement;

/// Most statements a session may keep prepared.
pub(super) const NAMES_MAX: usize = 10_000;
/// Most bytes of text a session may keep in prepared statements.
pub(super) const TEXT_LEN_MAX: usize = 8 << 20;
/// Most meanings of one name that are added up. How many there can be is bounded by what may be in flight; clients pipeline
/// hundreds of messages that give the unnamed statement and portal a meaning each.
const MEANINGS_MAX: usize = 8;
/// Longest name, in bytes. The target cuts longer ones, so two long names can be one (`NAMEDATALEN` less its zero).
const NAME_LEN_MAX: usize = 63;
/// What stands between the texts of two meanings.
const OR: &[u8] = b"\n-- or, if the batch before it failed:\n";

/// One thing a name may stand for.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    /// What runs.
    pub(super) statement: Arc<Statement>,
    /// The number of the action that gave the name.
    pub(super) number: u64,
    /// Position of that action's intent in the log.
    pub(super) intent: u64,
    /// Place of its message in the session.
    pub(super) seq: u64,
    /// The batch it was given in.
    pub(super) batch: u64,
    /// Whether the target confirmed it.
    pub(super) confirmed: bool,
}

/// The names of one kind.
#[derive(Debug, Default)]
pub(super) struct Names {
    meanings: HashMap<Vec<u8>, Vec<Meaning>>,
    text_len: usize,
}

impl Names {
    /// Whether one more fits.
    pub(super) fn has_room(&self) -> bool {
        self.meanings.len() < NAMES_MAX && self.text_len < TEXT_LEN_MAX
    }

    /// Adds a meaning on its way to the target.
    pub(super) fn give(&mut self, name: &[u8], meaning: Meaning) {
        let name = cut(name);
        self.text_len = self.text_len.saturating_add(meaning.statement.text.len());
        if let Some(known) = self.meanings.get_mut(name) {
            known.push(meaning);
        } else {
            self.meanings.insert(name.to_vec(), vec![meaning]);
        }
    }

    /// What `name` stands for in `batch`; everything it may stand for, added up.
    pub(super) fn resolve(&self, name: &[u8], batch: u64) -> Option<Meaning> {
        let known = self.meanings.get(cut(name))?;
        let newest = known.last()?;
        if known.len() == 1 || newest.confirmed || newest.batch == batch {
            return Some(newest.clone());
        }
        let intent = known.iter().map(|m| m.intent).max().unwrap_or(newest.intent);
        if known.len() > MEANINGS_MAX {
            // SECURITY: what may be any of so many is not understood.
            let mut statement = Statement::clone(&newest.statement);
            statement.action = Action {
                classes: ClassSet::EMPTY.with(Class::Admin),
                risks: RiskSet::EMPTY,
                pure_read: false,
            };
            return Some(Meaning { statement: Arc::new(statement), intent, ..newest.clone() });
        }
        let statement = known.iter().rev().skip(1).fold(Arc::clone(&newest.statement), |sum, other| {
            if Arc::ptr_eq(&sum, &other.statement) { sum } else { Arc::new(sum.and(&other.statement, OR)) }
        });
        Some(Meaning { statement, intent, ..newest.clone() })
    }

    /// The message at `seq` succeeded: its meaning is the only one left of those before it.
    pub(super) fn confirm(&mut self, name: &[u8], seq: u64) {
        self.retain_of(name, |meaning| meaning.seq >= seq);
        if let Some(meaning) = self.meanings.get_mut(cut(name)).and_then(|known| known.first_mut())
            && meaning.seq == seq
        {
            meaning.confirmed = true;
        }
    }

    /// The action of the message at `seq` was released, and recorded at `intent`.
    pub(super) fn recorded(&mut self, name: &[u8], seq: u64, intent: u64) {
        let known = self.meanings.get_mut(cut(name));
        if let Some(meaning) = known.and_then(|known| known.iter_mut().find(|meaning| meaning.seq == seq)) {
            meaning.intent = intent;
        }
    }

    /// The message at `seq` failed. An unnamed statement or portal is gone with it.
    pub(super) fn fail(&mut self, name: &[u8], seq: u64) {
        let unnamed = name.is_empty();
        self.retain_of(name, |meaning| if unnamed { meaning.seq > seq } else { meaning.seq != seq });
    }

    /// The message at `seq` was skipped.
    pub(super) fn skip(&mut self, name: &[u8], seq: u64) {
        self.retain_of(name, |meaning| meaning.seq != seq);
    }

    /// A Close at `seq` succeeded.
    pub(super) fn close(&mut self, name: &[u8], seq: u64) {
        self.retain_of(name, |meaning| meaning.seq > seq);
    }

    /// Everything given before `seq` is gone.
    pub(super) fn clear_before(&mut self, seq: u64) {
        if self.meanings.is_empty() {
            return;
        }
        let mut freed = 0;
        self.meanings.retain(|_, known| {
            known.retain(|meaning| keep(meaning.seq >= seq, meaning, &mut freed));
            !known.is_empty()
        });
        self.text_len = self.text_len.saturating_sub(freed);
    }

    fn retain_of(&mut self, name: &[u8], wanted: impl Fn(&Meaning) -> bool) {
        let name = cut(name);
        let Some(known) = self.meanings.get_mut(name) else { return };
        let mut freed = 0;
        known.retain(|meaning| keep(wanted(meaning), meaning, &mut freed));
        self.text_len = self.text_len.saturating_sub(freed);
        if known.is_empty() {
            self.meanings.remove(name);
        }
    }
}

/// A name as the target keeps it.
fn cut(name: &[u8]) -> &[u8] {
    name.get(..NAME_LEN_MAX).unwrap_or(name)
}

fn keep(wanted: bool, meaning: &Meaning, freed: &mut usize) -> bool {
    if !wanted {
        *freed = freed.saturating_add(meaning.statement.text.len());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(class: Class, seq: u64, batch: u64) -> Meaning {
        let action = Action {
            classes: ClassSet::EMPTY.with(class),
            risks: RiskSet::EMPTY,
            pure_read: class == Class::Read,
        };
        let statement = Statement::plain(class.name().into(), action, "x");
        Meaning { statement: Arc::new(statement), number: seq, intent: seq, seq, batch, confirmed: false }
    }

    fn classes(names: &Names, batch: u64) -> Vec<Class> {
        names.resolve(b"a", batch).map_or(vec![], |m| m.statement.action.classes.iter().collect())
    }

    #[test]
    fn in_its_own_batch_the_newest_meaning_counts() {
        let mut names = Names::default();
        names.give(b"a", meaning(Class::Write, 1, 1));
        names.give(b"a", meaning(Class::Read, 2, 1));
        assert_eq!(classes(&names, 1), [Class::Read]);
    }

    #[test]
    fn across_batches_unconfirmed_meanings_add_up() {
        let mut names = Names::default();
        names.give(b"a", meaning(Class::Write, 1, 1));
        names.confirm(b"a", 1);
        names.give(b"a", meaning(Class::Read, 2, 2));
        assert_eq!(classes(&names, 3), [Class::Read, Class::Write]);
        assert!(!names.resolve(b"a", 3).unwrap().statement.action.pure_read);
        names.skip(b"a", 2);
        assert_eq!(classes(&names, 3), [Class::Write]);
    }

    #[test]
    fn confirmed_meanings_replace_and_closed_ones_go() {
        let mut names = Names::default();
        names.give(b"a", meaning(Class::Write, 1, 1));
        names.confirm(b"a", 1);
        names.give(b"a", meaning(Class::Read, 2, 2));
        names.confirm(b"a", 2);
        assert_eq!(classes(&names, 9), [Class::Read]);
        names.close(b"a", 3);
        assert_eq!(classes(&names, 9), []);
        assert_eq!(names.text_len, 0);
    }

    #[test]
    fn a_failed_unnamed_statement_takes_the_old_one_with_it() {
        let mut names = Names::default();
        names.give(b"", meaning(Class::Read, 1, 1));
        names.confirm(b"", 1);
        names.give(b"", meaning(Class::Write, 2, 2));
        names.fail(b"", 2);
        assert!(names.resolve(b"", 3).is_none());
    }

    #[test]
    fn one_of_too_many_meanings_is_not_understood_and_the_newest_of_a_batch_is() {
        let mut names = Names::default();
        for seq in 0..200 {
            assert!(names.has_room());
            names.give(b"", meaning(Class::Read, seq, seq));
        }
        let across = names.resolve(b"", 1_000).unwrap();
        assert!(across.statement.action.classes.contains(Class::Admin));
        let within = names.resolve(b"", 199).unwrap();
        assert!(!within.statement.action.classes.contains(Class::Admin));
        names.confirm(b"", 199);
        let confirmed = names.resolve(b"", 1_000).unwrap();
        assert!(!confirmed.statement.action.classes.contains(Class::Admin));
    }
}

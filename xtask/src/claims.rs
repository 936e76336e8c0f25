//! What the documents claim, checked against the sources.
//!
//! - Every invariant of ARCHITECTURE.md (a table row that starts with `| I<number> |`) names a test that exists.
//! - Every `test:name` and `type:Name` in a document exists.
//! - Every dependency has a line in docs/decisions/dependencies.md.
//! - Every relative link of a document leads to a file.
//! - The pure crates name no socket, file, clock or process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::arrows;
use crate::step::Broken;

const DOCUMENT_ROOTS: [&str; 2] = [".", "docs"];
const SOURCE_ROOTS: [&str; 5] = ["crates", "xtask", "bench", "e2e", "fuzz"];
const PURE_SOURCES: [&str; 4] = ["crates/ledger/src", "crates/access/src", "crates/pg/src", "crates/api/src"];
const IMPURE_WORDS: [&str; 6] =
    ["std::net", "std::fs", "std::process", "std::env", "SystemTime", "Instant::now"];

/// Every claim that does not hold.
pub(crate) fn faults(metadata: &Value) -> Result<Vec<String>, Broken> {
    let documents = texts(&DOCUMENT_ROOTS, "md")?;
    let sources = texts(&SOURCE_ROOTS, "rs")?;
    let known = Known::of(&sources);
    let mut faults = Vec::new();
    for (path, text) in &documents {
        faults.extend(known.broken_claims(path, text));
        faults.extend(broken_links(path, text));
    }
    faults.extend(known.unproven_invariants(&find(&documents, "ARCHITECTURE.md")?));
    let decided = find(&documents, "docs/decisions/dependencies.md")?;
    let names: BTreeSet<&str> = arrows::dependencies(metadata).iter().map(|(_, to, _)| *to).collect();
    let foreign = names.into_iter().filter(|name| !name.starts_with("daypass-"));
    let unexplained = foreign.filter(|name| !decided.contains(&format!("`{name}`")));
    faults.extend(unexplained.map(|name| format!("docs/decisions/dependencies.md has no line for `{name}`")));
    faults.extend(impure_words()?);
    Ok(faults)
}

/// Names of the tests and types in the sources.
struct Known {
    tests: BTreeSet<String>,
    items: BTreeSet<String>,
}

impl Known {
    fn of(sources: &[(PathBuf, String)]) -> Self {
        let mut known = Self { tests: BTreeSet::new(), items: BTreeSet::new() };
        for (_, text) in sources {
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let Some((keyword, name)) = declared(line) else { continue };
                if keyword == "fn" && is_test {
                    known.tests.insert(name.to_owned());
                    is_test = false;
                }
                known.items.insert(name.to_owned());
            }
        }
        known
    }

    fn broken_claims(&self, path: &Path, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (word, names, what) in [("`test:", &self.tests, "test"), ("`type:", &self.items, "type")] {
            for name in claimed(text, word).into_iter().collect::<BTreeSet<_>>() {
                if !names.contains(name) {
                    faults
                        .push(format!("{} claims the {what} `{name}`, which does not exist", path.display()));
                }
            }
        }
        faults
    }

    fn unproven_invariants(&self, architecture: &str) -> Vec<String> {
        let rows: Vec<&str> = architecture.lines().filter(|line| invariant(line).is_some()).collect();
        let mut faults = Vec::new();
        if rows.is_empty() {
            faults.push("ARCHITECTURE.md lists no invariants".to_owned());
        }
        for row in rows {
            if !claimed(row, "`test:").iter().any(|name| self.tests.contains(*name)) {
                faults.push(format!(
                    "ARCHITECTURE.md: invariant {} names no test",
                    invariant(row).unwrap_or("?")
                ));
            }
        }
        faults
    }
}

/// The number of the invariant that a table row is about: `I4` of `| I4 | a session … |`.
fn invariant(line: &str) -> Option<&str> {
    let first = line.strip_prefix('|')?.split('|').next()?.trim();
    let digits = first.strip_prefix('I')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(first)
}

/// The item that a line declares: `("fn", "decide")` of `pub fn decide(`.
fn declared(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let keyword = words.find(|word| {
        !(word.starts_with("pub")
            || matches!(*word, "async" | "const" | "unsafe" | "in" | "crate)" | "super)"))
    })?;
    if !matches!(keyword, "fn" | "struct" | "enum" | "trait" | "type" | "mod") {
        return None;
    }
    let rest = words.next()?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty()).map(|name| (keyword, name))
}

/// The names after each `word` up to the closing backtick.
fn claimed<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let rests = text.split(word).skip(1).filter_map(|rest| rest.split('`').next());
    rests.filter(|name| !name.is_empty()).collect()
}

fn broken_links(path: &Path, text: &str) -> Vec<String> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut faults = Vec::new();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let target = link.split('#').next().unwrap_or_default();
        let elsewhere = target.is_empty() || target.contains("://") || target.contains(char::is_whitespace);
        if !elsewhere && !folder.join(target).exists() {
            faults.push(format!("{} links to `{target}`, which does not exist", path.display()));
        }
    }
    faults
}

fn impure_words() -> Result<Vec<String>, Broken> {
    let mut faults = Vec::new();
    for (path, text) in texts(&PURE_SOURCES, "rs")? {
        if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (line, word) in code.flat_map(|line| IMPURE_WORDS.iter().map(move |word| (line, *word))) {
            if line.contains(word) {
                faults.push(format!("{} is pure and names `{word}`: take it as a value", path.display()));
            }
        }
    }
    Ok(faults)
}

fn find(documents: &[(PathBuf, String)], name: &str) -> Result<String, Broken> {
    let found = documents.iter().find(|(path, _)| path == Path::new(name));
    found.map(|(_, text)| text.clone()).ok_or_else(|| Broken(format!("{name} is missing")))
}

/// Every file below the roots with this ending, in order. The root `.` is not descended into.
fn texts(roots: &[&str], ending: &str) -> Result<Vec<(PathBuf, String)>, Broken> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = roots.iter().map(PathBuf::from).filter(|root| root.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let broken = |e| Broken(format!("cannot read {}: {e}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(broken)?.flatten() {
            let path = entry.path();
            let path = path.strip_prefix("./").map(Path::to_owned).unwrap_or(path);
            let generated =
                ["target", "node_modules", ".venv", "corpus"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && folder != Path::new(".") && !generated {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                let text = std::fs::read_to_string(&path).map_err(broken)?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let text =
            "#[test]\nfn i01_one() {}\npub(crate) struct Permit;\npub async fn open() {}\nfn plain() {}";
        Known::of(&[(PathBuf::from("a.rs"), text.to_owned())])
    }

    #[test]
    fn an_invariant_without_a_test_is_a_fault() {
        let table = "| I1 | one | `test:i01_one` |\n| I2 | two | by hand |\n| I3 | three | `test:plain` |";
        let faults = known().unproven_invariants(table);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(known().unproven_invariants("no table").len(), 1);
    }

    #[test]
    fn a_claim_of_something_that_does_not_exist_is_a_fault() {
        let claims = "`type:Permit` `type:open` `type:Gone` `test:i01_one` `test:gone`";
        assert_eq!(known().broken_claims(Path::new("x.md"), claims).len(), 2);
    }

    #[test]
    fn a_link_to_nothing_is_a_fault() {
        let text = "[a](Cargo.toml) [b](gone.md#part) [c](https://example.com) [d](#here)";
        assert_eq!(broken_links(Path::new("x.md"), text).len(), 1);
    }
}

//! The commands that the documents show, held against the binary.
//!
//! Every `daypass …` line of a shell block in README.md and docs/ must be a command the binary has, with options it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::step::{self, Broken};

const SHELL_BLOCKS: [&str; 3] = ["```sh", "```console", "```bash"];

/// Checks the documents against the binary.
pub(crate) fn hold(daypass: &Path) -> Result<(), Broken> {
    let helps = helps(daypass)?;
    let mut faults = Vec::new();
    let mut shown = 0;
    for path in documents()? {
        let text = std::fs::read_to_string(&path).map_err(|e| Broken(format!("{}: {e}", path.display())))?;
        for line in commands(&text) {
            shown += 1;
            faults.extend(fault(&helps, line).map(|fault| format!("{}: `{line}`: {fault}", path.display())));
        }
    }
    if shown == 0 {
        faults.push("the documents show no command at all".to_owned());
    }
    if faults.is_empty() {
        println!("\ndocuments: {shown} commands shown, all of them exist");
        return Ok(());
    }
    Err(Broken(faults.join("\n  ")))
}

/// The help of every command, by its words: `""`, `"log"`, `"log tail"`.
fn helps(daypass: &Path) -> Result<BTreeMap<String, String>, Broken> {
    let program = daypass.to_string_lossy().into_owned();
    let mut helps = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(words) = open.pop() {
        let mut arguments: Vec<&str> = words.split_whitespace().collect();
        arguments.push("--help");
        let help = step::output_of(&program, &arguments)
            .ok_or_else(|| Broken(format!("`daypass {}` fails", arguments.join(" "))))?;
        open.extend(subcommands(&help).map(|name| format!("{words} {name}").trim().to_owned()));
        helps.insert(words, help);
    }
    Ok(helps)
}

/// The names in the `Commands:` part of a help text.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    let part = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = part.lines().take_while(|line| !line.is_empty());
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
}

/// The `daypass …` lines of the shell blocks.
fn commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            in_block = !in_block && SHELL_BLOCKS.contains(&line);
        } else if in_block {
            let command = line.trim_start_matches("$ ");
            found.extend(command.starts_with("daypass ").then_some(command));
        }
    }
    found
}

/// What is wrong with one command line, if anything: an unknown command or an unknown option.
fn fault(helps: &BTreeMap<String, String>, line: &str) -> Option<String> {
    let plain = line.split(" #").next().unwrap_or_default();
    let plain = plain.split(['|', '>', ';', '&']).next().unwrap_or_default();
    let own = plain.split(" -- ").next().unwrap_or_default();
    let mut words = String::new();
    for word in own.split_whitespace().skip(1).take_while(|word| !word.starts_with('-')) {
        let longer = format!("{words} {word}").trim().to_owned();
        if !helps.contains_key(&longer) {
            break;
        }
        words = longer;
    }
    let help = helps.get(&words)?;
    let next = own.split_whitespace().nth(1 + words.split_whitespace().count());
    let takes_command = help.contains("<COMMAND>");
    if let Some(word) = next.filter(|word| takes_command && !word.starts_with('-')) {
        return Some(format!("there is no command `{word}`"));
    }
    let options = own.split_whitespace().filter(|word| word.starts_with("--"));
    let mut names = options.map(|word| word.split('=').next().unwrap_or(word));
    let unknown =
        names.find(|name| !help.split([' ', ',', '\n', '[', ']', '=']).any(|word| word == *name))?;
    Some(format!("there is no option `{unknown}`"))
}

fn documents() -> Result<Vec<PathBuf>, Broken> {
    let mut found = vec![PathBuf::from("README.md")];
    for folder in ["docs", "docs/guides", "docs/decisions"] {
        let entries = std::fs::read_dir(folder).map_err(|e| Broken(format!("cannot read {folder}: {e}")))?;
        let markdown =
            entries.flatten().map(|entry| entry.path()).filter(|p| p.extension().is_some_and(|e| e == "md"));
        found.extend(markdown);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary() -> BTreeMap<String, String> {
        let root = "Usage: daypass <COMMAND>\n\nCommands:\n  log   Reads\n  help  Prints\n\nOptions:\n  -h, --help\n";
        let log = "Usage: daypass log [COMMAND]\n\nOptions:\n      --json  As JSON\n      --since <TIME>\n";
        BTreeMap::from([(String::new(), root.to_owned()), ("log".to_owned(), log.to_owned())])
    }

    #[test]
    fn an_unknown_command_or_option_is_a_fault() {
        assert_eq!(fault(&binary(), "daypass log --json --since=1h bob | jq ."), None);
        assert_eq!(fault(&binary(), "daypass lgo"), Some("there is no command `lgo`".to_owned()));
        assert_eq!(fault(&binary(), "daypass log --jsn"), Some("there is no option `--jsn`".to_owned()));
    }

    #[test]
    fn commands_come_from_shell_blocks_only() {
        let text = "daypass no\n```sh\n$ daypass log\nls\n```\n```text\ndaypass no\n```\n```console\ndaypass log --json\n```";
        assert_eq!(commands(text), ["daypass log", "daypass log --json"]);
    }

    #[test]
    fn subcommands_are_read_from_the_help() {
        let root = binary().remove("").unwrap_or_default();
        assert_eq!(subcommands(&root).collect::<Vec<_>>(), ["log"]);
    }
}

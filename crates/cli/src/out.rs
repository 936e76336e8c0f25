//! What commands print: sentences and tables for people, JSON for programs. Results go to standard output, everything
//! else (progress, notes, prompts) to standard error.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::trouble::Trouble;
use crate::when;

/// How and where to print.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    json: bool,
    /// Columns of the terminal; `None` when the output is not one: then tables are as wide as they need.
    width: Option<u16>,
    zone: TimeZone,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        let width = io::stdout()
            .is_terminal()
            .then(|| crossterm::terminal::size().map_or(80, |(columns, _)| columns));
        Self { json, width, zone: TimeZone::system() }
    }

    /// Whether a program is reading.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The zone that times are shown in.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// A moment, with the date only when it is not today.
    pub(crate) fn clock(&self, at_us: u64) -> String {
        when::clock(at_us, when::now(), &self.zone)
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), Trouble> {
        Ok(writeln!(io::stdout(), "{}", clean(text.as_ref()))?)
    }

    /// A line beside the result; not shown to programs.
    pub(crate) fn note(&self, text: impl AsRef<str>) -> Result<(), Trouble> {
        if self.json { Ok(()) } else { Ok(writeln!(io::stderr(), "{}", clean(text.as_ref()))?) }
    }

    /// The result as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Trouble> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Trouble::Output(error.into()))?;
        Ok(writeln!(io::stdout(), "{}", escaped(&text))?)
    }

    /// The result as one line of JSON, for streams.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), Trouble> {
        let text = serde_json::to_string(value).map_err(|error| Trouble::Output(error.into()))?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", escaped(&text))?;
        Ok(out.flush()?)
    }

    /// A list: JSON of `items`, or a table of `rows`, or `none` when it is empty.
    pub(crate) fn list<T: Serialize>(
        &self,
        items: &[T],
        headers: &[&str],
        row: impl Fn(&T) -> Vec<String>,
        none: &str,
    ) -> Result<(), Trouble> {
        if self.json {
            return self.json(&items);
        }
        if items.is_empty() {
            return self.note(none);
        }
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        Ok(writeln!(io::stdout(), "{}", table(headers, &rows, self.width))?)
    }

    /// Names and values, one a line, aligned.
    pub(crate) fn facts(&self, facts: &[(&str, String)]) -> Result<(), Trouble> {
        let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut out = io::stdout().lock();
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let mut lines = value.lines();
            writeln!(out, "{name:widest$}  {}", clean(lines.next().unwrap_or_default()))?;
            for line in lines {
                writeln!(out, "{:widest$}  {}", "", clean(line))?;
            }
        }
        Ok(())
    }
}

/// A table without vertical lines that fits `width` columns.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    match width {
        Some(width) => table.set_width(width),
        None => table.set_width(u16::MAX),
    };
    table.set_header(headers.iter().map(|header| header.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Sets the title of the terminal; nothing when there is none.
pub(crate) fn set_title(words: &str) {
    if io::stderr().is_terminal() {
        let words: String = clean(words).chars().filter(|c| *c != '\n').collect();
        // A terminal without titles shows none; nothing to do about it.
        drop(crossterm::execute!(io::stderr(), crossterm::terminal::SetTitle(words)));
    }
}

/// SECURITY: what others wrote (reasons, statements) must not move the cursor or forge lines of our output.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            c if c.is_control() || is_direction_mark(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// [`clean`] for JSON, which is read by people too: nothing is lost, what could drive a terminal is written as `\uXXXX`.
/// Outside of strings JSON has no such characters but line ends.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || is_direction_mark(c)) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of at most `len` characters of a longer text.
pub(crate) fn short(text: &str, len: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= len {
        return line;
    }
    line.chars().take(len.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Vec<String>> {
        vec![
            vec![
                "R-1".into(),
                "bob".into(),
                "prod-orders".into(),
                "the nightly total of 3 March is wrong, need to look at the orders of that day".into(),
            ],
            vec!["R-12".into(), "carol".into(), "prod-orders".into(), "page".into()],
        ]
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let narrow = table(&["request", "person", "resource", "reason"], &requests(), Some(60));
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        insta::assert_snapshot!(narrow, @r#"
    REQUEST  PERSON  RESOURCE     REASON
    R-1      bob     prod-orders  the nightly total of 3 March
                                  is wrong, need to look at
                                  the orders of that day
    R-12     carol   prod-orders  page
"#);
        let piped = table(&["request", "person", "resource", "reason"], &requests(), None);
        assert_eq!(piped.lines().count(), 3, "{piped}");
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        let value = serde_json::json!({"text": "a\u{1b}[2J\u{9b}2J\u{202e}d\n", "b": 1});
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || is_direction_mark(c))), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert_eq!(short("select  *\n from t", 10), "select * …");
    }
}

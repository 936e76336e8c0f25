//! The settings of a client's session that change how its texts are read.

use std::borrow::Cow;

use pg_query::ParserOptions;

/// How texts are read. Kept current from the target's ParameterStatus messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    strings: Strings,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strings {
    Standard,
    Backslash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    /// Bytes above ASCII never stand for anything else: single-byte encodings, EUC, SQL_ASCII.
    HighBytes,
    /// The second byte of a character may look like ASCII: SJIS, BIG5, GBK, UHC, GB18030, JOHAB, and all unknown.
    Hidden,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { strings: Strings::Standard, encoding: Encoding::Utf8 }
    }
}

impl Dialect {
    /// Takes a setting the target announced; others than the two that matter change nothing.
    pub fn announced(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"standard_conforming_strings" => {
                self.strings = if value == b"on" { Strings::Standard } else { Strings::Backslash };
            }
            b"client_encoding" => self.encoding = encoding(value),
            _ => {}
        }
    }

    /// Whether a text is read as under the usual settings: plain ASCII reads alike in every encoding.
    pub(super) fn is_usual_for(self, text: &[u8]) -> bool {
        self.strings == Strings::Standard && (self.encoding == Encoding::Utf8 || text.is_ascii())
    }

    /// The text as the parser takes it; `None` when it cannot be known what the target will read.
    pub(super) fn read(self, text: &[u8]) -> Option<Cow<'_, str>> {
        let ascii = text.is_ascii();
        match self.encoding {
            Encoding::Hidden if !ascii => None,
            Encoding::Utf8 | Encoding::Hidden => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Encoding::HighBytes => Some(match std::str::from_utf8(text) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => Cow::Owned(text.iter().map(|&b| char::from(b)).collect()),
            }),
        }
    }

    pub(super) fn options(self) -> ParserOptions {
        match self.strings {
            Strings::Standard => ParserOptions::DEFAULT,
            Strings::Backslash => ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS,
        }
    }
}

fn encoding(name: &[u8]) -> Encoding {
    let name = name.to_ascii_uppercase();
    let high = [&b"SQL_ASCII"[..], b"LATIN", b"ISO_8859", b"WIN", b"KOI8", b"EUC_", b"MULE_INTERNAL"];
    match name.as_slice() {
        b"UTF8" | b"UTF-8" | b"UNICODE" => Encoding::Utf8,
        name if high.iter().any(|prefix| name.starts_with(prefix)) => Encoding::HighBytes,
        _ => Encoding::Hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_hide_bytes_are_not_guessed() {
        let mut dialect = Dialect::default();
        assert!(dialect.read(b"SELECT '\xe9'").is_none(), "not UTF-8");
        dialect.announced(b"client_encoding", b"LATIN1");
        assert_eq!(dialect.read(b"SELECT '\xe9'").unwrap(), "SELECT 'é'");
        dialect.announced(b"client_encoding", b"SJIS");
        assert!(dialect.read("SELECT 'é'".as_bytes()).is_none());
        assert!(dialect.read(b"SELECT 1").is_some());
        dialect.announced(b"client_encoding", b"UTF8");
        assert_eq!(dialect, Dialect::default());
        dialect.announced(b"client_encoding", b"SQL_ASCII");
        assert!(dialect.is_usual_for(b"SELECT 1") && !dialect.is_usual_for("SELECT 'é'".as_bytes()));
        dialect.announced(b"standard_conforming_strings", b"off");
        assert!(!dialect.is_usual_for(b"SELECT 1"));
    }
}

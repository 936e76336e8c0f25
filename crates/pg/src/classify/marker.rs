//! One key for texts that differ only in their constants.
//!
//! `pgbench -S` and many an application send another literal every time; parsing each would cost more than running it. A text
//! of plain tokens (no quoted names, dollars, comments, prefixed strings; nothing above ASCII outside of strings) has the same
//! parse tree but for the values of its integer and string constants, so texts that differ in them alone share a key.
//!
//! SECURITY: this holds because no classification looks at the value of a number (settings given as numbers are not
//! understood, `EXPLAIN (ANALYZE 0)` counts as running), and what looks at the value of a string ([`Shape::strings`] tells)
//! is never kept under such a key; nor is a text that fails to parse. Property tests change the constants of texts and compare.

/// Most digits of a constant that is marked: any such number is an int4, so the grammar treats all alike.
const DIGITS_MAX: usize = 9;

/// Stands for a number; with a quote after it, for a string. No text of the protocol can hold it, and no key a bare quote.
const MARK: u8 = 0;

/// What the key of a text leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Numbers.
    pub(super) numbers: bool,
    /// Strings.
    pub(super) strings: bool,
}

/// Writes the key of `text` to `key`; `None` when the text is not plain or has no constant, and stands for itself.
pub(super) fn mark(text: &[u8], key: &mut Vec<u8>) -> Option<Shape> {
    key.clear();
    let mut shape = Shape::default();
    let mut rest = text;
    let mut previous = b' ';
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'\'' => {
                // `E'`, `U&'`, `date'`: not a plain string.
                if continues(previous) || previous == b'&' {
                    return None;
                }
                rest = after_string(after)?;
                key.extend_from_slice(&[MARK, b'\'']);
                shape.strings = true;
            }
            b'0'..=b'9' if !continues(previous) => {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                let (number, after) = rest.split_at_checked(digits)?;
                let alone = after.first().is_none_or(|&b| !continues(b));
                if alone && digits <= DIGITS_MAX {
                    key.push(MARK);
                    shape.numbers = true;
                } else {
                    key.extend_from_slice(number);
                }
                rest = after;
            }
            _ if is_plain(byte, after.first().copied()) => {
                key.push(byte);
                rest = after;
            }
            _ => return None,
        }
        previous = byte;
    }
    // What is in strings is not in the key: it must at least be text, or the whole is not understood.
    let readable = !shape.strings || std::str::from_utf8(text).is_ok();
    (shape != Shape::default() && readable).then_some(shape)
}

/// What follows a string whose opening quote was read; `None` when it does not end.
fn after_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let end = memchr::memchr2(b'\'', 0, rest)?;
        match rest.get(end..)? {
            [b'\'', b'\'', after @ ..] => rest = after,
            [b'\'', after @ ..] => return Some(after),
            _ => return None,
        }
    }
}

/// Whether a byte can stand in a text of plain tokens.
fn is_plain(byte: u8, next: Option<u8>) -> bool {
    match byte {
        b'"' | b'$' | b'\\' | b'`' | 0 => false,
        b'-' => next != Some(b'-'),
        b'/' => next != Some(b'*'),
        byte => byte.is_ascii(),
    }
}

/// Whether a byte beside a number or string makes it part of another token.
fn continues(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        let mut key = Vec::new();
        mark(text.as_bytes(), &mut key).map(|_| String::from_utf8(key).unwrap().replace('\0', "?"))
    }

    #[test]
    fn plain_constants_are_marked_and_nothing_else() {
        assert_eq!(key("SELECT a FROM t WHERE b = 12;").unwrap(), "SELECT a FROM t WHERE b = ?;");
        assert_eq!(key("SELECT t1.c2, 3").unwrap(), "SELECT t1.c2, ?");
        assert_eq!(
            key("SELECT 1.5, 1e5, 0x1F, 1_000, .5, 1., 2").unwrap(),
            "SELECT 1.5, 1e5, 0x1F, 1_000, .5, 1., ?"
        );
        assert_eq!(key("SELECT 1234567890, 1").unwrap(), "SELECT 1234567890, ?");
        assert_eq!(key("SELECT 'a', 'b''c', 'd\\', 7").unwrap(), "SELECT ?', ?', ?', ?");
        assert_eq!(key("SELECT 'é 7'").unwrap(), "SELECT ?'");
        assert_eq!(key("SELECT 2-1, -3").unwrap(), "SELECT ?-?, -?");
        for text in [
            "SELECT 'a, 1",
            "SELECT E'a', 1",
            "SELECT U&'a', 1",
            "SELECT date'a', 1",
            "SELECT \"a\", 1",
            "SELECT $1, 1",
            "SELECT 1 -- x",
            "SELECT 1 /* x",
            "SELECT é1 , 1",
            "SELECT x",
        ] {
            assert_eq!(key(text), None, "{text}");
        }
    }
}

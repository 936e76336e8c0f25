//! One key for texts that differ only in their plain integers.
//!
//! `pgbench -S` sends another literal every time; parsing each would cost more than running it. A text of plain tokens (no
//! quotes, dollars, backslashes, comments, bytes above ASCII) has the same parse tree but for the values of its integer
//! constants. SECURITY: this holds because no classification looks at the value of a number: settings given as numbers are not
//! understood, `EXPLAIN (ANALYZE 0)` counts as running, and a text that fails to parse is never kept under such a key. A
//! property test changes the numbers of texts and compares.

/// Most digits of a constant that is marked: any such number is an int4, so the grammar treats all alike.
const DIGITS_MAX: usize = 9;

/// Stands for a constant. No text of the protocol can hold it.
const MARK: u8 = 0;

/// Writes the key of `text` to `key`; false when the text is not plain or has no constant, and stands for itself.
pub(super) fn mark(text: &[u8], key: &mut Vec<u8>) -> bool {
    key.clear();
    let mut marked = false;
    let mut rest = text;
    let mut previous = b' ';
    while let Some((&byte, after)) = rest.split_first() {
        if !is_plain(byte, after.first().copied()) {
            return false;
        }
        if byte.is_ascii_digit() && !continues(previous) {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let (number, after) = rest.split_at_checked(digits).unwrap_or((rest, &[]));
            let alone = after.first().is_none_or(|&b| !continues(b));
            if alone && digits <= DIGITS_MAX {
                key.push(MARK);
                marked = true;
            } else {
                key.extend_from_slice(number);
            }
            previous = byte;
            rest = after;
            continue;
        }
        key.push(byte);
        previous = byte;
        rest = after;
    }
    marked
}

/// Whether a byte can stand in a text of plain tokens.
fn is_plain(byte: u8, next: Option<u8>) -> bool {
    match byte {
        b'\'' | b'"' | b'$' | b'\\' | b'`' | 0 => false,
        b'-' => next != Some(b'-'),
        b'/' => next != Some(b'*'),
        byte => byte.is_ascii(),
    }
}

/// Whether a byte beside a number makes it part of another token.
fn continues(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        let mut key = Vec::new();
        mark(text.as_bytes(), &mut key).then(|| String::from_utf8(key).unwrap().replace('\0', "?"))
    }

    #[test]
    fn plain_integers_are_marked_and_nothing_else() {
        assert_eq!(key("SELECT a FROM t WHERE b = 12;").unwrap(), "SELECT a FROM t WHERE b = ?;");
        assert_eq!(key("SELECT t1.c2, 3").unwrap(), "SELECT t1.c2, ?");
        assert_eq!(
            key("SELECT 1.5, 1e5, 0x1F, 1_000, .5, 1., 2").unwrap(),
            "SELECT 1.5, 1e5, 0x1F, 1_000, .5, 1., ?"
        );
        assert_eq!(key("SELECT 1234567890, 1").unwrap(), "SELECT 1234567890, ?");
        assert_eq!(key("SELECT 2-1, -3").unwrap(), "SELECT ?-?, -?");
        for text in [
            "SELECT 'a', 1",
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

//! Takes secrets out of a text before it is recorded, even sealed: a password in a log is a password for everyone who reads it.
//!
//! It works on tokens, not on the parse tree, because texts that do not parse are recorded as well. Replaced by
//! `[redacted]` are
//!
//! - string constants after `PASSWORD`, or after a name that ends in `password`, `passwd`, `pwd`, `secret`, `token`, `api_key` or
//!   `private_key`, with or without `=`, `:=` or `=>` between (roles, user mappings, `SET`, `WHERE`, `UPDATE … SET`);
//! - whole constants that hold a SCRAM verifier or an md5 password hash;
//! - what follows `password=` inside of a constant (connection strings, SQL inside of strings), and the password of a URL;
//! - constants inside of the call of a function that takes a key or password (`crypt`, `pgp_sym_encrypt`, `dblink_connect`, …).
//!
//! Bodies in dollar quotes are looked into. Not found: a secret in a VALUES list under a column list, in a comment, or
//! under a name that does not say so.

use std::borrow::Cow;

mod lex;

use lex::{Lexer, Token};

/// What stands in place of a secret.
pub const REDACTED: &[u8] = b"[redacted]";

/// Deepest dollar-quoted body inside of a body that is looked into; what is deeper is replaced whole.
const DEPTH_MAX: usize = 4;

/// Whether a text holds what looks like a secret.
#[must_use]
pub fn is_needed(text: &[u8]) -> bool {
    matches!(self::text(text), Cow::Owned(_))
}

/// The text without its secrets; borrowed when there are none.
#[must_use]
pub fn text(text: &[u8]) -> Cow<'_, [u8]> {
    if !may_hold(text) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    if body(text, &mut out, 0) { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// A cheap look: no text without one of these holds what is replaced.
fn may_hold(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hints: &[&[u8]] = match first.to_ascii_lowercase() {
            b'p' => &[b"assw", b"wd", b"gp_"],
            b's' => &[b"ecret", b"cram-"],
            b't' => &[b"oken"],
            b'_' => &[b"key"],
            b'a' => &[b"pikey"],
            b'm' => &[b"d5"],
            b':' => &[b"//"],
            b'c' => &[b"rypt"],
            b'd' => &[b"blink", b"igest"],
            b'h' => &[b"mac"],
            _ => &[],
        };
        let follows = |hint: &&[u8]| after.get(..hint.len()).is_some_and(|a| a.eq_ignore_ascii_case(hint));
        if hints.iter().any(follows) {
            return true;
        }
        rest = after;
    }
    false
}

/// What the next string constant is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Looked into.
    Plain,
    /// A secret: the name before it says so.
    Secret,
}

/// Writes `text` to `out` without its secrets; whether there were any.
fn body(text: &[u8], out: &mut Vec<u8>, depth: usize) -> bool {
    let mut found = false;
    let mut next = Next::Plain;
    // Parentheses open since the call of a function whose constants are secrets; 0 outside.
    let mut inside = 0_usize;
    let mut called = false;
    for token in Lexer::new(text) {
        match token {
            Token::Space(bytes) => out.extend_from_slice(bytes),
            Token::Word(bytes) => {
                called = is_secret_function(bytes);
                next = if is_secret_name(bytes) { Next::Secret } else { after_word(bytes, next) };
                out.extend_from_slice(bytes);
            }
            Token::Constant { open, content, close } => {
                let secret = next == Next::Secret || inside > 0 || is_verifier(content);
                out.extend_from_slice(open);
                found |= constant(content, secret, open.starts_with(b"$"), out, depth);
                out.extend_from_slice(close);
                // `'a' 'b'` on two lines is one constant: what follows a secret constant directly is secret, too.
                called = false;
            }
            Token::Other(byte) => {
                inside = match byte {
                    b'(' if called || inside > 0 => inside.saturating_add(1),
                    b')' => inside.saturating_sub(1),
                    _ => inside,
                };
                called = false;
                if !matches!(byte, b'=' | b':' | b'>' | b'~' | b'(') {
                    next = Next::Plain;
                }
                out.push(byte);
            }
        }
    }
    found
}

/// Writes one constant; whether it held a secret.
fn constant(content: &[u8], secret: bool, dollar: bool, out: &mut Vec<u8>, depth: usize) -> bool {
    if content.is_empty() {
        return false;
    }
    if secret {
        out.extend_from_slice(REDACTED);
        return true;
    }
    if dollar {
        if depth >= DEPTH_MAX {
            out.extend_from_slice(REDACTED);
            return true;
        }
        return body(content, out, depth + 1);
    }
    inner(content, out)
}

/// Looks for `password=…` and `://user:password@` inside of a constant.
fn inner(content: &[u8], out: &mut Vec<u8>) -> bool {
    if let Some(end) = assignment(content) {
        out.extend_from_slice(content.get(..end).unwrap_or_default());
        out.extend_from_slice(REDACTED);
        return true;
    }
    if let Some((start, end)) = url_password(content) {
        out.extend_from_slice(content.get(..start).unwrap_or_default());
        out.extend_from_slice(REDACTED);
        out.extend_from_slice(content.get(end..).unwrap_or_default());
        return true;
    }
    out.extend_from_slice(content);
    false
}

/// Where the value begins that a name of a secret is given inside of `content`; the rest of the constant goes with it.
fn assignment(content: &[u8]) -> Option<usize> {
    let mut named = false;
    let mut at = 0;
    for token in Lexer::new(content) {
        match token {
            Token::Word(word) => {
                // `PASSWORD ''x''` inside of a string: the quotes are doubled, so the constant looks empty.
                named = is_secret_name(word);
            }
            Token::Other(b'=' | b':') if named => {
                let rest = content.get(at + 1..).unwrap_or_default();
                let blank = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
                return (blank < rest.len()).then_some(at + 1 + blank);
            }
            Token::Constant { .. } if named => return Some(at),
            Token::Space(_) => {}
            Token::Constant { .. } | Token::Other(_) => named = false,
        }
        at += token.len();
    }
    None
}

/// The password of the first URL in `content` that has one: from after its colon to its `@`.
fn url_password(content: &[u8]) -> Option<(usize, usize)> {
    let scheme = content.windows(3).position(|w| w == b"://")? + 3;
    let authority = content.get(scheme..)?;
    let authority_end =
        authority.iter().position(|b| matches!(b, b'/' | b'?' | b' ')).unwrap_or(authority.len());
    // The last `@` ends the user part; passwords with an unescaped slash make bad URLs.
    let user_end = authority.get(..authority_end)?.iter().rposition(|&b| b == b'@')?;
    let colon = authority.get(..user_end)?.iter().position(|&b| b == b':')?;
    (colon + 1 < user_end).then_some((scheme + colon + 1, scheme + user_end))
}

/// Whether a name says that what it holds is secret.
fn is_secret_name(word: &[u8]) -> bool {
    const ENDINGS: [&str; 9] =
        ["password", "passwd", "passwort", "pwd", "secret", "token", "api_key", "apikey", "private_key"];
    let word: Vec<u8> = word.iter().filter(|b| **b != b'"').map(u8::to_ascii_lowercase).collect();
    ENDINGS.iter().any(|ending| word.ends_with(ending.as_bytes())) || word == b"passphrase"
}

/// Words that may stand between a name and its value.
fn after_word(word: &[u8], next: Next) -> Next {
    let between: [&[u8]; 5] = [b"to", b"is", b"like", b"e", b"u"];
    if between.iter().any(|w| word.eq_ignore_ascii_case(w)) { next } else { Next::Plain }
}

/// Functions whose constants are passwords, keys or connection strings.
fn is_secret_function(word: &[u8]) -> bool {
    let word = word.to_ascii_lowercase();
    let prefixes: [&[u8]; 5] = [b"pgp_sym_", b"pgp_pub_decrypt", b"dblink", b"encrypt", b"decrypt"];
    prefixes.iter().any(|prefix| word.starts_with(prefix))
        || matches!(word.as_slice(), b"crypt" | b"hmac" | b"digest")
}

/// Whether a constant holds a password verifier.
fn is_verifier(content: &[u8]) -> bool {
    const SCRAM: &[u8] = b"SCRAM-SHA-256$";
    let scram = content.windows(SCRAM.len()).any(|w| w.eq_ignore_ascii_case(SCRAM));
    let md5 = content.windows(35).any(|w| match w.split_at_checked(3) {
        Some((b"md5", hash)) => hash.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    });
    scram || md5
}

#[cfg(test)]
mod tests;

//! Cuts a text into words, constants and the rest. Total: any bytes give tokens, and the tokens give back the bytes.
//!
//! SECURITY: where quoting depends on settings (`\'` in plain constants), the reading that makes constants longer is not
//! available without the settings; a constant that ends early leaves its rest to be read as words, and names in it still count.

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Blanks and comments.
    Space(&'a [u8]),
    /// A keyword, name (quoted or not) or number.
    Word(&'a [u8]),
    /// A string constant.
    Constant {
        /// The opening quote with its prefix.
        open: &'a [u8],
        /// What is between.
        content: &'a [u8],
        /// The closing quote; empty if the text ends before.
        close: &'a [u8],
    },
    /// Any other byte.
    Other(u8),
}

impl Token<'_> {
    /// Its length, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Space(bytes) | Self::Word(bytes) => bytes.len(),
            Self::Constant { open, content, close } => open.len() + content.len() + close.len(),
            Self::Other(_) => 1,
        }
    }
}

/// The tokens of a text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        head
    }

    fn quoted(&mut self, open_len: usize, escapes: bool) -> Token<'a> {
        let open = self.take(open_len);
        let mut end = 0;
        while let Some(&byte) = self.rest.get(end) {
            match byte {
                b'\\' if escapes => end += 2,
                b'\'' if self.rest.get(end + 1) == Some(&b'\'') => end += 2,
                b'\'' => break,
                _ => end += 1,
            }
        }
        let content = self.take(end);
        Token::Constant { open, content, close: self.take(1) }
    }

    /// A dollar quote, if one begins here.
    fn dollar(&mut self) -> Option<Token<'a>> {
        let tag_len = self.rest.iter().skip(1).take_while(|b| is_word(**b) && **b != b'$').count();
        if self.rest.get(1).is_some_and(u8::is_ascii_digit) || self.rest.get(1 + tag_len) != Some(&b'$') {
            return None;
        }
        let open = self.take(tag_len + 2);
        let end = memchr::memmem::find(self.rest, open).unwrap_or(self.rest.len());
        let content = self.take(end);
        Some(Token::Constant { open, content, close: self.take(open.len()) })
    }

    fn space_len(&self) -> usize {
        match self.rest {
            [b'-', b'-', ..] => memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len()),
            [b'/', b'*', ..] => comment_len(self.rest),
            _ => self.rest.iter().take_while(|b| b.is_ascii_whitespace()).count(),
        }
    }

    fn word_len(&self) -> usize {
        match self.rest {
            [b'"', quoted @ ..] => memchr::memchr(b'"', quoted).map_or(self.rest.len(), |end| end + 2),
            _ => self.rest.iter().take_while(|b| is_word(**b)).count(),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Length of a comment with the comments inside of it.
fn comment_len(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(pair) = text.get(at..at + 2) {
        match pair {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    text.len()
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let &first = self.rest.first()?;
        let space = self.space_len();
        if space > 0 {
            return Some(Token::Space(self.take(space)));
        }
        match (first, self.rest) {
            (b'\'', _) => return Some(self.quoted(1, false)),
            (_, [b'e' | b'E', b'\'', ..]) => return Some(self.quoted(2, true)),
            (_, [b'n' | b'N' | b'b' | b'B' | b'x' | b'X', b'\'', ..]) => return Some(self.quoted(2, false)),
            (_, [b'u' | b'U', b'&', b'\'', ..]) => return Some(self.quoted(3, false)),
            (b'$', _) => {
                if let Some(constant) = self.dollar() {
                    return Some(constant);
                }
            }
            _ => {}
        }
        match self.word_len() {
            0 => {
                self.take(1);
                Some(Token::Other(first))
            }
            len => Some(Token::Word(self.take(len))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_give_back_the_bytes(text in proptest::collection::vec(
            prop_oneof![Just(b'\''), Just(b'$'), Just(b'-'), Just(b'/'), Just(b'*'), Just(b'"'), Just(b'\\'), any::<u8>()], 0..200)) {
            let mut back = Vec::new();
            for token in Lexer::new(&text) {
                prop_assert!(token.len() > 0);
                match token {
                    Token::Space(bytes) | Token::Word(bytes) => back.extend_from_slice(bytes),
                    Token::Constant { open, content, close } => {
                        [open, content, close].iter().for_each(|b| back.extend_from_slice(b));
                    }
                    Token::Other(byte) => back.push(byte),
                }
            }
            prop_assert_eq!(back, text);
        }
    }
}

//! How a byte stream is cut into messages: a type byte, then a length that counts itself but not the type byte.
//!
//! Row data is never decoded: the relay needs [`header`] only, and forwards the slice. Specification: PostgreSQL
//! documentation, "Message Flow" and "Message Formats".

use crate::violation::Violation;

/// Length of the type byte and the length field, in bytes.
pub const HEADER_LEN: usize = 5;

/// Largest message PostgreSQL takes or gives, in bytes, without its type byte (`PQ_LARGE_MESSAGE_LIMIT`).
pub const LARGE_LEN_MAX: u32 = 0x3fff_fffe;

/// Largest message of a kind that has no reason to be large (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_LEN_MAX: u32 = 10_000;

/// Largest message before a session is authenticated (`PG_MAX_AUTH_TOKEN_LENGTH`).
pub const AUTH_LEN_MAX: u32 = 65_535;

/// The head of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type byte.
    pub tag: u8,
    /// Length of the whole message with its header, in bytes.
    pub frame_len: usize,
}

impl Header {
    /// Length of what follows the header, in bytes.
    #[must_use]
    pub fn body_len(self) -> usize {
        self.frame_len.saturating_sub(HEADER_LEN)
    }
}

/// One whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte.
    pub tag: u8,
    /// What follows the header.
    pub body: &'a [u8],
}

/// Who sent the stream: their limits and type bytes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client.
    Front,
    /// A server.
    Back,
    /// A client not yet authenticated.
    Login,
}

impl Side {
    /// Largest stated length this side may send for a type byte.
    #[must_use]
    #[inline]
    pub fn len_max(self, tag: u8) -> u32 {
        match (self, tag) {
            (Self::Login, _) => AUTH_LEN_MAX,
            (Self::Front, b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f') => SMALL_LEN_MAX,
            (Self::Front | Self::Back, _) => LARGE_LEN_MAX,
        }
    }
}

/// Reads the head of the message at the start of `bytes`; `None` while fewer than [`HEADER_LEN`] bytes are there.
///
/// # Errors
/// [`Violation::FrameLength`] when the length is impossible or above what this side may send for the type.
#[inline]
pub fn header(side: Side, bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let stated = u32::from_be_bytes([a, b, c, d]);
    if stated < 4 || stated > side.len_max(tag) {
        return Err(Violation::FrameLength { tag, stated });
    }
    let frame_len = usize::try_from(stated).map_err(|_| Violation::FrameLength { tag, stated })? + 1;
    Ok(Some(Header { tag, frame_len }))
}

/// Cuts the first whole message off `bytes`; `None` while it is not all there. Gives the message and its whole length.
///
/// # Errors
/// As [`header`].
#[inline]
pub fn first(side: Side, bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Violation> {
    let Some(header) = header(side, bytes)? else { return Ok(None) };
    let body = bytes.get(HEADER_LEN..header.frame_len);
    Ok(body.map(|body| (Frame { tag: header.tag, body }, header.frame_len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_when_it_is_whole() {
        let bytes = b"Q\0\0\0\x06a\0Z";
        for end in 0..7 {
            assert_eq!(first(Side::Front, &bytes[..end]), Ok(None));
        }
        let frame = Frame { tag: b'Q', body: b"a\0" };
        assert_eq!(first(Side::Front, bytes), Ok(Some((frame, 7))));
    }

    #[test]
    fn impossible_lengths_are_violations_at_once() {
        assert_eq!(header(Side::Back, b"D\0\0\0\x03"), Err(Violation::FrameLength { tag: b'D', stated: 3 }));
        assert_eq!(
            header(Side::Front, b"d\x3f\xff\xff\xff"),
            Err(Violation::FrameLength { tag: b'd', stated: 0x3fff_ffff })
        );
        assert!(header(Side::Back, b"d\x3f\xff\xff\xfe").is_ok());
        assert!(header(Side::Front, b"S\x00\x01\x00\x00").is_err(), "a sync has no reason to be large");
        assert!(header(Side::Login, b"p\x00\x01\x00\x00").is_err(), "strangers get little memory");
    }
}

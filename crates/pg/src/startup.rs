//! The packets before the first message: no type byte, a length, then a version or a request code.
//!
//! `SSLRequest`, `GSSENCRequest`, `CancelRequest` (with the variable secret of protocol 3.2) and `StartupMessage`.

use bytes::{BufMut, BytesMut};

use crate::reader::Reader;
use crate::violation::Violation;

/// Largest startup packet, in bytes (`MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_LEN_MAX: u32 = 10_000;

/// Most parameters a startup packet may carry.
pub const PARAMETERS_MAX: usize = 128;

/// Longest secret of a cancel key in protocol 3.2, in bytes.
pub const SECRET_LEN_MAX: usize = 256;

/// First byte of a TLS record that starts a handshake: the client speaks TLS directly (`sslnegotiation=direct`).
pub const TLS_HANDSHAKE: u8 = 0x16;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
}

impl Version {
    /// What every client and server speaks.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// PostgreSQL 18: longer cancel secrets.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// What both sides speak when a client asks for `self` and this side speaks up to `ours`. There is no 3.1.
    #[must_use]
    pub fn negotiated(self, ours: Self) -> Self {
        let version = self.min(ours);
        if version < Self::V3_2 { Self::V3_0 } else { version }
    }

    /// The version as it stands in a packet.
    #[must_use]
    pub fn code(self) -> u32 {
        u32::from(self.major) << 16 | u32::from(self.minor)
    }
}

/// Names the server process a cancel request means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// Process id of the session's server process.
    pub process: u32,
    /// Its secret: 4 bytes in protocol 3.0, up to [`SECRET_LEN_MAX`] in 3.2.
    pub secret: Vec<u8>,
}

/// What a client asks for when it connects. Not `Copy`, borrowed from the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Startup<'a> {
    /// Asks for TLS; answered by `S` or `N`.
    Ssl,
    /// Asks for GSSAPI encryption; answered by `N`.
    Gssenc,
    /// Asks to cancel what another session runs. Never answered.
    Cancel(CancelKey),
    /// Starts a session.
    Start(Start<'a>),
}

/// Name and value of a startup parameter.
pub type Parameter<'a> = (&'a [u8], &'a [u8]);

/// A `StartupMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<'a> {
    /// The protocol version asked for; the major version is 3.
    pub version: Version,
    /// Names and values, in order. Names beginning with `_pq_.` are protocol options.
    pub parameters: Vec<Parameter<'a>>,
}

impl<'a> Start<'a> {
    /// The value of a parameter; the last one wins, as in the server.
    #[must_use]
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.parameters.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// Names of the protocol options asked for; this side knows none of them.
    pub fn options(&self) -> impl Iterator<Item = &'a [u8]> {
        self.parameters.iter().map(|(name, _)| *name).filter(|name| name.starts_with(b"_pq_."))
    }

    /// Whether the client asks for a replication connection, physical or logical.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        // SECURITY: the server takes `database` and any boolean spelling; everything but a clear "no" counts.
        let no: [&[u8]; 12] =
            [b"", b"0", b"f", b"fa", b"fal", b"fals", b"false", b"n", b"no", b"of", b"off", b"FALSE"];
        self.parameter(b"replication").is_some_and(|value| !no.contains(&value))
    }
}

/// Reads the startup packet at the start of `bytes` and its length in bytes; `None` while it is not all there.
///
/// # Errors
/// [`Violation::FrameLength`], [`Violation::Startup`] or [`Violation::Version`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Startup<'_>, usize)>, Violation> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let stated = u32::from_be_bytes(*length);
    if !(8..=STARTUP_LEN_MAX).contains(&stated) {
        return Err(Violation::FrameLength { tag: 0, stated });
    }
    let len = usize::try_from(stated).map_err(|_| Violation::FrameLength { tag: 0, stated })?;
    let Some(body) = rest.get(..len - 4) else { return Ok(None) };
    parse_body(body).map(|startup| Some((startup, len)))
}

fn parse_body(body: &[u8]) -> Result<Startup<'_>, Violation> {
    let mut reader = Reader::new(0, body);
    let code = reader.u32().map_err(|_| Violation::Startup)?;
    let startup = match code {
        SSL_REQUEST => Startup::Ssl,
        GSSENC_REQUEST => Startup::Gssenc,
        CANCEL_REQUEST => {
            let process = reader.u32().map_err(|_| Violation::Startup)?;
            let secret = reader.rest();
            if secret.is_empty() || secret.len() > SECRET_LEN_MAX {
                return Err(Violation::Startup);
            }
            Startup::Cancel(CancelKey { process, secret: secret.to_vec() })
        }
        _ => {
            let [a, b, c, d] = code.to_be_bytes();
            let version = Version { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) };
            if version.major != 3 {
                return Err(Violation::Version { major: version.major, minor: version.minor });
            }
            Startup::Start(Start { version, parameters: parameters(&mut reader)? })
        }
    };
    reader.end().map_err(|_| Violation::Startup)?;
    Ok(startup)
}

fn parameters<'a>(reader: &mut Reader<'a>) -> Result<Vec<Parameter<'a>>, Violation> {
    let mut parameters = Vec::new();
    loop {
        let name = reader.cstr().map_err(|_| Violation::Startup)?;
        if name.is_empty() {
            return Ok(parameters);
        }
        if parameters.len() == PARAMETERS_MAX {
            return Err(Violation::Startup);
        }
        parameters.push((name, reader.cstr().map_err(|_| Violation::Startup)?));
    }
}

/// Asks the target for TLS; it answers with one byte, `S` or `N` (or an ErrorResponse, from ancient ones).
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(SSL_REQUEST);
}

/// Asks the target to cancel what the session with that key runs.
pub fn cancel_request(out: &mut BytesMut, key: &CancelKey) {
    out.put_u32(12_u32.saturating_add(u32::try_from(key.secret.len()).unwrap_or(u32::MAX)));
    out.put_u32(CANCEL_REQUEST);
    out.put_u32(key.process);
    out.put_slice(&key.secret);
}

/// Starts a session. Names and values must not hold zero bytes: they are cut there.
pub fn startup_message(out: &mut BytesMut, version: Version, parameters: &[(&[u8], &[u8])]) {
    let mut body = BytesMut::new();
    for (name, value) in parameters {
        crate::write::cstr(&mut body, name);
        crate::write::cstr(&mut body, value);
    }
    body.put_u8(0);
    out.put_u32(8_u32.saturating_add(u32::try_from(body.len()).unwrap_or(u32::MAX)));
    out.put_u32(version.code());
    out.put_slice(&body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_startup_message_round_trips() {
        let mut out = BytesMut::new();
        startup_message(
            &mut out,
            Version::V3_2,
            &[(b"user", b"orders/fix"), (b"_pq_.x", b"1"), (b"user", b"z")],
        );
        for end in 0..out.len() {
            assert_eq!(parse(&out[..end]), Ok(None));
        }
        let (startup, len) = parse(&out).unwrap().unwrap();
        assert_eq!(len, out.len());
        let Startup::Start(start) = startup else { panic!("{startup:?}") };
        assert_eq!(start.version, Version::V3_2);
        assert_eq!(start.parameter(b"user"), Some(&b"z"[..]));
        assert_eq!(start.options().collect::<Vec<_>>(), [b"_pq_.x"]);
    }

    #[test]
    fn a_cancel_request_carries_short_and_long_secrets() {
        for len in [4, 32, 256] {
            let key = CancelKey { process: 7, secret: vec![9; len] };
            let mut out = BytesMut::new();
            cancel_request(&mut out, &key);
            assert_eq!(parse(&out), Ok(Some((Startup::Cancel(key), out.len()))));
        }
        let mut out = BytesMut::new();
        cancel_request(&mut out, &CancelKey { process: 7, secret: vec![9; 257] });
        assert_eq!(parse(&out), Err(Violation::Startup));
    }

    #[test]
    fn requests_hold_nothing_more() {
        let mut out = BytesMut::new();
        ssl_request(&mut out);
        assert_eq!(parse(&out), Ok(Some((Startup::Ssl, 8))));
        assert_eq!(parse(&[0, 0, 0, 9, 4, 210, 22, 47, 0]), Err(Violation::Startup));
        assert_eq!(parse(&[0, 0, 0, 8, 4, 210, 22, 48]), Ok(Some((Startup::Gssenc, 8))));
        assert_eq!(parse(&[0, 0, 0, 8, 0, 2, 0, 0]), Err(Violation::Version { major: 2, minor: 0 }));
        assert_eq!(parse(&[0, 0, 0x40, 0]), Err(Violation::FrameLength { tag: 0, stated: 0x4000 }));
    }

    #[test]
    fn only_a_clear_no_is_not_replication() {
        let start = |value| Start { version: Version::V3_0, parameters: vec![(b"replication", value)] };
        for value in [&b"database"[..], b"true", b"1", b"on", b"yes", b"DATABASE", b"what"] {
            assert!(start(value).is_replication());
        }
        for value in [&b"0"[..], b"off", b"false", b"no"] {
            assert!(!start(value).is_replication());
        }
    }

    #[test]
    fn a_newer_minor_version_is_negotiated_down() {
        let ask = |minor| Version { major: 3, minor }.negotiated(Version::V3_2).minor;
        assert_eq!([ask(0), ask(1), ask(2), ask(9)], [0, 0, 2, 2]);
        assert_eq!(Version { major: 3, minor: 9 }.negotiated(Version::V3_0), Version::V3_0);
    }
}

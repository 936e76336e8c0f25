//! The few PostgreSQL messages that the local relay needs. Pure but for two readers. Limits on everything.

use std::io;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// PostgreSQL's own limit of a startup packet.
const STARTUP_LEN_MAX: u32 = 10_000;
/// Longest message of a login that we take in.
const LOGIN_LEN_MAX: u32 = 64 << 10;

const CANCEL_CODE: u32 = 80_877_102;
const SSL_CODE: u32 = 80_877_103;
const GSS_CODE: u32 = 80_877_104;

/// The whole SSLRequest packet.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// AuthenticationCleartextPassword, whole.
pub(crate) const ASK_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
pub(crate) const AUTHENTICATION_OK: u32 = 0;
pub(crate) const CLEARTEXT_PASSWORD: u32 = 3;

/// How a tool begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A CancelRequest, whole, to pass on as it is.
    Cancel(Vec<u8>),
    /// The protocol version and the parameters of a startup packet.
    Start(Parameters),
}

/// A startup packet taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    version: u32,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads up to the startup packet, answering offers of encryption with "no": this socket never leaves the machine.
pub(crate) async fn read_opening<S: AsyncRead + AsyncWrite + Unpin>(local: &mut S) -> io::Result<Opening> {
    for _ in 0..4 {
        let len = local.read_u32().await?;
        if !(8..=STARTUP_LEN_MAX).contains(&len) {
            return Err(violation("a startup packet of impossible length"));
        }
        let mut packet = len.to_be_bytes().to_vec();
        packet.resize(usize::try_from(len).unwrap_or(8), 0);
        let body = packet.get_mut(4..).unwrap_or_default();
        local.read_exact(body).await?;
        let code = body.first_chunk::<4>().map_or(0, |code| u32::from_be_bytes(*code));
        match code {
            SSL_CODE | GSS_CODE => local.write_all(b"N").await?,
            CANCEL_CODE => return Ok(Opening::Cancel(packet)),
            _ if code >> 16 == 3 => {
                return parameters(code, body.get(4..).unwrap_or_default()).map(Opening::Start);
            }
            _ => return Err(violation("a protocol that is not PostgreSQL 3")),
        }
    }
    Err(violation("too many offers of encryption"))
}

fn parameters(version: u32, body: &[u8]) -> io::Result<Parameters> {
    let mut words = body.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let mut pairs = Vec::new();
    while let Some(name) = words.next().filter(|name| !name.is_empty()) {
        pairs.push((name, words.next().ok_or_else(|| violation("a startup parameter without value"))?));
    }
    Ok(Parameters { version, pairs })
}

/// The startup packet for the gateway: our user, the tool's other parameters, our database when it names none.
pub(crate) fn startup(parameters: &Parameters, user: &str, database: &str) -> Vec<u8> {
    let local_user = parameters.pairs.iter().find(|(name, _)| name == b"user").map(|(_, user)| user.clone());
    let mut packet = vec![0; 4];
    packet.extend(parameters.version.to_be_bytes());
    let mut named = false;
    let mut put = |name: &[u8], value: &[u8]| {
        packet.extend_from_slice(name);
        packet.push(0);
        packet.extend_from_slice(value);
        packet.push(0);
    };
    put(b"user", user.as_bytes());
    for (name, value) in &parameters.pairs {
        match name.as_slice() {
            b"user" => {}
            // libpq fills in the user's name when no database was named: that is not a choice.
            b"database" if Some(value) == local_user.as_ref() => {}
            _ => {
                named |= name == b"database";
                put(name, value);
            }
        }
    }
    if !named {
        put(b"database", database.as_bytes());
    }
    packet.push(0);
    let len = u32::try_from(packet.len()).unwrap_or(0).to_be_bytes();
    packet.splice(..4, len);
    packet
}

/// Reads one whole message of a login.
pub(crate) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let len = stream.read_u32().await?;
    if !(4..=LOGIN_LEN_MAX).contains(&len) {
        return Err(violation("a login message of impossible length"));
    }
    let mut body = vec![0; usize::try_from(len - 4).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// A whole message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(4);
    [&[kind], len.to_be_bytes().as_slice(), body].concat()
}

/// PasswordMessage with the pass.
pub(crate) fn password_message(pass: &str) -> zeroize::Zeroizing<Vec<u8>> {
    let body = zeroize::Zeroizing::new([pass.as_bytes(), &[0]].concat());
    zeroize::Zeroizing::new(message(b'p', &body))
}

/// ErrorResponse that ends the connection.
pub(crate) fn error_response(sqlstate: &str, words: &str) -> Vec<u8> {
    message(b'E', &fields("FATAL", sqlstate, words))
}

/// NoticeResponse.
pub(crate) fn notice(words: &str) -> Vec<u8> {
    message(b'N', &fields("NOTICE", "01000", words))
}

fn fields(severity: &str, sqlstate: &str, words: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, text) in [(b'S', severity), (b'V', severity), (b'C', sqlstate), (b'M', words)] {
        body.push(field);
        body.extend(text.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    body.push(0);
    body
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn violation(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// Follows where messages begin and end in a stream, without looking into them.
#[derive(Debug, Default)]
pub(crate) struct Framed {
    /// Bytes of the current message that are still to come.
    left: usize,
}

impl Framed {
    /// How much of `bytes` may be forwarded: all but the beginning of a header that is not whole yet.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0_usize;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.left > 0 {
                let step = self.left.min(rest.len());
                self.left -= step;
                at += step;
                if self.left > 0 {
                    return Ok(at);
                }
                continue;
            }
            let Some([_, len @ ..]) = rest.first_chunk::<5>() else { return Ok(at) };
            let len = u32::from_be_bytes(*len);
            if len < 4 {
                return Err(violation("a message of impossible length"));
            }
            self.left = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(1);
        }
    }

    /// Whether a message of ours may go in here.
    pub(crate) fn between_messages(&self) -> bool {
        self.left == 0
    }
}

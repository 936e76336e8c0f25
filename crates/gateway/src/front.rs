//! From an accepted connection to somebody who says who they are: TLS, startup packet, pass.
//!
//! Nothing is decided here. Every wait has a deadline, every length a limit, and a stranger costs at most one startup
//! packet of memory.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use daypass_pg::error::{Report, Severity, SqlState};
use daypass_pg::frame::{self, Side};
use daypass_pg::startup::{self, CancelKey, Start, Startup, TLS_HANDSHAKE, Version};
use daypass_pg::violation::Violation;
use daypass_pg::write;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::tls::{ALPN, FrontTls};

/// How long a client may take from its first byte to its pass.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Most requests for encryption before a session is asked for: GSSAPI, then TLS.
const NEGOTIATIONS_MAX: usize = 3;

/// What came of a connection.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody asks for a session and has shown a pass, not yet looked at.
    Start(Box<Hello>),
    /// Somebody asks to cancel what a session runs. They wait for `socket` to close: by then it must have been delivered.
    Cancel {
        /// What they name the session by.
        key: CancelKey,
        /// The way to them.
        socket: TcpStream,
    },
}

/// Who asks for a session, in their own words. Nothing of it is proven.
pub struct Hello {
    /// The way to the person.
    pub stream: TlsStream<TcpStream>,
    /// The version both sides speak.
    pub version: Version,
    /// The `user` of the startup packet: `resource` or `resource/role`.
    pub user: String,
    /// The other parameters of the startup packet, in order.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Asks for a replication connection.
    pub replication: bool,
    /// The pass, as typed.
    pub pass: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("user", &self.user)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Why a connection came to nothing. The client has been told where it could understand.
#[derive(Debug)]
pub enum FrontFailure {
    /// It went away, or the socket failed.
    Io(io::Error),
    /// It was too slow.
    Deadline,
    /// It broke the protocol.
    Violation(Violation),
    /// It asked for a session without TLS.
    Plaintext,
    /// It spoke TLS directly without naming the protocol (ALPN).
    NoAlpn,
    /// Its user or pass is not text.
    NotText,
}

impl fmt::Display for FrontFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "connection failed: {error}"),
            Self::Deadline => f.write_str("client was too slow to log in"),
            Self::Violation(violation) => violation.fmt(f),
            Self::Plaintext => f.write_str("client asked for a session without TLS"),
            Self::NoAlpn => f.write_str("client spoke TLS directly without ALPN `postgresql`"),
            Self::NotText => f.write_str("user name is not UTF-8 text"),
        }
    }
}

impl std::error::Error for FrontFailure {}

impl From<io::Error> for FrontFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Violation> for FrontFailure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Takes a connection up to the point where the pass is in hand, within [`HANDSHAKE_TIMEOUT`].
///
/// # Errors
/// [`FrontFailure`]; the connection is closed.
pub async fn arrive(socket: TcpStream, tls: &FrontTls) -> Result<Arrival, FrontFailure> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, negotiate(socket, tls))
        .await
        .unwrap_or(Err(FrontFailure::Deadline))
}

async fn negotiate(mut socket: TcpStream, tls: &FrontTls) -> Result<Arrival, FrontFailure> {
    socket.set_nodelay(true)?;
    for _ in 0..NEGOTIATIONS_MAX {
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if first == [TLS_HANDSHAKE] {
            let stream = tls.acceptor().accept(socket).await?;
            if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Err(FrontFailure::NoAlpn);
            }
            return greet(stream).await;
        }
        // Exactly one packet is read, so nothing sent in clear can pass for something sent under TLS.
        let packet = match read_packet(&mut socket).await {
            Err(FrontFailure::Violation(violation)) => return Err(fail(&mut socket, violation).await),
            other => other?,
        };
        match parse(&packet) {
            Ok(Startup::Ssl) => {
                socket.write_all(b"S").await?;
                return greet(tls.acceptor().accept(socket).await?).await;
            }
            Ok(Startup::Gssenc) => socket.write_all(b"N").await?,
            Ok(Startup::Cancel(key)) => return Ok(Arrival::Cancel { key, socket }),
            Ok(Startup::Start(_)) => {
                tell(&mut socket, &PLAINTEXT).await;
                return Err(FrontFailure::Plaintext);
            }
            Err(violation) => return Err(fail(&mut socket, violation).await),
        }
    }
    Err(fail(&mut socket, Violation::Startup).await)
}

const PLAINTEXT: Report<'_> = Report {
    severity: Severity::Fatal,
    code: SqlState::INVALID_AUTHORIZATION,
    message: "this gateway takes connections over TLS only",
    detail: "",
    hint: "add sslmode=require to the connection (or sslmode=verify-full with sslrootcert set to the gateway's CA), or use `daypass connect`",
};

/// What a stranger says under TLS.
async fn greet(mut stream: TlsStream<TcpStream>) -> Result<Arrival, FrontFailure> {
    let packet = match read_packet(&mut stream).await {
        Err(FrontFailure::Violation(violation)) => return Err(fail(&mut stream, violation).await),
        other => other?,
    };
    match parse(&packet) {
        Ok(Startup::Cancel(key)) => Ok(Arrival::Cancel { key, socket: stream.into_inner().0 }),
        Ok(Startup::Start(start)) => ask_pass(stream, &start).await,
        Ok(Startup::Ssl | Startup::Gssenc) => Err(fail(&mut stream, Violation::Startup).await),
        Err(violation) => Err(fail(&mut stream, violation).await),
    }
}

async fn ask_pass(mut stream: TlsStream<TcpStream>, start: &Start<'_>) -> Result<Arrival, FrontFailure> {
    let version = start.version.negotiated(Version::V3_2);
    let mut out = BytesMut::new();
    if version != start.version || start.options().next().is_some() {
        write::negotiate_protocol_version(&mut out, version, start.options());
    }
    write::authentication_cleartext(&mut out);
    stream.write_all(&out).await?;
    stream.flush().await?;
    let pass = match read_pass(&mut stream).await {
        Err(FrontFailure::Violation(violation)) => return Err(fail(&mut stream, violation).await),
        other => other?,
    };
    let user = start.parameter(b"user").unwrap_or_default();
    let user = std::str::from_utf8(user).map_err(|_| FrontFailure::NotText)?.to_owned();
    let ours = |name: &[u8]| name == b"user" || name == b"replication" || name.starts_with(b"_pq_.");
    let parameters = start.parameters.iter().filter(|(name, _)| !ours(name));
    let parameters = parameters.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let replication = start.is_replication();
    Ok(Arrival::Start(Box::new(Hello { stream, version, user, parameters, replication, pass })))
}

/// Reads one startup packet, no byte more.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, FrontFailure> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let stated = u32::from_be_bytes(head);
    if !(8..=startup::STARTUP_LEN_MAX).contains(&stated) {
        return Err(Violation::FrameLength { tag: 0, stated }.into());
    }
    let mut packet = head.to_vec();
    packet.resize(usize::try_from(stated).unwrap_or_default(), 0);
    if let Some(body) = packet.get_mut(4..) {
        stream.read_exact(body).await?;
    }
    Ok(packet)
}

fn parse(packet: &[u8]) -> Result<Startup<'_>, Violation> {
    startup::parse(packet)?.map(|(startup, _)| startup).ok_or(Violation::Startup)
}

/// Reads one PasswordMessage, no byte more.
async fn read_pass(stream: &mut (impl AsyncRead + Unpin)) -> Result<Zeroizing<Vec<u8>>, FrontFailure> {
    let mut head = [0; frame::HEADER_LEN];
    stream.read_exact(&mut head).await?;
    let header = frame::header(Side::Login, &head)?.ok_or(Violation::Startup)?;
    if header.tag != b'p' {
        return Err(Violation::Startup.into());
    }
    let mut pass = Zeroizing::new(vec![0; header.body_len()]);
    stream.read_exact(&mut pass).await?;
    if pass.pop() != Some(0) || pass.contains(&0) {
        return Err(Violation::Startup.into());
    }
    Ok(pass)
}

/// Tells a client why it is refused; it may be gone, which changes nothing.
pub(crate) async fn tell(stream: &mut (impl AsyncWrite + Unpin), report: &Report<'_>) {
    let mut out = BytesMut::new();
    report.write(&mut out);
    if stream.write_all(&out).await.is_ok() {
        stream.shutdown().await.ok();
    }
}

async fn fail(stream: &mut (impl AsyncWrite + Unpin), violation: Violation) -> FrontFailure {
    let report = Report {
        severity: Severity::Fatal,
        code: SqlState::PROTOCOL_VIOLATION,
        message: &violation.to_string(),
        detail: "",
        hint: "this port speaks the PostgreSQL protocol, version 3, over TLS",
    };
    tell(stream, &report).await;
    FrontFailure::Violation(violation)
}

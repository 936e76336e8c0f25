//! The way to a target: connect, TLS, log in with the credential of the vault, cancel.
//!
//! The credential is used here and nowhere else; it is in no error and no `Debug` text.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use daypass_access::policy::TargetTls;
use daypass_pg::frame::{self, Side};
use daypass_pg::login_back::{Channel, Login, LoginBack, LoginFailure, Step, Welcome};
use daypass_pg::scram::ScramKeys;
use daypass_pg::startup::{self, CancelKey, Version};
use daypass_pg::violation::Violation;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::tls::{self, Identity, TlsError, Trust};

/// How long connecting and logging in to a target may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long delivering a cancel request may take.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Most TLS configurations kept.
const CONFIGS_MAX: usize = 256;

/// Where a target is and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`, or the folder of a Unix socket followed by `:port`.
    pub address: String,
    /// The database to open.
    pub database: String,
    /// How the way is protected.
    pub tls: TargetTls,
    /// Certificates to trust for `verify-full`, PEM; `None` trusts public authorities.
    pub ca_pem: Option<Vec<u8>>,
}

/// What we log in to a target with. Comes from the vault.
pub struct Credential {
    /// The role at the target.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// Client certificate chain and key, PEM.
    pub certificate: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// What is kept between connections: salted SCRAM keys and TLS configurations.
#[derive(Debug, Default)]
pub struct Targets {
    keys: Arc<ScramKeys>,
    configs: Mutex<Vec<(Trust, Arc<ClientConfig>)>>,
}

/// A session at a target, logged in and idle.
#[derive(Debug)]
pub struct Upstream {
    /// The way to it.
    pub stream: TargetStream,
    /// What it told at login.
    pub welcome: Welcome,
    /// Our port of the connection; with the backend's process id it joins our log to the target's.
    pub local_port: Option<u16>,
}

/// A stream to a target.
#[derive(Debug)]
pub enum TargetStream {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix socket.
    Unix(UnixStream),
}

/// Why a target could not be reached. For operators: a client is told that it failed, not how.
#[derive(Debug)]
pub enum UpstreamError {
    /// The address is not `host:port`.
    Address(String),
    /// The socket failed.
    Io(io::Error),
    /// It took longer than [`CONNECT_TIMEOUT`].
    Deadline,
    /// The target refuses TLS, and the resource asks for it.
    NoTls,
    /// TLS could not be set up.
    Tls(TlsError),
    /// The login failed.
    Login(LoginFailure),
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "`{address}` is not host:port"),
            Self::Io(error) => write!(f, "target cannot be reached: {error}"),
            Self::Deadline => write!(f, "target did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
            Self::NoTls => f.write_str("target does not speak TLS, and the resource asks for it"),
            Self::Tls(error) => error.fmt(f),
            Self::Login(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for UpstreamError {}

impl From<io::Error> for UpstreamError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TlsError> for UpstreamError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<LoginFailure> for UpstreamError {
    fn from(failure: LoginFailure) -> Self {
        Self::Login(failure)
    }
}

impl From<Violation> for UpstreamError {
    fn from(violation: Violation) -> Self {
        Self::Login(violation.into())
    }
}

impl Targets {
    /// Connects and logs in, within [`CONNECT_TIMEOUT`]. `parameters` go into the startup packet after user and database;
    /// `nonce` is 18 fresh unpredictable bytes; `version` is the newest protocol version to ask for.
    ///
    /// # Errors
    /// [`UpstreamError`]; nothing stays open.
    pub async fn connect(
        &self,
        target: &Target,
        credential: &Credential,
        parameters: Vec<(Vec<u8>, Vec<u8>)>,
        nonce: [u8; 18],
        version: Version,
    ) -> Result<Upstream, UpstreamError> {
        let connecting = async {
            let (stream, channel) = self.open(target, credential).await?;
            let local_port = stream.local_port();
            let login = Login {
                user: credential.user.clone().into_bytes(),
                database: target.database.clone().into_bytes(),
                parameters,
                password: credential.password.clone(),
                channel,
                nonce,
                version,
            };
            self.log_in(stream, login, local_port).await
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(UpstreamError::Deadline))
    }

    /// Asks the target to cancel what the session with `key` runs. Delivered when this returns, if it did not fail.
    ///
    /// # Errors
    /// [`UpstreamError`] when it could not be delivered within [`CANCEL_TIMEOUT`].
    pub async fn cancel(
        &self,
        target: &Target,
        credential: &Credential,
        key: &CancelKey,
    ) -> Result<(), UpstreamError> {
        let cancelling = async {
            let (mut stream, _) = self.open(target, credential).await?;
            let mut out = BytesMut::new();
            startup::cancel_request(&mut out, key);
            stream.write_all(&out).await?;
            stream.flush().await?;
            // The server closes once the signal is sent; how it closes says nothing.
            stream.read_u8().await.ok();
            Ok(())
        };
        tokio::time::timeout(CANCEL_TIMEOUT, cancelling).await.unwrap_or(Err(UpstreamError::Deadline))
    }

    /// Opens the stream, under TLS as the target asks for it.
    async fn open(
        &self,
        target: &Target,
        credential: &Credential,
    ) -> Result<(TargetStream, Channel), UpstreamError> {
        let (host, port) = split_address(&target.address)?;
        if host.starts_with('/') {
            let socket = UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await?;
            return Ok((TargetStream::Unix(socket), Channel::Local));
        }
        let mut socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        let plain = if socket.peer_addr()?.ip().is_loopback() { Channel::Local } else { Channel::Plain };
        if target.tls == TargetTls::Off || !offers_tls(&mut socket).await? {
            return match target.tls {
                TargetTls::Off | TargetTls::Prefer => Ok((TargetStream::Tcp(socket), plain)),
                TargetTls::Require | TargetTls::VerifyFull => Err(UpstreamError::NoTls),
            };
        }
        let config = self.config(target, credential)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| UpstreamError::Address(target.address.clone()))?;
        let stream = TlsConnector::from(config).connect(name, socket).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let binding = certificate.and_then(tls::end_point_binding);
        Ok((TargetStream::Tls(Box::new(stream)), Channel::Tls(binding)))
    }

    fn config(&self, target: &Target, credential: &Credential) -> Result<Arc<ClientConfig>, TlsError> {
        let verified = target.tls == TargetTls::VerifyFull;
        let identity = credential.certificate.as_ref();
        let identity =
            identity.map(|(chain, key)| Identity { chain_pem: chain.clone(), key_pem: key.clone() });
        let trust = Trust { ca_pem: target.ca_pem.clone().filter(|_| verified), verified, identity };
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = configs.iter().find(|(known, _)| *known == trust) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(tls::client_config(&trust)?);
        if configs.len() >= CONFIGS_MAX {
            configs.clear();
        }
        configs.push((trust, Arc::clone(&config)));
        Ok(config)
    }

    async fn log_in(
        &self,
        mut stream: TargetStream,
        login: Login,
        local_port: Option<u16>,
    ) -> Result<Upstream, UpstreamError> {
        let mut out = BytesMut::new();
        let mut input = BytesMut::with_capacity(4096);
        let mut machine = LoginBack::start(login, Arc::clone(&self.keys), &mut out);
        loop {
            if !out.is_empty() {
                stream.write_all(&out).await?;
                stream.flush().await?;
                out.clear();
            }
            while let Some((message, len)) = frame::first(Side::Back, &input)? {
                let step = machine.receive(message.tag, message.body, &mut out)?;
                drop(input.split_to(len));
                if let Step::Done(welcome) = step {
                    // A server says nothing after ReadyForQuery until it is asked.
                    return if input.is_empty() {
                        Ok(Upstream { stream, welcome, local_port })
                    } else {
                        Err(Violation::Startup.into())
                    };
                }
            }
            if input.len() > usize::from(u16::MAX) {
                return Err(Violation::Startup.into());
            }
            if out.is_empty() && stream.read_buf(&mut input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn split_address(address: &str) -> Result<(&str, u16), UpstreamError> {
    let wrong = || UpstreamError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, port.parse().map_err(|_| wrong())?))
}

async fn offers_tls(socket: &mut TcpStream) -> Result<bool, UpstreamError> {
    let mut out = BytesMut::new();
    startup::ssl_request(&mut out);
    socket.write_all(&out).await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(Violation::Startup.into()),
    }
}

impl TargetStream {
    /// Our port of the connection; a Unix socket has none.
    #[must_use]
    pub fn local_port(&self) -> Option<u16> {
        let socket = self.tcp()?;
        socket.local_addr().ok().map(|address| address.port())
    }

    /// The TCP socket below, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(_) => None,
        }
    }
}

impl AsyncRead for TargetStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

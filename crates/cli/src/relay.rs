//! The local end of `connect`: a socket that tools speak PostgreSQL to, without a password and without TLS, and that
//! adds both on the way to the gateway. The pass never reaches the tool, its environment or its command line.
//!
//! Who may use the socket: for `psql`, a Unix socket in a 0700 folder (this user only); for other tools a loopback port
//! that asks for a password made for this run, because every user of the machine can reach a port.
//!
//! Reads: `Relay::serve`, then `session`. It knows nothing of grants; the notices it injects come from `connect`.

mod wire;

use std::io;
use std::sync::{Arc, RwLock};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use self::wire::{
    Framed, Opening, error_response, notice, password_message, read_message, read_opening, startup,
};

/// Bytes read at once; also what is held per direction.
const BUFFER_LEN: usize = 64 << 10;

/// Where to, and as whom.
#[derive(Clone)]
pub(crate) struct Route {
    /// `host:port` of the gateway.
    pub(crate) gateway: String,
    /// The name on the gateway's certificate.
    pub(crate) name: ServerName<'static>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// `resource` or `resource/role`.
    pub(crate) user: String,
    /// The database when the tool names none.
    pub(crate) database: String,
    /// The pass; a new one replaces it when the grant is extended.
    pub(crate) pass: Arc<RwLock<Zeroizing<String>>>,
    /// Asked for on the local side when set.
    pub(crate) local_password: Option<Arc<Zeroizing<String>>>,
    /// What to tell the tool's user next.
    pub(crate) notices: watch::Receiver<Option<Arc<str>>>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("gateway", &self.gateway)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Serves one local connection until either side is done.
pub(crate) async fn session<S>(mut local: S, mut route: Route) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parameters = match read_opening(&mut local).await? {
        Opening::Cancel(packet) => {
            let mut gateway = dial(&route).await?;
            gateway.write_all(&packet).await?;
            return gateway.shutdown().await;
        }
        Opening::Start(parameters) => parameters,
    };
    if let Some(wanted) = route.local_password.clone()
        && !local_password_fits(&mut local, &wanted).await?
    {
        return Ok(());
    }
    let mut gateway = match dial(&route).await {
        Ok(gateway) => gateway,
        Err(error) => {
            let words = format!("daypass cannot reach the gateway at {}: {error}", route.gateway);
            local.write_all(&error_response("08006", &words)).await?;
            return local.shutdown().await;
        }
    };
    gateway.write_all(&startup(&parameters, &route.user, &route.database)).await?;
    if !log_in(&mut local, &mut gateway, &route).await? {
        return local.shutdown().await;
    }
    relay(local, gateway, &mut route.notices).await
}

/// Opens TLS to the gateway the way every PostgreSQL client does.
async fn dial(route: &Route) -> io::Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(&route.gateway).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&wire::SSL_REQUEST).await?;
    if stream.read_u8().await? != b'S' {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not offer TLS"));
    }
    TlsConnector::from(route.tls.clone()).connect(route.name.clone(), stream).await
}

async fn local_password_fits<S: AsyncRead + AsyncWrite + Unpin>(
    local: &mut S,
    wanted: &str,
) -> io::Result<bool> {
    local.write_all(&wire::ASK_PASSWORD).await?;
    let (kind, body) = read_message(local).await?;
    let offered = body.strip_suffix(&[0]).unwrap_or(&body);
    // Comparing digests takes as long for a wrong password as for a nearly right one.
    if kind == b'p' && wire::digest(offered) == wire::digest(wanted.as_bytes()) {
        return Ok(true);
    }
    local
        .write_all(&error_response("28P01", "this port needs the password that `daypass connect` printed"))
        .await?;
    local.shutdown().await?;
    Ok(false)
}

/// Answers the gateway's question for the pass; everything else of the login goes to the tool. False when it was refused.
async fn log_in<S>(local: &mut S, gateway: &mut TlsStream<TcpStream>, route: &Route) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let (kind, body) = read_message(gateway).await?;
        match (kind, body.first_chunk::<4>().map(|code| u32::from_be_bytes(*code))) {
            (b'R', Some(wire::CLEARTEXT_PASSWORD)) => {
                let pass = route
                    .pass
                    .read()
                    .map(|pass| pass.clone())
                    .map_err(|_| io::Error::other("the pass is gone"))?;
                gateway.write_all(&password_message(&pass)).await?;
            }
            (b'R', Some(wire::AUTHENTICATION_OK)) => {
                local.write_all(&wire::message(kind, &body)).await?;
                return Ok(true);
            }
            (b'R', _) => {
                let words = "the gateway asks for a kind of login that this daypass does not know; update it";
                local.write_all(&error_response("28000", words)).await?;
                return Ok(false);
            }
            (b'E', _) => {
                local.write_all(&wire::message(kind, &body)).await?;
                return Ok(false);
            }
            _ => local.write_all(&wire::message(kind, &body)).await?,
        }
    }
}

/// Moves bytes both ways until one side ends; whole messages of notices go in between messages of the gateway.
async fn relay<S>(
    local: S,
    gateway: TlsStream<TcpStream>,
    notices: &mut watch::Receiver<Option<Arc<str>>>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut local_read, mut local_write) = tokio::io::split(local);
    let (mut gateway_read, mut gateway_write) = tokio::io::split(gateway);
    let up = async {
        tokio::io::copy(&mut local_read, &mut gateway_write).await?;
        gateway_write.shutdown().await
    };
    let down = async {
        let mut framed = Framed::default();
        let mut buffer = bytes::BytesMut::with_capacity(BUFFER_LEN);
        loop {
            tokio::select! {
                read = gateway_read.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return local_write.shutdown().await;
                    }
                    let whole = framed.advance(&buffer)?;
                    local_write.write_all(&buffer.split_to(whole)).await?;
                    buffer.reserve(BUFFER_LEN);
                }
                changed = notices.changed(), if framed.between_messages() && buffer.is_empty() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    let words = notices.borrow_and_update().clone();
                    if let Some(words) = words {
                        local_write.write_all(&notice(&words)).await?;
                    }
                }
            }
        }
    };
    // The gateway's end decides: after the tool's end there may still be an answer on the way to nobody.
    tokio::pin!(up, down);
    tokio::select! {
        done = &mut down => done,
        sent = &mut up => match sent {
            Ok(()) => down.await,
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests;

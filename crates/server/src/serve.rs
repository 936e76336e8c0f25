//! Wiring: opens vault and logs, starts gateway and HTTP API, stops them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{error, fmt, io};

use daypass_access::activity::Recovered;
use daypass_access::command::{Ask, Command};
use daypass_control::{Controller, Start, SubmitError, Ticker};
use daypass_gateway::tls::FrontTls;
use daypass_gateway::{Gateway, GatewayHandle, Limits};
use daypass_journal::{Entry, Journal, Lane};
use daypass_ledger::note::Signer;
use daypass_vault::{Vault, namespace};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::{Config, Tls};
use crate::files::{self, UnlockError};
use crate::live::Live;
use crate::login::password::{PasswordError, Passwords};
use crate::login::throttle::Throttle;
use crate::reading::TileReaders;
use crate::tls::{self, ServerCertificate, TlsError};
use crate::{clock, http, routes};

/// Name of the activity log, in records and addresses.
const ACTIVITY: &str = "activity";
/// The certificate is looked at so often, to renew it in time.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Requests that run when the server stops get so long to end.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why the server does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The vault does not open.
    Unlock(UnlockError),
    /// The certificates.
    Tls(TlsError),
    /// The control log.
    Control(daypass_control::OpenError),
    /// The vault holds no key for the activity log.
    NoKey(String),
    /// The activity log.
    Activity(daypass_journal::OpenError),
    /// The control log does not take records.
    Submit(SubmitError),
    /// An address cannot be listened on.
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The gateway cannot be started.
    Gateway {
        /// Where it should listen.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The password hash cannot be computed.
    Passwords(PasswordError),
    /// A task ended early.
    Task,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlock(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Control(error) => error.fmt(f),
            Self::NoKey(origin) => {
                write!(f, "the vault holds no key for the log `{origin}`: is `[log] name` the one of `init`?")
            }
            Self::Activity(_) => f.write_str("the activity log cannot be opened"),
            Self::Submit(error) => error.fmt(f),
            Self::Listen { address, .. } => write!(f, "`{address}` cannot be listened on"),
            Self::Gateway { address, .. } => write!(f, "the gateway cannot listen on `{address}`"),
            Self::Passwords(_) => f.write_str("passwords cannot be checked on this machine"),
            Self::Task => f.write_str("a task of the start ended early"),
        }
    }
}

impl error::Error for StartError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unlock(error) => error.source(),
            Self::Tls(error) => error.source(),
            Self::Control(error) => error.source(),
            Self::Activity(error) => Some(error),
            Self::Submit(error) => error.source(),
            Self::Listen { source, .. } | Self::Gateway { source, .. } => Some(source),
            Self::NoKey(_) | Self::Passwords(_) | Self::Task => None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the PostgreSQL gateway listens.
    pub postgres: SocketAddr,
    /// What was found in the control log.
    pub start: Start,
    controller: Controller,
    activity: Journal,
    ticker: Ticker,
    certificates: Certificates,
    live: Live,
    stop: watch::Sender<bool>,
    http: JoinHandle<()>,
    renewal: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Certificates {
    files: Option<Tls>,
    vault: Vault,
    http: Arc<ServerCertificate>,
    gateway: Arc<FrontTls>,
}

impl Certificates {
    /// Loads and uses the certificate again. Blocks.
    fn reload(&self) -> Result<(), TlsError> {
        let pair = tls::load(self.files.as_ref(), &self.vault, clock::now())?;
        let certified = pair.certified()?;
        self.gateway.reload(pair.certificate.as_bytes(), pair.key.as_bytes()).map_err(TlsError::Gateway)?;
        self.http.replace(certified);
        Ok(())
    }
}

/// Starts everything. Runs on the current tokio runtime, which must have several threads.
///
/// # Errors
/// [`StartError`]; nothing keeps running then.
pub async fn serve(config: Config) -> Result<Running, StartError> {
    let asked = config.clone();
    let opened = tokio::task::spawn_blocking(move || open(&asked)).await.map_err(|_| StartError::Task)??;
    let Opened { vault, controller, start, activity, activity_key, certificates, passwords } = opened;
    record_recovery(&controller, &start).await.map_err(StartError::Submit)?;
    let gateway = gateway(&config, &controller, &activity, &vault, &certificates)?;
    let postgres = gateway.local_addr();
    let live = Live::new(gateway);
    let listen = |address| move |source| StartError::Listen { address, source };
    let listener = http::bind(config.api.listen).await.map_err(listen(config.api.listen))?;
    let api = listener.local_addr().map_err(listen(config.api.listen))?;
    let (stop, stopped) = watch::channel(false);
    let app = Arc::new(App {
        ca_pem: config.tls.is_none().then(|| tls::ca_pem(&vault)).flatten(),
        controller: controller.clone(),
        activity: activity.clone(),
        activity_key,
        live: live.clone(),
        passwords,
        throttle: Throttle::default(),
        tile_readers: TileReaders::default(),
        log_public: config.log.public,
        log_name: config.log.name.clone(),
        postgres_host: config.postgres.public_host.clone(),
        postgres_port: postgres.port(),
        data_dir: config.data_dir.clone(),
        enrolling: tokio::sync::Mutex::new(()),
        vault,
    });
    let tls = tls::http_config(Arc::clone(&certificates.http)).map_err(StartError::Tls)?;
    let http =
        tokio::spawn(http::serve(listener, tls, routes::router(app), config.api.connections_max, stopped));
    let renewal = tokio::spawn(renew(certificates.clone()));
    let ticker = Ticker::start(controller.clone(), Some((ACTIVITY.to_owned(), activity.clone())));
    Ok(Running {
        api,
        postgres,
        start,
        controller,
        activity,
        ticker,
        certificates,
        live,
        stop,
        http,
        renewal,
    })
}

struct Opened {
    vault: Vault,
    controller: Controller,
    start: Start,
    activity: Journal,
    activity_key: daypass_ledger::note::VerifierKey,
    certificates: Certificates,
    passwords: Passwords,
}

fn open(config: &Config) -> Result<Opened, StartError> {
    let vault = files::unlock(config).map_err(StartError::Unlock)?;
    let certificates = certificates(config, &vault).map_err(StartError::Tls)?;
    let options = daypass_control::Options {
        dir: files::control(&config.data_dir),
        origin: files::control_origin(&config.log.name),
    };
    let (controller, start) =
        Controller::open(options, vault.clone(), Arc::new(clock::now)).map_err(StartError::Control)?;
    let origin = files::activity_origin(&config.log.name);
    let no_key = || StartError::NoKey(origin.clone());
    let seed = vault.get(namespace::LOG_KEY, &origin).ok_or_else(no_key)?;
    let seed: &[u8; 32] = seed.expose().try_into().map_err(|_| no_key())?;
    let signer = Signer::new(&origin, seed).map_err(|_| no_key())?;
    let activity_key = signer.verifier_key();
    let options = daypass_journal::Options::new(files::activity(&config.data_dir), signer);
    let (activity, opened) = Journal::open(options, || clock::now().0).map_err(StartError::Activity)?;
    if let Some(tail) = &opened.recovered {
        record_activity_recovery(&activity, opened.size, tail.len);
    }
    let passwords = Passwords::new().map_err(StartError::Passwords)?;
    Ok(Opened { vault, controller, start, activity, activity_key, certificates, passwords })
}

fn certificates(config: &Config, vault: &Vault) -> Result<Certificates, TlsError> {
    let pair = tls::load(config.tls.as_ref(), vault, clock::now())?;
    let gateway =
        FrontTls::new(pair.certificate.as_bytes(), pair.key.as_bytes()).map_err(TlsError::Gateway)?;
    Ok(Certificates {
        files: config.tls.clone(),
        vault: vault.clone(),
        http: ServerCertificate::new(pair.certified()?),
        gateway: Arc::new(gateway),
    })
}

fn gateway(
    config: &Config,
    controller: &Controller,
    activity: &Journal,
    vault: &Vault,
    certificates: &Certificates,
) -> Result<GatewayHandle, StartError> {
    let settings = &config.postgres;
    let gateway = daypass_gateway::Config {
        listen: settings.listen,
        tls: Arc::clone(&certificates.gateway),
        gate: settings.gate,
        limits: Limits {
            sessions: settings.session_limit,
            idle: Duration::from_secs(settings.idle_timeout_s),
            ..Limits::default()
        },
        threads: 0,
    };
    Gateway::start(&gateway, controller.clone(), activity.clone(), Arc::new(vault.clone()))
        .map_err(|source| StartError::Gateway { address: settings.listen, source })
}

/// A torn tail of the activity log gets its record, before the gateway writes one.
fn record_activity_recovery(activity: &Journal, size: u64, dropped_len: u64) {
    let record = Recovered { log: ACTIVITY.into(), size, dropped_len };
    let mut leaf = Vec::new();
    record.encode::<()>(clock::now(), activity.size(), None, &mut leaf);
    if let Err(error) = activity.append(Lane::Outcome, Entry { leaf, sidecar: None }) {
        tracing::error!(error = %error, "the recovery of the activity log was not recorded");
    }
}

/// A torn tail of the control log gets its record.
async fn record_recovery(controller: &Controller, start: &Start) -> Result<(), SubmitError> {
    if let Some(tail) = &start.recovered {
        let ask =
            Ask::Recover { log: daypass_control::LOG.to_owned(), size: start.size, dropped_len: tail.len };
        controller.submit(Command::by_system(ask)).await?;
    }
    Ok(())
}

async fn renew(certificates: Certificates) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let certificates = certificates.clone();
        match tokio::task::spawn_blocking(move || certificates.reload()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => tracing::error!(error = %error, "the server certificate was not renewed"),
        }
    }
}

impl Running {
    /// Loads the certificate again; running connections stay.
    ///
    /// # Errors
    /// When files or vault do not hold a usable certificate; the one in use stays.
    pub async fn reload(&self) -> Result<(), TlsError> {
        let certificates = self.certificates.clone();
        tokio::task::spawn_blocking(move || certificates.reload())
            .await
            .unwrap_or(Err(TlsError::Malformed("certificate")))
    }

    /// The control log and its state.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The activity log.
    #[must_use]
    pub fn activity(&self) -> &Journal {
        &self.activity
    }

    /// Stops: no new connections, running requests end, sessions are cut, both logs are closed.
    ///
    /// # Errors
    /// When the last snapshot cannot be written; the logs are closed all the same.
    pub async fn stop(self) -> io::Result<()> {
        self.stop.send_replace(true);
        self.renewal.abort();
        if tokio::time::timeout(DRAIN_MAX, self.http).await.is_err() {
            tracing::warn!("requests were still running");
        }
        if let Some(gateway) = self.live.take() {
            gateway.shutdown().await;
        }
        self.ticker.stop().await;
        let (controller, activity) = (self.controller, self.activity);
        let closing = activity.clone();
        // The activity log is closed first, so that the control log can anchor its last head.
        let closed = tokio::task::spawn_blocking(move || closing.close()).await;
        if closed.is_err() {
            tracing::error!("the activity log was not closed");
        }
        if let Err(error) = controller.anchor(ACTIVITY, &activity).await {
            tracing::warn!(error = %error, "the activity log was not anchored");
        }
        tokio::task::spawn_blocking(move || controller.close()).await.unwrap_or(Ok(()))
    }
}

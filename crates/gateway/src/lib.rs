//! The only way to a target: listeners, TLS, upstream connections, the relay, and the supervision of sessions.
//!
//! `front.rs` greets a client and asks for its pass; `life.rs` is the life of a connection from there; `upstream.rs` reaches
//! the target; `pump.rs` moves bytes, through the machine of `daypass_pg::session` that decides about each of them;
//! `recorder.rs` seals and appends; `supervise.rs` ends sessions whose rights end. `seat.rs` is what the outside sees of a
//! session, and `live.rs` what it may be told.
//!
//! Sessions are pinned to one of a few single-threaded runtimes; what is not a session (accepting, supervising, cancel
//! requests, holds) runs on a runtime of its own, so that no client delays another one's way in.

mod bell;
mod estimate;
pub mod front;
mod hold;
mod life;
mod live;
mod node;
mod parameters;
mod pump;
mod recorder;
mod sealing;
mod seat;
mod supervise;
mod target;
pub mod tls;
pub mod upstream;
mod words;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use daypass_access::id::SessionId;
use daypass_access::pipeline::Gating;
use daypass_control::Controller;
use daypass_journal::Journal;
use daypass_vault::Vault;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{broadcast, watch};

pub use live::{EndReason, LiveAction, LiveKind, SessionState, SessionView};

use crate::node::Node;
use crate::pump::Shared;
use crate::tls::FrontTls;

/// Limits of one gateway.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most sessions at a time.
    pub sessions: usize,
    /// Most connections at a time that have not shown a pass yet.
    pub strangers: usize,
    /// How long a session may do nothing.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 1000, strangers: 1000, idle: Duration::from_secs(900) }
    }
}

/// How a gateway is run.
#[derive(Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate it shows. Reload it whenever you like: sessions stay.
    pub tls: Arc<FrontTls>,
    /// When intents must be durable.
    pub gate: Gating,
    /// Limits.
    pub limits: Limits,
    /// Threads for sessions; 0 for one per two cores: the log and the kernel need the others.
    pub threads: usize,
}

/// A running gateway. It stops when [`GatewayHandle::shutdown`] is called or the handle is dropped.
pub struct GatewayHandle {
    local_addr: SocketAddr,
    node: Arc<Node>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for GatewayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayHandle").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Starts a gateway: listens, and supervises sessions, on threads of its own.
    ///
    /// `journal` is the activity log of this node. The same control log, journal and vault may be used by others.
    ///
    /// # Errors
    /// When the address cannot be listened on or a thread cannot be started.
    pub fn start(
        config: &Config,
        controller: Controller,
        journal: Journal,
        vault: Arc<Vault>,
    ) -> io::Result<GatewayHandle> {
        let listener = StdListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let local_addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let house = Builder::new_current_thread().enable_all().build()?;
        let node = Node::new(config, controller, journal, vault, house.handle().clone());
        let node = Arc::new(node);
        let count = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            count => count,
        };
        let mut threads = Vec::new();
        let mut workers = Vec::new();
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let shared = Arc::<Shared>::default();
            let (ringing, log) = (Arc::clone(&shared), node.journal.clone());
            runtime.spawn(async move { ringing.bell.ring(&log).await });
            workers.push(Worker { handle: runtime.handle().clone(), shared, load: Arc::default() });
            threads.push(thread(format!("sessions-{number}"), runtime, stopped.clone())?);
        }
        house.spawn(supervise::run(Arc::clone(&node)));
        {
            let _inside = house.enter();
            let listener = TcpListener::from_std(listener)?;
            house.spawn(accept(listener, Arc::clone(&node), workers));
        }
        threads.push(thread("gateway".to_owned(), house, stopped)?);
        Ok(GatewayHandle { local_addr, node, stop, threads })
    }
}

impl GatewayHandle {
    /// Where the gateway listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The live sessions, as they are now.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        self.node.registry.all().iter().map(|seat| seat.view()).collect()
    }

    /// A live session.
    #[must_use]
    pub fn session(&self, id: &SessionId) -> Option<SessionView> {
        self.node.registry.all().iter().find(|seat| seat.session == *id).map(|seat| seat.view())
    }

    /// Actions of all sessions, as they happen. A receiver that falls behind is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<LiveAction> {
        self.node.live.subscribe()
    }

    /// Shows another certificate from the next connection on; sessions stay.
    ///
    /// # Errors
    /// [`tls::TlsError`] when it cannot be used; then nothing changes.
    pub fn reload_tls(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), tls::TlsError> {
        self.node.tls.reload(chain_pem, key_pem)
    }

    /// Ends every session with a word, and stops.
    pub async fn shutdown(self) {
        for seat in self.node.registry.all() {
            seat.tell(|told| told.end = Some(EndReason::Shutdown));
        }
        let all_left = async {
            while !self.node.registry.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(3), all_left).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
    }
}

impl Drop for GatewayHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the gateway panicked");
            }
        }
    }
}

/// One thread that runs sessions.
struct Worker {
    handle: Handle,
    shared: Arc<Shared>,
    load: Arc<AtomicUsize>,
}

fn thread(name: String, runtime: Runtime, mut stopped: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(async {
            // An error says that the handle is gone: that is a stop as well.
            drop(stopped.wait_for(|stop| *stop).await);
        });
        runtime.shutdown_timeout(Duration::from_millis(200));
    })
}

/// Accepts, and nothing else: every connection goes to the least busy worker at once.
async fn accept(listener: TcpListener, node: Arc<Node>, workers: Vec<Worker>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let limit = node.limits.sessions.saturating_add(node.limits.strangers);
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(worker) = workers.iter().min_by_key(|worker| worker.load.load(Ordering::Relaxed)) else {
            return;
        };
        if connections.load(Ordering::Relaxed) >= limit {
            continue;
        }
        let Ok(tcp) = tcp.into_std() else { continue };
        let (node, shared) = (Arc::clone(&node), Arc::clone(&worker.shared));
        let counted = [Counted::new(&connections), Counted::new(&worker.load)];
        worker.handle.spawn(async move {
            if let Ok(tcp) = tokio::net::TcpStream::from_std(tcp) {
                life::serve(node, shared, tcp, peer).await;
            }
            drop(counted);
        });
    }
}

/// Counts itself for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

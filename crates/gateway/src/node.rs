//! What every part of one gateway shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daypass_access::time::Micros;
use daypass_control::Controller;
use daypass_journal::{AppendError, Entry, Journal, Lane};
use daypass_vault::Vault;
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::live::LiveAction;
use crate::sealing::Sealing;
use crate::seat::Registry;
use crate::tls::FrontTls;
use crate::upstream::Targets;
use crate::{Config, Limits};

/// What every part of one gateway shares.
pub(crate) struct Node {
    pub(crate) limits: Limits,
    pub(crate) gate: daypass_access::pipeline::Gating,
    pub(crate) controller: Controller,
    pub(crate) journal: Journal,
    pub(crate) vault: Arc<Vault>,
    pub(crate) registry: Registry,
    pub(crate) live: broadcast::Sender<LiveAction>,
    pub(crate) targets: Targets,
    pub(crate) tls: Arc<FrontTls>,
    /// The runtime for everything that is not a session.
    pub(crate) house: Handle,
    seq: AtomicU64,
}

impl Node {
    pub(crate) fn new(
        config: &Config,
        controller: Controller,
        journal: Journal,
        vault: Arc<Vault>,
        house: Handle,
    ) -> Self {
        let seq = AtomicU64::new(journal.size());
        let (live, _) = broadcast::channel(1024);
        Self {
            limits: config.limits,
            gate: config.gate,
            controller,
            journal,
            vault,
            registry: Registry::default(),
            live,
            targets: Targets::default(),
            tls: Arc::clone(&config.tls),
            house,
            seq,
        }
    }

    pub(crate) fn now(&self) -> Micros {
        self.controller.now()
    }

    /// The next number of this node's own count of records.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends a record; gives its position.
    pub(crate) fn append(
        &self,
        lane: Lane,
        sealing: Option<Sealing>,
        encode: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<u64, AppendError> {
        let mut leaf = Vec::with_capacity(768);
        encode(self.seq(), &mut leaf);
        let sidecar = sealing.map(|sealing| sealing.close(&mut leaf));
        self.journal.append(lane, Entry { leaf, sidecar }).map(|pending| pending.index())
    }
}

//! Proof, as a value, that a record is durable and covered by a signed tree head.
//!
//! `Covered` is minted only from a [`SignedHead`], and a `SignedHead` only by signing (see `note.rs`): whoever holds a
//! [`Receipt`] knows that the record is under a signature on disk. INVARIANT: I11.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tree::Hash;

/// A tree head that this process signed.
#[derive(Clone, Debug)]
pub struct SignedHead {
    size: u64,
    root: Hash,
    signature: [u8; 64],
}

impl SignedHead {
    /// Called by the signer only, with the signature over the checkpoint text of (`size`, `root`).
    pub(crate) fn new(size: u64, root: Hash, signature: [u8; 64]) -> Self {
        Self { size, root, signature }
    }

    /// Number of records under the head.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree of `size` records.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Ed25519 signature over the checkpoint's note text.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// States that this head, and every record under it, is durable. Called by the journal after its sync returned.
    #[must_use]
    pub fn durable(&self) -> Covered {
        Covered { size: self.size }
    }
}

/// Every record below `size` is durable and under a signed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Covered {
    size: u64,
}

impl Covered {
    /// Number of records covered.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// The receipt of record `index`, when it is covered.
    #[must_use]
    pub fn receipt(self, index: u64) -> Option<Receipt> {
        (index < self.size).then_some(Receipt { index, size: self.size })
    }
}

/// Record `index` is durable and covered by a signed head of `size` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    size: u64,
}

impl Receipt {
    /// Position of the record in its log, from 0.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// Size of the signed head that covers it.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }
}

/// The covered size, shared between threads: one atomic that only grows.
#[derive(Debug)]
pub struct SharedCovered(AtomicU64);

impl SharedCovered {
    /// Starts at `covered`.
    #[must_use]
    pub fn new(covered: Covered) -> Self {
        Self(AtomicU64::new(covered.size))
    }

    /// Grows to `covered`; everything the caller did before is visible to whoever loads it.
    pub fn grow(&self, covered: Covered) {
        self.0.fetch_max(covered.size, Ordering::SeqCst);
    }

    /// What is covered now: one atomic load.
    #[must_use]
    pub fn load(&self) -> Covered {
        Covered { size: self.0.load(Ordering::SeqCst) }
    }
}

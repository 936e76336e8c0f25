//! Personal values of activity records: commitments in the leaf, the values encrypted beside it.

use std::fmt;

use daypass_ledger::sealed::{Fresh, SealError, Sealer};
use daypass_vault::{Vault, VaultError};
use rand::Rng;
use zeroize::Zeroizing;

/// The sealed values of one record.
#[derive(Debug)]
pub(crate) struct Sealing {
    sidecar: Vec<u8>,
    /// The record's member `sealed`.
    pub(crate) json: Vec<u8>,
}

/// Why values could not be sealed.
#[derive(Debug)]
pub(crate) enum SealFailed {
    Vault(VaultError),
    Form(SealError),
}

impl fmt::Display for SealFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(error) => error.fmt(f),
            Self::Form(error) => error.fmt(f),
        }
    }
}

/// The sealer of `subject`. Blocks on the disk when the subject has no key yet.
pub(crate) fn sealer(vault: &Vault, subject: &str) -> Result<Sealer, SealFailed> {
    let key = vault.subject_key(subject).map_err(SealFailed::Vault)?;
    Sealer::new(subject, &key).map_err(SealFailed::Form)
}

impl Sealing {
    /// Seals fields, which stand in the order of their names, as a reader of the record keeps them.
    pub(crate) fn new(sealer: &Sealer, fields: &[(&str, &[u8])]) -> Result<Self, SealFailed> {
        let mut random = Zeroizing::new([0; 56]);
        rand::rng().fill_bytes(&mut *random);
        let sealed = sealer.seal(fields, Fresh::new(*random)).map_err(SealFailed::Form)?;
        let mut json = Vec::with_capacity(256);
        sealed.write_json(&mut json);
        Ok(Self { sidecar: sealed.sidecar, json })
    }

    /// Puts the commitments into an encoded record as its last member; gives the sidecar.
    pub(crate) fn close(self, leaf: &mut Vec<u8>) -> Vec<u8> {
        leaf.pop();
        leaf.extend_from_slice(b",\"sealed\":");
        leaf.extend_from_slice(&self.json);
        leaf.push(b'}');
        self.sidecar
    }
}

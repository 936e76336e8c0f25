//! Sealing personal fields of control records, and opening them, of any log, with the keys of the vault.

use daypass_access::fact::Sealed;
use daypass_access::record::ControlRecord;
use daypass_ledger::sealed::{Fresh, OpenedField, Sealer, sealed_in};
use daypass_vault::{Vault, VaultError};
use rand::Rng;
use zeroize::Zeroizing;

/// What became of a record's personal fields.
#[derive(Debug)]
pub enum Personal {
    /// It has none.
    None,
    /// Opened, with the salts that show each commitment to an outsider.
    Opened(Vec<OpenedField>),
    /// The subject's key was destroyed: these fields are gone.
    Erased(Vec<String>),
    /// The values are missing or do not fit the record although the key exists: a red flag.
    Withheld(Vec<String>),
}

impl Personal {
    /// The text of an opened field.
    #[must_use]
    pub fn text(&self, id: &str) -> Option<String> {
        match self {
            Self::Opened(fields) => fields
                .iter()
                .find(|field| field.id == id)
                .map(|field| String::from_utf8_lossy(&field.value).into_owned()),
            Self::None | Self::Erased(_) | Self::Withheld(_) => None,
        }
    }
}

/// Opens the personal fields of a stored record of any log.
#[must_use]
pub fn unseal(vault: &Vault, leaf: &[u8], sidecar: Option<&[u8]>) -> Personal {
    let Ok(sealed) = sealed_in(leaf) else { return Personal::Withheld(Vec::new()) };
    let Some(sealed) = sealed else { return Personal::None };
    let names = || sealed.fields.iter().map(|(name, _)| name.clone()).collect();
    let Some(key) = vault.subject_key_if_any(&sealed.subject) else { return Personal::Erased(names()) };
    let opened = Sealer::new(&sealed.subject, &key)
        .ok()
        .zip(sidecar)
        .and_then(|(sealer, sidecar)| sealer.open(&sealed, sidecar).ok());
    opened.map_or_else(|| Personal::Withheld(names()), Personal::Opened)
}

/// Seals what travels beside the record; returns the sidecar. Blocks on the disk when the subject has no key yet.
pub(crate) fn seal(vault: &Vault, record: &mut ControlRecord) -> Result<Option<Vec<u8>>, SealFailed> {
    let Some(personal) = record.personal.take() else { return Ok(None) };
    let key = vault.subject_key(personal.subject.as_str()).map_err(SealFailed::Vault)?;
    let sealer = Sealer::new(personal.subject.as_str(), &key).map_err(|_| SealFailed::Form)?;
    let mut fields: Vec<(&str, &[u8])> =
        personal.fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    // The record keeps them by name, and opening compares in order.
    fields.sort_unstable();
    let mut random = Zeroizing::new([0; 56]);
    rand::rng().fill_bytes(&mut *random);
    let sealed = sealer.seal(&fields, Fresh::new(*random)).map_err(|_| SealFailed::Form)?;
    let said = sealed.to_json();
    record.sealed = Some(Sealed {
        subject: said.subject.to_string(),
        sha256: hex::encode(said.sha256.0),
        fields: said.fields.iter().map(|(name, hash)| (name.clone(), hex::encode(hash.0))).collect(),
    });
    Ok(Some(sealed.sidecar))
}

#[derive(Debug)]
pub(crate) enum SealFailed {
    Vault(VaultError),
    Form,
}

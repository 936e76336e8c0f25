//! The vault itself: get, put, remove, list, each change on disk before it returns.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daypass_ledger::sealed::SubjectKey;
use rand::Rng;

use crate::file::{self, Contents, VaultError};
use crate::master_key::MasterKey;
use crate::secret::Secret;

/// Longest namespace or name, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Longest secret, in bytes.
pub const SECRET_LEN_MAX: usize = 1 << 20;

/// The namespaces in use.
pub mod namespace {
    /// Credentials of targets: JSON `{user, password?, client_cert_pem?, client_key_pem?}`.
    pub const TARGET: &str = "target";
    /// Argon2id password hashes of people, as PHC strings.
    pub const PASSWORD: &str = "password";
    /// TOTP seeds of people, raw bytes.
    pub const TOTP: &str = "totp";
    /// Subject keys of people, 32 bytes; destroying one erases what it sealed.
    pub const SUBJECT: &str = "subject";
    /// Ed25519 seeds of logs, 32 bytes, by log name.
    pub const LOG_KEY: &str = "log-key";
    /// TLS keys and certificates in PEM.
    pub const TLS: &str = "tls";
}

/// A handle to the one vault of an installation; clones share it.
///
/// Changes block on the disk: call them from threads that may wait.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    path: PathBuf,
    key: MasterKey,
    contents: Mutex<Contents>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Vault {
    /// Makes an empty vault.
    ///
    /// # Errors
    /// When there is one already, or the disk fails.
    pub fn create(path: &Path, key: MasterKey) -> Result<Self, VaultError> {
        if path.exists() {
            return Err(VaultError::Exists(path.to_owned()));
        }
        let contents = Contents::new();
        file::write(path, &key, &contents)?;
        Ok(Self::new(path, key, contents))
    }

    /// Opens the vault with its master key.
    ///
    /// # Errors
    /// When it cannot be read, or does not open under this key.
    pub fn open(path: &Path, key: MasterKey) -> Result<Self, VaultError> {
        let contents = file::read(path, &key)?;
        Ok(Self::new(path, key, contents))
    }

    fn new(path: &Path, key: MasterKey, contents: Contents) -> Self {
        Self(Arc::new(Inner { path: path.to_owned(), key, contents: Mutex::new(contents) }))
    }

    /// The secret of that name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Secret> {
        self.lock().get(namespace)?.get(name).cloned()
    }

    /// The names in a namespace, sorted.
    #[must_use]
    pub fn names(&self, namespace: &str) -> Vec<String> {
        self.lock().get(namespace).map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }

    /// Puts a secret in, replacing what was there. On disk when it returns.
    ///
    /// # Errors
    /// Above the limits, or the disk failed; then nothing changed.
    pub fn put(&self, namespace: &str, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        self.put_all(&[(namespace, name, secret)])
    }

    /// Puts several secrets in, as (namespace, name, secret): all of them or none.
    ///
    /// # Errors
    /// Above the limits, or the disk failed; then nothing changed.
    pub fn put_all(&self, secrets: &[(&str, &str, &[u8])]) -> Result<(), VaultError> {
        for (namespace, name, secret) in secrets {
            check(namespace, name, secret)?;
        }
        self.change(|contents| {
            for (namespace, name, secret) in secrets {
                insert(contents, namespace, name, secret);
            }
        })
    }

    /// Removes a secret; whether there was one.
    ///
    /// # Errors
    /// When the disk failed; then nothing changed.
    pub fn remove(&self, namespace: &str, name: &str) -> Result<bool, VaultError> {
        if self.get(namespace, name).is_none() {
            return Ok(false);
        }
        self.change(|contents| {
            contents.get_mut(namespace).map(|names| names.remove(name));
        })?;
        Ok(true)
    }

    /// The key that seals the personal fields of `subject`; made on first use.
    ///
    /// # Errors
    /// When a new one cannot be written.
    pub fn subject_key(&self, subject: &str) -> Result<SubjectKey, VaultError> {
        if let Some(key) = self.subject_key_if_any(subject) {
            return Ok(key);
        }
        check(namespace::SUBJECT, subject, &[0; 32])?;
        let mut contents = self.lock();
        let known = contents.get(namespace::SUBJECT).and_then(|names| names.get(subject));
        if let Some(key) = known.and_then(as_subject_key) {
            return Ok(key);
        }
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        let mut next = contents.clone();
        insert(&mut next, namespace::SUBJECT, subject, &key);
        file::write(&self.0.path, &self.0.key, &next)?;
        *contents = next;
        Ok(SubjectKey(key))
    }

    /// The key of `subject`, `None` when there never was one or it was destroyed.
    #[must_use]
    pub fn subject_key_if_any(&self, subject: &str) -> Option<SubjectKey> {
        as_subject_key(&self.get(namespace::SUBJECT, subject)?)
    }

    fn change(&self, change: impl FnOnce(&mut Contents)) -> Result<(), VaultError> {
        let mut contents = self.lock();
        let mut next = contents.clone();
        change(&mut next);
        file::write(&self.0.path, &self.0.key, &next)?;
        *contents = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A panic cannot leave the map half changed: it is replaced as a whole.
        self.0.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_subject_key(secret: &Secret) -> Option<SubjectKey> {
    secret.expose().try_into().ok().map(SubjectKey)
}

fn insert(contents: &mut Contents, namespace: &str, name: &str, secret: &[u8]) {
    let names = contents.entry(namespace.to_owned()).or_default();
    names.insert(name.to_owned(), Secret::new(secret.to_vec()));
}

fn check(namespace: &str, name: &str, secret: &[u8]) -> Result<(), VaultError> {
    let sound = |text: &str| !text.is_empty() && text.len() <= NAME_LEN_MAX;
    if !sound(namespace) {
        return Err(VaultError::OutOfBounds("namespace"));
    }
    if !sound(name) {
        return Err(VaultError::OutOfBounds("name"));
    }
    if secret.len() > SECRET_LEN_MAX {
        return Err(VaultError::OutOfBounds("secret"));
    }
    Ok(())
}

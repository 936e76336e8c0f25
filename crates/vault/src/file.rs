//! The vault's bytes: `daypass-vault 1\n`, a 12-byte nonce, and AES-256-GCM over the JSON of all secrets.
//!
//! The first line is bound in as associated data, so a version cannot be swapped. Every write takes a fresh random
//! nonce and replaces the file atomically: temporary file, fsync, rename, fsync of the folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::master_key::MasterKey;
use crate::secret::Secret;

/// Longest vault file read or written, in bytes.
pub const FILE_LEN_MAX: usize = 256 << 20;

const HEADER: &[u8] = b"daypass-vault 1\n";
const NONCE_LEN: usize = 12;

/// Namespace to name to secret.
pub(crate) type Contents = BTreeMap<String, BTreeMap<String, Secret>>;

/// A secret in hex digits, wiped when it goes.
struct Digits(Zeroizing<String>);

impl Digits {
    fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(hex::encode(secret.expose())))
    }
}

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|digits| Self(Zeroizing::new(digits)))
    }
}

/// Why the vault cannot be used. It names files and reasons, never contents.
#[derive(Debug)]
#[non_exhaustive]
pub enum VaultError {
    /// There is a vault at that path already.
    Exists(PathBuf),
    /// The disk.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a vault of a known version.
    NotAVault(PathBuf),
    /// The master key is another one, or the file was changed.
    WrongKeyOrDamaged(PathBuf),
    /// A namespace, name or secret above the limits, or an empty name.
    OutOfBounds(&'static str),
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "a vault exists at `{}` already", path.display()),
            Self::Io { path, .. } => write!(f, "the vault file `{}` cannot be used", path.display()),
            Self::NotAVault(path) => {
                write!(f, "`{}` is not a vault file of a version this program knows", path.display())
            }
            Self::WrongKeyOrDamaged(path) => {
                write!(
                    f,
                    "the vault `{}` does not open: another master key, or a changed file",
                    path.display()
                )
            }
            Self::OutOfBounds(what) => write!(f, "the vault takes no {what} of that length"),
        }
    }
}

impl error::Error for VaultError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Exists(_) | Self::NotAVault(_) | Self::WrongKeyOrDamaged(_) | Self::OutOfBounds(_) => None,
        }
    }
}

fn cipher(key: &MasterKey) -> Aes256Gcm {
    Aes256Gcm::new(key.bytes().into())
}

/// Reads and opens the file.
pub(crate) fn read(path: &Path, key: &MasterKey) -> Result<Contents, VaultError> {
    let io = |source| VaultError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?.take(FILE_LEN_MAX as u64 + 1);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    let not_a_vault = || VaultError::NotAVault(path.to_owned());
    if bytes.len() > FILE_LEN_MAX {
        return Err(VaultError::OutOfBounds("file"));
    }
    let sealed = bytes.strip_prefix(HEADER).ok_or_else(not_a_vault)?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(not_a_vault)?;
    let damaged = || VaultError::WrongKeyOrDamaged(path.to_owned());
    let plain = cipher(key)
        .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: HEADER })
        .map(Zeroizing::new)
        .map_err(|_| damaged())?;
    let text: BTreeMap<String, BTreeMap<String, Digits>> =
        serde_json::from_slice(&plain).map_err(|_| damaged())?;
    let mut contents = Contents::new();
    for (namespace, names) in text {
        let opened = contents.entry(namespace).or_default();
        for (name, digits) in names {
            opened.insert(name, Secret::new(hex::decode(digits.0.as_bytes()).map_err(|_| damaged())?));
        }
    }
    Ok(contents)
}

/// Seals everything and replaces the file.
pub(crate) fn write(path: &Path, key: &MasterKey, contents: &Contents) -> Result<(), VaultError> {
    let text: BTreeMap<&str, BTreeMap<&str, Digits>> = contents
        .iter()
        .map(|(namespace, names)| {
            let names = names.iter().map(|(name, secret)| (name.as_str(), Digits::of(secret)));
            (namespace.as_str(), names.collect())
        })
        .collect();
    let io = |source| VaultError::Io { path: path.to_owned(), source };
    let plain = Zeroizing::new(serde_json::to_vec(&text).map_err(|e| io(e.into()))?);
    let mut nonce = [0; NONCE_LEN];
    rand::rng().fill_bytes(&mut nonce);
    let sealed = cipher(key)
        .encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: HEADER })
        .map_err(|_| VaultError::OutOfBounds("contents"))?;
    let bytes = [HEADER, &nonce, &sealed].concat();
    if bytes.len() > FILE_LEN_MAX {
        return Err(VaultError::OutOfBounds("contents"));
    }
    replace(path, &bytes).map_err(io)
}

/// Replaces a file so that a crash leaves either the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

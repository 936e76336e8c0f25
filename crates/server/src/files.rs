//! Where things lie in the data directory, and how the vault is opened.

use std::path::{Path, PathBuf};
use std::{env, error, fmt};

use daypass_vault::{MasterKey, MasterKeyError, Vault, VaultError};
use zeroize::Zeroizing;

use crate::config::{Config, MasterKeySource};

/// The vault file.
#[must_use]
pub fn vault(data_dir: &Path) -> PathBuf {
    data_dir.join("vault")
}

/// The folder of the control log.
#[must_use]
pub fn control(data_dir: &Path) -> PathBuf {
    data_dir.join("control")
}

/// The folder of the activity log.
#[must_use]
pub fn activity(data_dir: &Path) -> PathBuf {
    data_dir.join("activity")
}

/// The CA's certificate, for people.
#[must_use]
pub fn ca_pem(data_dir: &Path) -> PathBuf {
    data_dir.join("ca.pem")
}

/// Origin of the control log.
#[must_use]
pub fn control_origin(log_name: &str) -> String {
    format!("{log_name}/control")
}

/// Origin of the activity log.
#[must_use]
pub fn activity_origin(log_name: &str) -> String {
    format!("{log_name}/activity")
}

/// Why the vault does not open.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnlockError {
    /// There is no usable master key.
    Key(MasterKeyError),
    /// The environment variable is not set.
    NotSet(String),
    /// The vault.
    Vault(VaultError),
}

impl fmt::Display for UnlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::NotSet(name) => write!(f, "the environment variable `{name}` does not hold the master key"),
            Self::Vault(error) => error.fmt(f),
        }
    }
}

impl error::Error for UnlockError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Key(error) => error.source(),
            Self::Vault(error) => error.source(),
            Self::NotSet(_) => None,
        }
    }
}

/// Opens the vault as the configuration says.
///
/// # Errors
/// When there is no master key, or it is another vault's.
pub fn unlock(config: &Config) -> Result<Vault, UnlockError> {
    let key = match &config.master_key {
        MasterKeySource::File(path) => MasterKey::read(path).map_err(UnlockError::Key)?,
        MasterKeySource::Env(name) => {
            let text = env::var(name).map(Zeroizing::new).map_err(|_| UnlockError::NotSet(name.clone()))?;
            MasterKey::from_hex(&text).map_err(UnlockError::Key)?
        }
    };
    Vault::open(&vault(&config.data_dir), key).map_err(UnlockError::Vault)
}

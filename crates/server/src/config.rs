//! `daypass.toml`: where things are and what the limits are. Unknown keys are errors; relative paths start at the file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{error, fmt, fs, io};

use daypass_access::pipeline::Gating;
use serde::Deserialize;

/// Everything `serve` needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Vault, logs, snapshots, certificates.
    pub data_dir: PathBuf,
    /// The HTTP API.
    #[serde(default)]
    pub api: Api,
    /// The PostgreSQL gateway.
    #[serde(default)]
    pub postgres: Postgres,
    /// A certificate of one's own; the one made by `init` when absent.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The logs.
    #[serde(default)]
    pub log: Log,
    /// Where the master key of the vault comes from.
    #[serde(default)]
    pub master_key: MasterKeySource,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Most connections at once; more wait.
    pub connections_max: u32,
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8440)), connections_max: 1024 }
    }
}

/// `[postgres]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host name given to people, when it is not the API's.
    pub public_host: Option<String>,
    /// Most sessions at once.
    pub session_limit: usize,
    /// A session in which nothing happens for so long is closed, in seconds.
    pub idle_timeout_s: u64,
    /// When intents must be durable: `act-or-disclose` or `always`.
    pub gate: Gating,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5440)),
            public_host: None,
            session_limit: 1000,
            idle_timeout_s: 900,
            gate: Gating::ActOrDisclose,
        }
    }
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Origin of the control log is `<name>/control`, of the activity log `<name>/activity`.
    pub name: String,
    /// Whether `/log/…` is open to everybody. Tiles hold no personal fields, but they show who did what when.
    pub public: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { name: "daypass.localhost".to_owned(), public: false }
    }
}

/// `[master_key]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MasterKeySource {
    /// A file of 64 hex digits.
    File(PathBuf),
    /// An environment variable of 64 hex digits.
    Env(String),
}

impl Default for MasterKeySource {
    fn default() -> Self {
        Self::File(PathBuf::from("master.key"))
    }
}

/// Longest configuration file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not say what it should; the text names line and key.
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => {
                write!(f, "the configuration `{}` cannot be read", path.display())
            }
            Self::Wrong { path, message } => {
                write!(f, "the configuration `{}` is wrong: {message}", path.display())
            }
        }
    }
}

impl error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Wrong { .. } => None,
        }
    }
}

impl Config {
    /// Reads the file and makes its paths whole.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        if fs::metadata(path).map_err(unreadable)?.len() > FILE_LEN_MAX {
            return Err(ConfigError::Wrong {
                path: path.to_owned(),
                message: "longer than 1 MiB".to_owned(),
            });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder)
            .map_err(|error| ConfigError::Wrong { path: path.to_owned(), message: error.to_string() })
    }

    /// Parses the text; relative paths start at `folder`.
    ///
    /// # Errors
    /// The parser's, naming line and key.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, toml::de::Error> {
        let mut config: Self = toml::from_str(text)?;
        config.data_dir = folder.join(&config.data_dir);
        if let Some(tls) = &mut config.tls {
            tls.certificate = folder.join(&tls.certificate);
            tls.key = folder.join(&tls.key);
        }
        if let MasterKeySource::File(path) = &mut config.master_key {
            *path = folder.join(&path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_file_has_the_documented_defaults() {
        let config = Config::parse("data_dir = \"data\"", Path::new("/etc/daypass")).unwrap();
        assert_eq!(config.data_dir, Path::new("/etc/daypass/data"));
        assert_eq!(config.api.listen.port(), 8440);
        assert_eq!(config.postgres.listen.port(), 5440);
        assert_eq!(config.postgres.idle_timeout_s, 900);
        assert_eq!(config.postgres.gate, Gating::ActOrDisclose);
        assert_eq!(config.master_key, MasterKeySource::File(PathBuf::from("/etc/daypass/master.key")));
        assert!(!config.log.public);
    }

    #[test]
    fn a_full_file() {
        let text = "data_dir = \"/d\"\n[api]\nlisten = \"0.0.0.0:1\"\n[postgres]\nlisten = \"[::]:2\"\ngate = \"always\"\n\
            session_limit = 5\n[tls]\ncertificate = \"c\"\nkey = \"/k\"\n[log]\nname = \"x.example\"\npublic = true\n\
            [master_key]\nenv = \"DAYPASS_MASTER_KEY\"\n";
        let config = Config::parse(text, Path::new("/e")).unwrap();
        assert_eq!(config.data_dir, Path::new("/d"));
        let tls = config.tls.unwrap();
        assert_eq!((tls.certificate, tls.key), (PathBuf::from("/e/c"), PathBuf::from("/k")));
        assert_eq!(config.postgres.gate, Gating::Always);
        assert_eq!(config.master_key, MasterKeySource::Env("DAYPASS_MASTER_KEY".to_owned()));
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_line() {
        for text in ["data_dir = \"d\"\nlisten = 1", "data_dir = \"d\"\n[api]\nlisen = \"0.0.0.0:1\""] {
            let error = Config::parse(text, Path::new("")).unwrap_err().to_string();
            assert!(error.contains("unknown field") && error.contains("line"), "{error}");
        }
    }
}

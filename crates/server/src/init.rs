//! Founding an installation: keys, vault, certificates, first administrator, first policy, configuration.
//!
//! Nothing is ever made over something: `init` refuses a folder that holds a configuration already.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{error, fmt, fs, io};

use daypass_access::command::{Ask, Command, NewPerson};
use daypass_access::id::PersonId;
use daypass_access::person::{PersonKind, Profile};
use daypass_access::policy::Files;
use daypass_api::hidden::Hidden;
use daypass_control::{Controller, OpenError, SubmitError};
use daypass_vault::{MasterKey, MasterKeyError, Vault, VaultError, namespace};
use rand::Rng;
use zeroize::Zeroizing;

use crate::login::token;
use crate::tls::{self, TlsError};
use crate::{clock, files};

/// What `init` needs to know.
#[derive(Clone, Debug)]
pub struct Founding {
    /// The folder to make everything in; made if it is not there.
    pub dir: PathBuf,
    /// Handle of the first administrator.
    pub administrator: String,
    /// Their name; personal, sealed.
    pub administrator_name: String,
    /// Host names and addresses the server is reached under.
    pub host_names: Vec<String>,
    /// Where the API listens.
    pub api_listen: SocketAddr,
    /// Where the PostgreSQL gateway listens.
    pub postgres_listen: SocketAddr,
    /// Name of the logs: a host name of yours.
    pub log_name: String,
    /// The first policy; [`default_policy`] when `None`. It must name the administrator in a team of administrators.
    pub policy: Option<Files>,
}

/// What `init` made.
#[derive(Debug)]
pub struct Founded {
    /// The configuration file.
    pub config: PathBuf,
    /// The master key: keep a copy elsewhere, without it the vault is lost.
    pub master_key: PathBuf,
    /// The CA's certificate, for people's machines.
    pub ca_pem: PathBuf,
    /// The policy folder.
    pub policy: PathBuf,
    /// Whom the invitation is for.
    pub administrator: String,
    /// The one-time invitation code.
    pub invitation: Hidden,
}

/// Why an installation cannot be founded.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// There is one already.
    Exists(PathBuf),
    /// The disk.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The master key.
    Key(MasterKeyError),
    /// The vault.
    Vault(VaultError),
    /// The certificates: most likely a host name that is none.
    Tls(TlsError),
    /// The control log.
    Open(OpenError),
    /// The founding was refused: most likely a handle that is none, or a wrong policy.
    Refused(SubmitError),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "there is an installation already: `{}`", path.display()),
            Self::Io { path, .. } => write!(f, "`{}` cannot be written", path.display()),
            Self::Key(error) => error.fmt(f),
            Self::Vault(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl error::Error for InitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Exists(_) => None,
            Self::Io { source, .. } => Some(source),
            Self::Key(error) => error.source(),
            Self::Vault(error) => error.source(),
            Self::Tls(error) => error.source(),
            Self::Open(error) => error.source(),
            Self::Refused(error) => error.source(),
        }
    }
}

/// Founds an installation. Blocks.
///
/// # Errors
/// When something is there already, or cannot be made. What was made before the error stays, for a look; a second try
/// needs another folder.
pub fn init(founding: &Founding) -> Result<Founded, InitError> {
    let dir = &founding.dir;
    let config = dir.join("daypass.toml");
    if config.exists() {
        return Err(InitError::Exists(config));
    }
    let data_dir = dir.join("data");
    private_folder(&data_dir)?;
    let master_key = dir.join("master.key");
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *bytes);
    let key = MasterKey::new(*bytes);
    key.write_new(&master_key).map_err(InitError::Key)?;
    let vault = Vault::create(&files::vault(&data_dir), key).map_err(InitError::Vault)?;
    let now = clock::now();
    let ca = tls::make(&vault, &founding.host_names, &founding.log_name, now).map_err(InitError::Tls)?;
    let ca_pem = files::ca_pem(&data_dir);
    write(&ca_pem, &ca)?;
    for origin in [files::control_origin(&founding.log_name), files::activity_origin(&founding.log_name)] {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *seed);
        vault.put(namespace::LOG_KEY, &origin, &*seed).map_err(InitError::Vault)?;
    }
    let policy_files = founding.policy.clone().unwrap_or_else(|| default_policy(&founding.administrator));
    let policy = dir.join("policy");
    fs::create_dir_all(&policy).map_err(|source| InitError::Io { path: policy.clone(), source })?;
    for (name, text) in &policy_files {
        write(&policy.join(name), text)?;
    }
    let invitation = found(founding, &data_dir, vault, policy_files)?;
    write(&config, &config_text(founding))?;
    Ok(Founded {
        config,
        master_key,
        ca_pem,
        policy,
        administrator: founding.administrator.clone(),
        invitation,
    })
}

/// Writes the first records of the control log.
fn found(founding: &Founding, data_dir: &Path, vault: Vault, policy: Files) -> Result<Hidden, InitError> {
    let options = daypass_control::Options {
        dir: files::control(data_dir),
        origin: files::control_origin(&founding.log_name),
    };
    let (controller, _) = Controller::open(options, vault, Arc::new(clock::now)).map_err(InitError::Open)?;
    let code = token::make("di_");
    let administrator = NewPerson {
        person: PersonId::new(&founding.administrator),
        profile: Profile::new(PersonKind::Staff),
        name: founding.administrator_name.clone(),
        email: String::new(),
        invitation_sha256: Some(hex::encode(code.sha256)),
    };
    let ask = Ask::Found { people: vec![administrator], files: policy };
    let founded = controller.submit_and_wait(Command::by_system(ask)).map_err(InitError::Refused);
    let closed = controller.close();
    founded?;
    closed.map_err(|source| InitError::Io { path: files::control(data_dir), source })?;
    Ok(code.text)
}

/// A policy that gives nobody anything yet, with an example to start from.
#[must_use]
pub fn default_policy(administrator: &str) -> Files {
    let mut files = BTreeMap::new();
    let mut file = |name: &str, text: String| files.insert(name.to_owned(), text);
    file(
        "resources.toml",
        "# What may be accessed. One table for each, for example:\n#\n# [resources.prod-orders]\n# kind = \"postgres\"\n\
         # address = \"10.0.0.5:5432\"\n# database = \"orders\"\n# tls = \"verify-full\"\n\
         # credential = \"prod-orders\"       # daypass secret set prod-orders\n\
         # labels = { env = \"prod\", system = \"orders\" }\n"
            .to_owned(),
    );
    file(
        "roles.toml",
        "# Which actions on which resources, for how long, approved by whom. For example:\n#\n# [roles.orders-fix]\n\
         # select = { system = \"orders\" }\n# who_may_ask = [\"engineers\"]\n# allow = [\"read\", \"write\"]\n\
         # default_duration = \"1h\"\n# max_duration = \"4h\"\n#\n# [[roles.orders-fix.steps]]\n# any_of = [\"leads\"]\n# count = 1\n"
            .to_owned(),
    );
    file("teams.toml", format!("[teams.administrators]\nmembers = [\"{administrator}\"]\n"));
    file("system.toml", "[system]\nadministrators = [\"administrators\"]\n".to_owned());
    files
}

fn config_text(founding: &Founding) -> String {
    format!(
        "# Daypass. Unknown keys are errors; paths are relative to this file.\n\
         data_dir = \"data\"\n\n[api]\nlisten = \"{}\"\n\n[postgres]\nlisten = \"{}\"\n\n[log]\nname = \"{}\"\npublic = false\n\n\
         # Keep a copy of the master key elsewhere; or take it from the environment: env = \"DAYPASS_MASTER_KEY\"\n\
         [master_key]\nfile = \"master.key\"\n",
        founding.api_listen, founding.postgres_listen, founding.log_name
    )
}

fn write(path: &Path, text: &str) -> Result<(), InitError> {
    fs::write(path, text).map_err(|source| InitError::Io { path: path.to_owned(), source })
}

fn private_folder(path: &Path) -> Result<(), InitError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| InitError::Io { path: path.to_owned(), source })
}

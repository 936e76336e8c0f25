//! Where this person's own files live: the login, the trusted authority, what was remembered of logs.
//!
//! `DAYPASS_HOME` puts everything into one folder; otherwise `$XDG_CONFIG_HOME/daypass` and `$XDG_STATE_HOME/daypass`.
//! Folders are 0700 and files 0600, always.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use daypass_api::hidden::Hidden;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::trouble::Trouble;

/// The two folders.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    config: PathBuf,
    state: PathBuf,
}

/// A stored login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Version of this file.
    pub(crate) v: u32,
    /// The control plane, `https://host:port`.
    pub(crate) url: String,
    pub(crate) person: String,
    /// The bearer token. SECURITY: only ever written to a 0600 file.
    pub(crate) token: Hidden,
    /// When the login ends, microseconds since the epoch.
    pub(crate) ends: u64,
}

impl Home {
    /// The folders the environment names.
    pub(crate) fn from_env() -> Result<Self, Trouble> {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(home) = folder("DAYPASS_HOME") {
            return Ok(Self::at(&home));
        }
        let user = folder("HOME").ok_or_else(|| {
            Trouble::missing(
                "neither `DAYPASS_HOME` nor `HOME` is set",
                "set `DAYPASS_HOME` to a folder of yours",
            )
        });
        let under = |xdg: &str, rest: &str| match folder(xdg) {
            Some(base) => Ok(base.join("daypass")),
            None => user.as_ref().map(|home| home.join(rest).join("daypass")).map_err(|_| ()),
        };
        match (under("XDG_CONFIG_HOME", ".config"), under("XDG_STATE_HOME", ".local/state")) {
            (Ok(config), Ok(state)) => Ok(Self { config, state }),
            _ => user.map(|home| Self::at(&home)),
        }
    }

    /// Everything in one folder.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { config: folder.to_owned(), state: folder.to_owned() }
    }

    /// The stored login, `None` when there is none.
    pub(crate) fn login(&self) -> Result<Option<Login>, Trouble> {
        let path = self.login_path();
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Trouble::input(
                format!("cannot understand `{}`: {error}", path.display()),
                "remove it and run `daypass login`",
            )
        })
    }

    pub(crate) fn store_login(&self, login: &Login) -> Result<(), Trouble> {
        let text =
            serde_json::to_vec_pretty(login).map(Zeroizing::new).map_err(|e| Trouble::Output(e.into()))?;
        write_private(&self.login_path(), &text)
    }

    /// Removes the stored login; fine when there is none.
    pub(crate) fn forget_login(&self) -> Result<(), Trouble> {
        let path = self.login_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Trouble::file(path, "remove")(error))
            }
            _ => Ok(()),
        }
    }

    /// The authority trusted for the control plane at `url`, PEM.
    pub(crate) fn authority(&self, url: &str) -> Result<Option<Vec<u8>>, Trouble> {
        read(&self.authority_path(url))
    }

    pub(crate) fn store_authority(&self, url: &str, pem: &[u8]) -> Result<(), Trouble> {
        write_private(&self.authority_path(url), pem)
    }

    /// Where the gateway's authority is put for tools that read a file.
    pub(crate) fn gateway_authority(&self) -> PathBuf {
        self.config.join("gateway-ca.pem")
    }

    /// The folder with what was remembered of logs.
    pub(crate) fn remembered(&self) -> PathBuf {
        self.state.join("remembered")
    }

    /// A file of ours that others could read, if there is one.
    pub(crate) fn too_open(&self) -> Result<Option<PathBuf>, Trouble> {
        let path = self.login_path();
        match fs::metadata(&path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => Ok(Some(path)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Trouble::file(path, "look at")(error)),
        }
    }

    fn login_path(&self) -> PathBuf {
        self.config.join("login.json")
    }

    fn authority_path(&self, url: &str) -> PathBuf {
        self.config.join("authorities").join(format!("{}.pem", file_name(url)))
    }
}

/// A file name for any text: letters, digits, dots and dashes stay, the rest becomes `_`.
pub(crate) fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' }).collect()
}

/// Reads a file, `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Trouble::file(path, "read")(error)),
    }
}

/// Writes a 0600 file in a 0700 folder, all of it or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private_folder(folder)?;
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(Trouble::file(path, "write"))
}

/// Makes a folder, and those above it, for this person only.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), Trouble> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Trouble::file(folder, "make the folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_for_this_person_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(&folder.path().join("home"));
        assert!(home.login().unwrap().is_none());
        let login = Login {
            v: 1,
            url: "https://127.0.0.1:8440".into(),
            person: "bob".into(),
            token: Hidden("dl_secret".into()),
            ends: 7,
        };
        home.store_login(&login).unwrap();
        assert_eq!(home.login().unwrap().unwrap().token.expose(), "dl_secret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.login_path()), 0o600);
        assert_eq!(mode(&folder.path().join("home")), 0o700);
        assert!(!format!("{login:?}").contains("secret"));
        home.forget_login().unwrap();
        home.forget_login().unwrap();
        assert!(home.login().unwrap().is_none());
    }

    #[test]
    fn authorities_are_kept_by_address() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.store_authority("https://a:1", b"A").unwrap();
        assert_eq!(home.authority("https://a:1").unwrap().unwrap(), b"A");
        assert!(home.authority("https://b:1").unwrap().is_none());
    }
}

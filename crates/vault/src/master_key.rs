//! The key that seals the vault: 32 random bytes, written as 64 hex digits in a file or an environment variable.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest text taken from a key file, in bytes: the 64 digits and room for white space.
const TEXT_LEN_MAX: u64 = 256;

/// The master key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from its 64 hex digits, white space around them ignored.
    ///
    /// # Errors
    /// [`MasterKeyError::NotAKey`]; it never repeats the text.
    pub fn from_hex(text: &str) -> Result<Self, MasterKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| MasterKeyError::NotAKey)?;
        Ok(Self(bytes))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others than its owner, or holds no key.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let unreadable = |source| MasterKeyError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        refuse_if_open_to_others(&file, path)?;
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(TEXT_LEN_MAX).read_to_string(&mut text).map_err(unreadable)?;
        Self::from_hex(&text)
    }

    /// Writes the key to a new file that only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), MasterKeyError> {
        self.try_write_new(path)
            .map_err(|source| MasterKeyError::Unwritable { path: path.to_owned(), source })
    }

    fn try_write_new(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let text = Zeroizing::new(hex::encode(self.0) + "\n");
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(unix)]
fn refuse_if_open_to_others(file: &File, path: &Path) -> Result<(), MasterKeyError> {
    use std::os::unix::fs::MetadataExt;
    let unreadable = |source| MasterKeyError::Unreadable { path: path.to_owned(), source };
    // SECURITY: group read is allowed (secret mounts of container platforms), anything for others is not.
    if file.metadata().map_err(unreadable)?.mode() & 0o027 != 0 {
        return Err(MasterKeyError::OpenToOthers { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_open_to_others(_: &File, _: &Path) -> Result<(), MasterKeyError> {
    Ok(())
}

/// Why there is no master key.
#[derive(Debug)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// The text is not 64 hex digits.
    NotAKey,
    /// The file's mode lets others read or change it.
    OpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for MasterKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAKey => f.write_str("the master key is not 64 hex digits"),
            Self::OpenToOthers { path } => {
                write!(f, "the master key file `{0}` is open to others: chmod 600 `{0}`", path.display())
            }
            Self::Unreadable { path, .. } => {
                write!(f, "the master key file `{}` cannot be read", path.display())
            }
            Self::Unwritable { path, .. } => {
                write!(f, "the master key file `{}` cannot be written", path.display())
            }
        }
    }
}

impl error::Error for MasterKeyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotAKey | Self::OpenToOthers { .. } => None,
            Self::Unreadable { source, .. } | Self::Unwritable { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_through_a_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::new([7; 32]).write_new(&path).unwrap();
        assert_eq!(MasterKey::read(&path).unwrap().bytes(), &[7; 32]);
        assert!(matches!(MasterKey::new([8; 32]).write_new(&path), Err(MasterKeyError::Unwritable { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::new([7; 32]).write_new(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::OpenToOthers { .. })));
    }

    #[test]
    fn errors_never_repeat_the_text() {
        let error = MasterKey::from_hex("hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(format!("{:?}", MasterKey::new([7; 32])), "MasterKey(…)");
    }
}

//! The seam between the log and the disk: the calls on which durability and space rest.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes and syncs a segment. [`LocalDisk`] is the real one; tests have one that fails or tears.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a file of `len` zeros whose space is taken, durably. After an error nothing is left of it.
    ///
    /// # Errors
    /// Above all that there is no space; it is tried again later.
    fn make(&self, path: &Path, len: u64) -> io::Result<File>;

    /// Writes all of `bytes` at `offset`. The range was preallocated.
    ///
    /// # Errors
    /// Any error is fatal to the process.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written so far durable (fdatasync).
    ///
    /// # Errors
    /// Any error is fatal to the process.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn make(&self, path: &Path, len: u64) -> io::Result<File> {
        let made = zero_filled(path, len);
        if made.is_err() {
            // What was written of it would only take more of the space that is missing.
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        made
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Written, not only allocated: overwriting it later changes no metadata, so fdatasync writes the data and nothing else.
fn zero_filled(path: &Path, len: u64) -> io::Result<File> {
    const CHUNK: u64 = 1 << 20;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let zeros = vec![0; usize::try_from(CHUNK.min(len)).unwrap_or_default()];
    let mut offset = 0;
    while offset < len {
        let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
        let chunk = zeros.get(..left).unwrap_or(&zeros);
        file.write_all_at(chunk, offset)?;
        offset += chunk.len() as u64;
    }
    file.sync_all()?;
    Ok(file)
}

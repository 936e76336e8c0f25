//! The seam between the commit thread and the disk: the two calls on which durability rests.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes and syncs a segment. [`LocalDisk`] is the real one; tests have one that fails or tears.
pub trait Disk: fmt::Debug + Send + Sync {
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
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

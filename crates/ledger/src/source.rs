//! Reading a published log: where the files come from, and the hashes in its tiles.
//!
//! [`Source`] is the only way this crate reads anything. What it returns is not trusted: lengths are checked here, contents by
//! `verify.rs` or by the proof they end up in.

use std::{cell::RefCell, collections::HashMap, fmt, io};

use crate::{
    proof::{self, BuildError},
    tile::{HASH_LEN, TILE_WIDTH, TileFile, hashes_at, width_of},
    tree::{Hash, node_hash},
};

/// Name of the checkpoint file.
pub const CHECKPOINT: &str = "checkpoint";

/// Tiles kept in memory while building proofs.
const TILES_MAX: usize = 64;

/// Where published files come from: a folder, a server, an evidence file.
pub trait Source {
    /// Reads the file at `path` (relative, `/` between names); `None` when it does not exist.
    ///
    /// # Errors
    /// When it could not be found out or read.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
}

impl<S: Source + ?Sized> Source for &S {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path)
    }
}

/// Files in memory.
impl<H: std::hash::BuildHasher> Source for HashMap<String, Vec<u8>, H> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(path).cloned())
    }
}

/// Reads a tile or bundle, or the full one when the partial is gone because the log has grown. The first is what was read.
pub(crate) fn read_file(source: &impl Source, file: TileFile) -> Result<(TileFile, Vec<u8>), SourceError> {
    let read = |file: TileFile| {
        source.read(&file.path()).map_err(|error| SourceError::Read { file: file.path(), error })
    };
    if let Some(bytes) = read(file)? {
        return Ok((file, bytes));
    }
    let full = match file {
        TileFile::Hashes { level, index, .. } => TileFile::Hashes { level, index, width: 256 },
        TileFile::Entries { index, .. } => TileFile::Entries { index, width: 256 },
        TileFile::Sidecar { index, .. } => TileFile::Sidecar { index, width: 256 },
    };
    let missing = SourceError::Missing { file: file.path(), record: file.first_entry() };
    if full == file {
        return Err(missing);
    }
    read(full)?.map(|bytes| (full, bytes)).ok_or(missing)
}

/// Reads the first `width` hashes of a tile; checks the file's length.
pub(crate) fn read_hashes(
    source: &impl Source,
    level: u8,
    index: u64,
    width: u16,
) -> Result<Vec<Hash>, SourceError> {
    let wanted = TileFile::Hashes { level, index, width };
    let (file, bytes) = read_file(source, wanted)?;
    let expected_len = if file == wanted { usize::from(width) } else { usize::from(u8::MAX) + 1 } * HASH_LEN;
    if bytes.len() != expected_len {
        return Err(SourceError::Length {
            file: file.path(),
            record: file.first_entry(),
            len: bytes.len(),
            expected_len,
        });
    }
    let (hashes, _) = bytes.as_chunks::<HASH_LEN>();
    Ok(hashes.iter().take(usize::from(width)).copied().map(Hash).collect())
}

/// Root of a perfect subtree over `hashes`, whose number is a power of two.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}

/// The hashes in the tiles of a log of a given size, for building proofs. Keeps the last few tiles in memory.
pub struct Tiles<'a, S> {
    source: &'a S,
    size: u64,
    kept: RefCell<HashMap<(u8, u64), Vec<Hash>>>,
}

impl<'a, S: Source> Tiles<'a, S> {
    /// Tiles of the log of `size` records in `source`.
    #[must_use]
    pub fn new(source: &'a S, size: u64) -> Self {
        Self { source, size, kept: RefCell::default() }
    }

    /// Size of the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the `2^level` records from `index << level` on.
    ///
    /// # Errors
    /// [`SourceError`] when a tile cannot be had or is malformed.
    pub fn subtree(&self, level: u8, index: u64) -> Result<Hash, SourceError> {
        let (tile_level, within) = (level / 8, u32::from(level % 8));
        let first = index.checked_shl(within).unwrap_or(u64::MAX);
        let (tile, slot) = (first / TILE_WIDTH, usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX));
        let width = width_of(tile, hashes_at(tile_level, self.size));
        let mut kept = self.kept.borrow_mut();
        if !kept.contains_key(&(tile_level, tile)) {
            let hashes = read_hashes(self.source, tile_level, tile, width)?;
            if kept.len() >= TILES_MAX {
                kept.clear();
            }
            kept.insert((tile_level, tile), hashes);
        }
        let hashes = kept.get(&(tile_level, tile)).and_then(|hashes| hashes.get(slot..slot + (1 << within)));
        hashes.and_then(perfect_root).ok_or_else(|| {
            let file = TileFile::Hashes { level: tile_level, index: tile, width };
            SourceError::Missing { file: file.path(), record: file.first_entry() }
        })
    }

    /// Root of the log: of its first `size` records.
    ///
    /// # Errors
    /// [`SourceError`] when a tile cannot be had or is malformed.
    pub fn root(&self, size: u64) -> Result<Hash, SourceError> {
        proof::root(size, |level, index| self.subtree(level, index))
    }

    /// Proof that record `index` is in the log.
    ///
    /// # Errors
    /// [`BuildError`] when it is not, or a tile cannot be had.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, BuildError<SourceError>> {
        proof::inclusion(index, self.size, |level, index| self.subtree(level, index))
    }

    /// Proof that the log continues its first `old` records.
    ///
    /// # Errors
    /// [`BuildError`] when the log is shorter, or a tile cannot be had.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, BuildError<SourceError>> {
        proof::consistency(old, self.size, |level, index| self.subtree(level, index))
    }
}

impl<S> fmt::Debug for Tiles<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiles").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A published file that cannot be used.
#[derive(Debug)]
pub enum SourceError {
    /// It could not be read.
    Read {
        /// Path of the file.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// It must exist and does not.
    Missing {
        /// Path of the file.
        file: String,
        /// Index of the first record under it.
        record: u64,
    },
    /// It has the wrong length.
    Length {
        /// Path of the file.
        file: String,
        /// Index of the first record under it.
        record: u64,
        /// Its length, bytes.
        len: usize,
        /// The length it must have, bytes.
        expected_len: usize,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, .. } => write!(f, "`{file}` could not be read"),
            Self::Missing { file, record } => write!(f, "`{file}` is missing (records from {record} on)"),
            Self::Length { file, record, len, expected_len } => {
                write!(f, "`{file}` has {len} bytes instead of {expected_len} (records from {record} on)")
            }
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Missing { .. } | Self::Length { .. } => None,
        }
    }
}

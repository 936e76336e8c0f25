//! Files a log folder may hold beside those of its checkpoint: partial tiles of earlier sizes, files not yet under a checkpoint.

use super::{SourceError, VerifyError};
use crate::{
    source::{CHECKPOINT, Source, read_file},
    tile::{TILE_WIDTH, TileFile, hashes_at, width_of},
};

/// What a file in a log's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Part of the log at its checkpoint: `verify` reads it.
    Current,
    /// A partial file of an earlier size; it agrees with the current one.
    Older,
    /// Beyond the checkpoint: written, but not yet published.
    Ahead,
    /// Not of the tlog-tiles layout.
    Foreign,
}

/// Says what the file at `path` is in a log of `size` records, and checks partial files of earlier sizes against the current
/// ones. Run over every file of a folder after `verify`, it leaves no published byte unread.
///
/// # Errors
/// [`VerifyError::Older`] when an earlier file differs from the current one; [`VerifyError::Source`] when one cannot be read.
pub fn check_file(source: &impl Source, path: &str, size: u64) -> Result<Kind, VerifyError> {
    if path == CHECKPOINT {
        return Ok(Kind::Current);
    }
    let Some(file) = TileFile::parse(path) else { return Ok(Kind::Foreign) };
    let (index, width, count) = match file {
        TileFile::Hashes { level, index, width } => (index, width, hashes_at(level, size)),
        TileFile::Entries { index, width } | TileFile::Sidecar { index, width } => (index, width, size),
    };
    let current_width = width_of(index, count);
    if width == current_width {
        return Ok(Kind::Current);
    }
    if width > current_width {
        return Ok(Kind::Ahead);
    }
    let current = match file {
        TileFile::Hashes { level, .. } => TileFile::Hashes { level, index, width: current_width },
        TileFile::Entries { .. } => TileFile::Entries { index, width: current_width },
        TileFile::Sidecar { .. } => TileFile::Sidecar { index, width: current_width },
    };
    let missing = || SourceError::Missing { file: path.to_owned(), record: file.first_entry() };
    let older = source.read(path).map_err(|error| SourceError::Read { file: path.to_owned(), error })?;
    let older = older.ok_or_else(missing)?;
    let (_, newer) = read_file(source, current)?;
    let whole = match file {
        TileFile::Hashes { .. } => older.len() == usize::from(width) * 32,
        TileFile::Entries { .. } => {
            items(crate::bundle::entries(&older).map(|item| item.is_ok())) == Some(width)
        }
        TileFile::Sidecar { .. } => {
            items(crate::bundle::sidecars(&older).map(|item| item.is_ok())) == Some(width)
        }
    };
    if whole && newer.starts_with(&older) {
        return Ok(Kind::Older);
    }
    // The first record under the first byte that differs cannot be told for all kinds: the file's first one is named.
    Err(VerifyError::Older { record: file.first_entry(), file: path.to_owned() })
}

/// How many items there are, when all are whole.
fn items(mut each: impl Iterator<Item = bool>) -> Option<u16> {
    let count =
        each.by_ref().try_fold(0u64, |count, whole| (whole && count < TILE_WIDTH).then_some(count + 1))?;
    u16::try_from(count).ok()
}

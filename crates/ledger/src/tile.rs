//! The tlog-tiles layout: which files a log of a given size consists of, and what they are called.
//!
//! It knows names and coordinates only; what is in the files is `bundle.rs` (entries, sidecars) and plain hashes (tiles).
//! Source: C2SP tlog-tiles. `sidecar/<N>[.p/<W>]` is ours and follows the same naming.

use std::fmt;

/// Hashes in a full tile and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Length of a hash in a tile, bytes.
pub const HASH_LEN: usize = 32;

/// Highest tile level the layout can name.
pub const LEVEL_MAX: u8 = 63;

/// One published file besides the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileFile {
    /// `tile/<L>/<N>[.p/<W>]`: hashes.
    Hashes {
        /// 0 for leaf hashes; slot i of tile n at level l is the root of entries `[(n*256+i)*256^l, (n*256+i+1)*256^l)`.
        level: u8,
        /// Position of the tile in its level.
        index: u64,
        /// Hashes in it, 1..=256.
        width: u16,
    },
    /// `tile/entries/<N>[.p/<W>]`: the entries under a level-0 tile.
    Entries {
        /// Position of the bundle.
        index: u64,
        /// Entries in it, 1..=256.
        width: u16,
    },
    /// `sidecar/<N>[.p/<W>]`: the sealed values beside the entries of a bundle.
    Sidecar {
        /// Position of the bundle.
        index: u64,
        /// Slots in it, 1..=256.
        width: u16,
    },
}

impl TileFile {
    /// Relative path of the file.
    #[must_use]
    pub fn path(self) -> String {
        self.to_string()
    }

    /// Reads a path; `None` for anything that [`TileFile::path`] would not write.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let file = if let Some(rest) = path.strip_prefix("sidecar/") {
            let (index, width) = parse_index(rest)?;
            Self::Sidecar { index, width }
        } else if let Some(rest) = path.strip_prefix("tile/entries/") {
            let (index, width) = parse_index(rest)?;
            Self::Entries { index, width }
        } else {
            let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let (index, width) = parse_index(rest)?;
            Self::Hashes { level: level.parse().ok().filter(|level| *level <= LEVEL_MAX)?, index, width }
        };
        (file.path() == path).then_some(file)
    }

    /// Index of the first entry under the file.
    #[must_use]
    pub fn first_entry(self) -> u64 {
        let (level, index) = match self {
            Self::Hashes { level, index, .. } => (u32::from(level), index),
            Self::Entries { index, .. } | Self::Sidecar { index, .. } => (0, index),
        };
        index.saturating_mul(TILE_WIDTH.saturating_pow(level + 1))
    }
}

impl fmt::Display for TileFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Hashes { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
            Self::Sidecar { index, width } => {
                f.write_str("sidecar/")?;
                (index, width)
            }
        };
        fmt_index(f, index)?;
        if u64::from(width) < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// Number of complete subtrees of `256^level` entries in a log of `size` entries: hashes that exist at that tile level.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The tiles of hashes that a log of `size` entries consists of, level by level, left to right.
pub fn hash_tiles(size: u64) -> impl Iterator<Item = TileFile> {
    grown_hash_tiles(0, size)
}

/// The tiles of hashes to write when a log grows from `old` to `new` entries (partial tiles included), level by level.
pub fn grown_hash_tiles(old: u64, new: u64) -> impl Iterator<Item = TileFile> {
    (0..=LEVEL_MAX).take_while(move |level| hashes_at(*level, new) > 0).flat_map(move |level| {
        spans(hashes_at(level, old), hashes_at(level, new)).map(move |(index, width)| TileFile::Hashes {
            level,
            index,
            width,
        })
    })
}

/// The entry bundles to write when a log grows from `old` to `new` entries.
pub fn grown_bundles(old: u64, new: u64) -> impl Iterator<Item = TileFile> {
    spans(old, new).map(|(index, width)| TileFile::Entries { index, width })
}

/// The sidecar bundles to write when a log grows from `old` to `new` entries.
pub fn grown_sidecars(old: u64, new: u64) -> impl Iterator<Item = TileFile> {
    spans(old, new).map(|(index, width)| TileFile::Sidecar { index, width })
}

/// Width of tile `index` in a level of `count` hashes: 0 when it does not exist.
#[must_use]
pub fn width_of(index: u64, count: u64) -> u16 {
    let left = count.saturating_sub(index.saturating_mul(TILE_WIDTH));
    u16::try_from(left.min(TILE_WIDTH)).unwrap_or(0)
}

/// The 256-wide spans that differ between `old` and `new` items.
fn spans(old: u64, new: u64) -> impl Iterator<Item = (u64, u16)> {
    let end = if new > old { new.div_ceil(TILE_WIDTH) } else { 0 };
    (old / TILE_WIDTH..end).map(move |index| (index, width_of(index, new)))
}

/// Writes `1234067` as `x001/x234/067`.
fn fmt_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let mut groups = [0; 7];
    let mut rest = index;
    let mut used = 0;
    for group in groups.iter_mut().rev() {
        *group = rest % 1000;
        rest /= 1000;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let mut groups = groups.iter().skip(groups.len() - used).peekable();
    while let Some(group) = groups.next() {
        if groups.peek().is_some() { write!(f, "x{group:03}/")? } else { write!(f, "{group:03}")? }
    }
    Ok(())
}

/// Reads `x001/234.p/7`; the caller compares with the canonical form.
fn parse_index(text: &str) -> Option<(u64, u16)> {
    let (groups, width) = match text.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (text, 256),
    };
    let mut index = 0u64;
    for group in groups.split('/') {
        let group: u64 =
            group.strip_prefix('x').unwrap_or(group).parse().ok().filter(|group| *group < 1000)?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    (1..=256).contains(&width).then_some((index, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(files: impl Iterator<Item = TileFile>) -> Vec<String> {
        files.map(TileFile::path).collect()
    }

    #[test]
    fn names_follow_the_specification() {
        let full = TileFile::Hashes { level: 0, index: 1_234_067, width: 256 };
        assert_eq!(full.path(), "tile/0/x001/x234/067");
        let partial = TileFile::Entries { index: 1234, width: 7 };
        assert_eq!(partial.path(), "tile/entries/x001/234.p/7");
        assert_eq!(TileFile::Sidecar { index: 0, width: 256 }.path(), "sidecar/000");
        assert_eq!(
            TileFile::Entries { index: u64::MAX, width: 1 }.path(),
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/1"
        );
    }

    /// The specification's own example: 70,000 entries.
    #[test]
    fn a_log_of_70000_entries() {
        let tiles: Vec<_> = hash_tiles(70_000).collect();
        let of = |wanted: u8| {
            tiles
                .iter()
                .filter_map(|tile| match tile {
                    TileFile::Hashes { level, width, .. } if *level == wanted => Some(*width),
                    TileFile::Hashes { .. } | TileFile::Entries { .. } | TileFile::Sidecar { .. } => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0).iter().filter(|width| **width == 256).count(), 273);
        assert_eq!(of(0).last(), Some(&112));
        assert_eq!(of(1), [256, 17]);
        assert_eq!(of(2), [1]);
        assert_eq!(tiles.len(), 277);
    }

    #[test]
    fn growth_writes_only_what_changed() {
        assert_eq!(paths(grown_hash_tiles(0, 0)), Vec::<String>::new());
        assert_eq!(paths(grown_hash_tiles(5, 5)), Vec::<String>::new());
        assert_eq!(paths(grown_hash_tiles(255, 256)), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(paths(grown_hash_tiles(256, 258)), ["tile/0/001.p/2"]);
        assert_eq!(
            paths(grown_bundles(250, 520)),
            ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/8"]
        );
        assert_eq!(paths(grown_sidecars(0, 1)), ["sidecar/000.p/1"]);
    }

    #[test]
    fn reads_only_canonical_paths() {
        for path in ["tile/0/x001/x234/067", "tile/63/000.p/1", "tile/entries/x001/234.p/255", "sidecar/999"]
        {
            assert_eq!(TileFile::parse(path).map(TileFile::path).as_deref(), Some(path));
        }
        for path in [
            "checkpoint",
            "tile/64/000",
            "tile/0/0",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/07",
            "tile/00/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/../000",
            "tile/entries/1000",
            "sidecar/",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileFile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn first_entry_of_a_file() {
        assert_eq!(TileFile::Hashes { level: 1, index: 2, width: 3 }.first_entry(), 131_072);
        assert_eq!(TileFile::Entries { index: 2, width: 3 }.first_entry(), 512);
    }
}

//! The tiles above level 0 and the root: built from below, compared with what is published.

use super::{Job, VerifyError};
use crate::{
    source::{CHECKPOINT, Source, SourceError, perfect_root, read_hashes},
    tile::{LEVEL_MAX, TILE_WIDTH, TileFile, hashes_at, width_of},
    tree::{EMPTY_ROOT, Hash, Tree, node_hash},
};

/// Collects tile roots from the left and checks each against the tile above it.
pub(super) struct Upper<'a, S> {
    job: Job<'a, S>,
    levels: Vec<Level>,
}

/// The tile being filled at one level.
#[derive(Default)]
struct Level {
    /// Position of the tile.
    index: u64,
    /// Hashes computed so far.
    computed: Vec<Hash>,
    /// The published tile; empty at level 0, whose tiles were compared with the entries already.
    published: Vec<Hash>,
}

impl<'a, S: Source> Upper<'a, S> {
    pub(super) fn new(job: Job<'a, S>) -> Self {
        Self { job, levels: vec![Level::default()] }
    }

    /// Takes the next level-0 tile: full, or the last of the log.
    pub(super) fn push(&mut self, leaves: &[Hash]) -> Result<(), VerifyError> {
        if let Some(level) = self.levels.first_mut() {
            level.computed = leaves.to_vec();
        }
        let mut at = 0;
        while let Some(root) = self.close_full(at) {
            at += 1;
            self.push_root(at, root)?;
        }
        Ok(())
    }

    /// Compares the root of everything with the checkpoint.
    pub(super) fn finish(self) -> Result<(), VerifyError> {
        let (size, signed) = (self.job.checkpoint.size, self.job.checkpoint.root);
        let computed = root_of_edge(self.levels.iter().map(|level| level.computed.as_slice()));
        if computed == signed { Ok(()) } else { Err(VerifyError::Root { size, computed, signed }) }
    }

    /// When the tile at `level` is full: starts the next one and returns the root of this one.
    fn close_full(&mut self, level: usize) -> Option<Hash> {
        let level = self.levels.get_mut(level)?;
        if u64::try_from(level.computed.len()) != Ok(TILE_WIDTH) {
            return None;
        }
        let root = perfect_root(&level.computed);
        *level = Level { index: level.index + 1, ..Level::default() };
        root
    }

    fn push_root(&mut self, at: usize, root: Hash) -> Result<(), VerifyError> {
        if self.levels.len() == at {
            self.levels.push(Level::default());
        }
        let (job, tile_level) = (self.job, u8::try_from(at).unwrap_or(u8::MAX));
        let Some(level) = self.levels.get_mut(at) else { return Err(VerifyError::Worker) };
        let width = width_of(level.index, hashes_at(tile_level, job.checkpoint.size));
        if level.computed.is_empty() {
            level.published = read_hashes(job.source, tile_level, level.index, width)?;
        }
        let slot = level.computed.len();
        level.computed.push(root);
        if level.published.get(slot) == Some(&root) {
            return Ok(());
        }
        let above = TileFile::Hashes { level: tile_level, index: level.index, width };
        let below_index = level.index * TILE_WIDTH + u64::try_from(slot).unwrap_or(0);
        let below = TileFile::Hashes { level: tile_level - 1, index: below_index, width: 256 };
        let record = below.first_entry();
        if fits(&job, tile_level, level.index, &level.published).unwrap_or(false) {
            let end = record + TILE_WIDTH.saturating_pow(u32::from(tile_level));
            return Err(VerifyError::Subtree { record, end, file: below.path(), above: above.path() });
        }
        Err(VerifyError::Tile { record, file: above.path(), slot })
    }
}

/// Whether a tile with these hashes fits the published tile above it, or, when it is on the right edge, the signed root.
pub(super) fn fits<S: Source>(
    job: &Job<'_, S>,
    level: u8,
    index: u64,
    hashes: &[Hash],
) -> Result<bool, SourceError> {
    let size = job.checkpoint.size;
    if u64::try_from(hashes.len()) == Ok(TILE_WIDTH) {
        let (above, slot) = (index / TILE_WIDTH, usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX));
        let width = width_of(above, hashes_at(level + 1, size));
        let above = read_hashes(job.source, level + 1, above, width)?;
        return Ok(perfect_root(hashes).is_some_and(|root| above.get(slot) == Some(&root)));
    }
    let mut edge = Vec::new();
    for at in 0..=u8::try_from(size.max(1).ilog(TILE_WIDTH)).unwrap_or(0) {
        let count = hashes_at(at, size);
        let width = u16::try_from(count % TILE_WIDTH).unwrap_or(0);
        edge.push(match (at == level, width) {
            (true, _) => hashes.to_vec(),
            (false, 0) => Vec::new(),
            (false, _) => read_hashes(job.source, at, count / TILE_WIDTH, width)?,
        });
    }
    Ok(root_of_edge(edge.iter().map(Vec::as_slice)) == job.checkpoint.root)
}

/// Checks level-0 tiles up to the signed root one by one, for ranges: each tile against the one above it, once.
pub(super) struct Climb<'a, S> {
    job: Job<'a, S>,
    /// The last tile at each level that is known to fit, by its position.
    known: Vec<Option<u64>>,
}

impl<'a, S: Source> Climb<'a, S> {
    pub(super) fn new(job: Job<'a, S>) -> Self {
        Self { job, known: Vec::new() }
    }

    /// Checks that the level-0 tile `index` with `hashes` is in the tree the log signed.
    pub(super) fn check(&mut self, index: u64, hashes: &[Hash]) -> Result<(), VerifyError> {
        let size = self.job.checkpoint.size;
        let (mut index, mut hashes) = (index, hashes.to_vec());
        for level in 0..=LEVEL_MAX {
            let at = usize::from(level);
            if self.known.len() == at {
                self.known.push(None);
            }
            if self.known.get(at) == Some(&Some(index)) {
                return Ok(());
            }
            if !fits(&self.job, level, index, &hashes)? {
                return Err(self.misfit(level, index));
            }
            if let Some(known) = self.known.get_mut(at) {
                *known = Some(index);
            }
            if u64::try_from(hashes.len()) != Ok(TILE_WIDTH) {
                return Ok(());
            }
            index /= TILE_WIDTH;
            hashes =
                read_hashes(self.job.source, level + 1, index, width_of(index, hashes_at(level + 1, size)))?;
        }
        Ok(())
    }

    fn misfit(&self, level: u8, index: u64) -> VerifyError {
        let size = self.job.checkpoint.size;
        let tile = |level: u8, index: u64| {
            let width = width_of(index, hashes_at(level, size));
            (TileFile::Hashes { level, index, width }, width)
        };
        let (file, width) = tile(level, index);
        let full = u64::from(width) == TILE_WIDTH;
        let above = if full { tile(level + 1, index / TILE_WIDTH).0.path() } else { CHECKPOINT.to_owned() };
        let record = file.first_entry();
        let end = record.saturating_add(TILE_WIDTH.saturating_pow(u32::from(level) + 1)).min(size);
        VerifyError::Subtree { record, end, file: file.path(), above }
    }
}

/// Root of a tree from its partial tiles, lowest level first.
fn root_of_edge<'h>(levels: impl Iterator<Item = &'h [Hash]>) -> Hash {
    let mut root: Option<Hash> = None;
    for hashes in levels {
        let mut tree = Tree::new();
        hashes.iter().for_each(|hash| tree.push(*hash));
        for subtree in tree.frontier().iter().rev() {
            root = Some(root.map_or(*subtree, |right| node_hash(subtree, &right)));
        }
    }
    root.unwrap_or(EMPTY_ROOT)
}

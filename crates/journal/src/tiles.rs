//! The published files of a log: tiles, entry bundles and sidecars, grown record by record.
//!
//! Holds at most one tile per level, one bundle and one sidecar bundle in memory. Files are replaced as a whole (written aside,
//! then renamed), so a reader never sees half of one; they are synced later, all at once, before the segments that hold the same
//! records are used again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use daypass_ledger::bundle;
use daypass_ledger::tile::{TILE_WIDTH, TileFile, hashes_at, width_of};
use daypass_ledger::tree::{Hash, Tree, leaf_hash};

use crate::error::{Fault, Wrong};

/// Published files up to a size, and what is needed to go on.
#[derive(Debug)]
pub(crate) struct Tiles {
    dir: PathBuf,
    tree: Tree,
    /// The unfinished tile of each level. One with 256 hashes is written before the next hash comes.
    levels: Vec<Level>,
    entries: Vec<u8>,
    sidecars: Vec<u8>,
    /// While catching up after a start: compare with what is there.
    compares: bool,
    repaired: Vec<PathBuf>,
}

/// The unfinished tile of a level.
#[derive(Debug, Default)]
struct Level {
    /// Its position.
    index: u64,
    hashes: Vec<Hash>,
}

const FULL: usize = 256;

impl Tiles {
    /// Goes on at `tree`, whose files exist for a checkpoint of `published` records.
    pub(crate) fn load(dir: &Path, tree: &Tree, published: u64) -> Result<Self, Fault> {
        let size = tree.size();
        let mut tiles = Self {
            dir: dir.to_owned(),
            tree: tree.clone(),
            levels: Vec::new(),
            entries: Vec::new(),
            sidecars: Vec::new(),
            compares: true,
            repaired: Vec::new(),
        };
        let mut frontier = Vec::new();
        let mut level = 0;
        while hashes_at(level, size) > 0 {
            let (index, kept) = place(hashes_at(level, size));
            let width = width_of(index, hashes_at(level, published));
            let file = TileFile::Hashes { level, index, width };
            let hashes = tiles.load_hashes(file, kept)?;
            let mut part = Tree::new();
            hashes.iter().for_each(|hash| part.push(*hash));
            frontier.splice(0..0, part.frontier().iter().copied());
            if !tree.frontier().ends_with(&frontier) {
                return Err(published_fault(file, size));
            }
            tiles.levels.push(Level { index, hashes });
            level += 1;
        }
        tiles.load_bundles(size, published)?;
        Ok(tiles)
    }

    fn load_hashes(&self, file: TileFile, kept: usize) -> Result<Vec<Hash>, Fault> {
        if kept == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.read_any(file)?;
        let (hashes, _) = bytes.as_chunks::<32>();
        let hashes: Vec<_> = hashes.iter().take(kept).copied().map(Hash).collect();
        if hashes.len() == kept { Ok(hashes) } else { Err(published_fault(file, self.tree.size())) }
    }

    fn load_bundles(&mut self, size: u64, published: u64) -> Result<(), Fault> {
        let (index, kept) = place(size);
        if kept == 0 {
            return Ok(());
        }
        let width = width_of(index, published);
        let file = TileFile::Entries { index, width };
        let bytes = self.read_any(file)?;
        let leaves = self.levels.first().map(|level| level.hashes.clone()).unwrap_or_default();
        let mut entries = bundle::entries(&bytes);
        for leaf in leaves {
            let entry = entries.next().and_then(Result::ok).filter(|entry| leaf_hash(entry) == leaf);
            let pushed = entry.is_some_and(|entry| bundle::push_entry(&mut self.entries, entry).is_ok());
            if !pushed {
                return Err(published_fault(file, size));
            }
        }
        let file = TileFile::Sidecar { index, width };
        let bytes = self.read_any(file)?;
        let mut sidecars = bundle::sidecars(&bytes);
        for _ in 0..kept {
            let slot = sidecars.next().and_then(Result::ok);
            let pushed = slot.is_some_and(|slot| bundle::push_sidecar(&mut self.sidecars, slot).is_ok());
            if !pushed {
                return Err(published_fault(file, size));
            }
        }
        Ok(())
    }

    /// Reads a file, or the full one that took its place.
    fn read_any(&self, file: TileFile) -> Result<Vec<u8>, Fault> {
        fs::read(self.dir.join(file.path()))
            .or_else(|_| fs::read(self.dir.join(full(file).path())))
            .map_err(|_| Fault { file: file.path().into(), record: file.first_entry(), what: Wrong::Missing })
    }

    /// Records published or waiting in memory to be.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Adds a record. After an error nothing was added, and it can be tried again.
    pub(crate) fn push(&mut self, leaf: &[u8], sidecar: &[u8]) -> io::Result<()> {
        self.finish_full(0)?;
        let (entries_len, sidecars_len) = (self.entries.len(), self.sidecars.len());
        let pushed = bundle::push_entry(&mut self.entries, leaf)
            .and_then(|()| bundle::push_sidecar(&mut self.sidecars, Some(sidecar)));
        if let Err(error) = pushed {
            self.entries.truncate(entries_len);
            self.sidecars.truncate(sidecars_len);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let hash = leaf_hash(leaf);
        self.tree.push(hash);
        self.push_hash(0, hash);
        Ok(())
    }

    fn push_hash(&mut self, level: usize, hash: Hash) {
        if self.levels.len() <= level {
            self.levels.push(Level::default());
        }
        if let Some(level) = self.levels.get_mut(level) {
            level.hashes.push(hash);
        }
    }

    /// If the tile of `number` is full: writes it for good and hands its root up.
    fn finish_full(&mut self, number: usize) -> io::Result<()> {
        if self.levels.get(number).is_none_or(|level| level.hashes.len() < FULL) {
            return Ok(());
        }
        self.finish_full(number + 1)?;
        self.write_level(number)?;
        let mut tile = Tree::new();
        if let Some(level) = self.levels.get_mut(number) {
            level.hashes.drain(..).for_each(|hash| tile.push(hash));
            level.index += 1;
        }
        if number == 0 {
            self.entries.clear();
            self.sidecars.clear();
        }
        self.push_hash(number + 1, tile.root());
        Ok(())
    }

    /// Writes what is there of every unfinished tile and bundle.
    pub(crate) fn write_partial(&mut self) -> io::Result<()> {
        for level in 0..self.levels.len() {
            self.finish_full(level)?;
        }
        for level in 0..self.levels.len() {
            self.write_level(level)?;
        }
        Ok(())
    }

    /// Writes the tile of `level` as it is, with the bundles if it is the lowest.
    fn write_level(&mut self, level: usize) -> io::Result<()> {
        let Some(Level { index, hashes }) = self.levels.get(level).filter(|level| !level.hashes.is_empty())
        else {
            return Ok(());
        };
        let index = *index;
        let width = u16::try_from(hashes.len()).map_err(io::Error::other)?;
        let bytes = hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>();
        let level = u8::try_from(level).map_err(io::Error::other)?;
        self.write(TileFile::Hashes { level, index, width }, &bytes)?;
        if level == 0 {
            let (entries, sidecars) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.sidecars));
            let written = self
                .write(TileFile::Entries { index, width }, &entries)
                .and_then(|()| self.write(TileFile::Sidecar { index, width }, &sidecars));
            (self.entries, self.sidecars) = (entries, sidecars);
            written?;
        }
        Ok(())
    }

    fn write(&mut self, file: TileFile, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(file.path());
        if self.compares {
            match fs::read(&path) {
                Ok(there) if there == bytes => return Ok(()),
                Ok(_) => self.repaired.push(file.path().into()),
                Err(_) => {}
            }
        }
        replace(&path, bytes)?;
        if file == full(file) {
            // Partial tiles may go once the full one exists.
            let partials = path.with_added_extension("p");
            match fs::remove_dir_all(partials) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// True while catching up after a start.
    pub(crate) fn compares(&self) -> bool {
        self.compares
    }

    /// Caught up: from now on files are written without a look at what is there. Returns those that were different.
    pub(crate) fn caught_up(&mut self) -> Vec<PathBuf> {
        self.compares = false;
        std::mem::take(&mut self.repaired)
    }
}

/// The unfinished tile of a level of `count` hashes, and how many hashes it has.
fn place(count: u64) -> (u64, usize) {
    (count / TILE_WIDTH, usize::try_from(count % TILE_WIDTH).unwrap_or_default())
}

fn full(file: TileFile) -> TileFile {
    let width = 256;
    match file {
        TileFile::Hashes { level, index, .. } => TileFile::Hashes { level, index, width },
        TileFile::Entries { index, .. } => TileFile::Entries { index, width },
        TileFile::Sidecar { index, .. } => TileFile::Sidecar { index, width },
    }
}

fn published_fault(file: TileFile, size: u64) -> Fault {
    Fault { file: file.path().into(), record: file.first_entry().min(size), what: Wrong::Published }
}

/// Replaces a file as a whole; leaves nothing behind if that fails.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_added_extension("new");
    let write = || fs::write(&aside, bytes);
    let written = match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| write())
        }
        written => written,
    };
    let replaced = written.and_then(|()| fs::rename(&aside, path));
    if replaced.is_err() {
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    replaced
}

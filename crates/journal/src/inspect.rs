//! Reads a log directory without changing it: what `verify` needs to know of the segments, which are not published.
//!
//! Checks every digest, root and signature, that nothing good follows the end, and that the published files hold the same
//! records. The published files among themselves are `daypass_ledger::verify`'s to check.

use std::fs;
use std::path::{Path, PathBuf};

use daypass_ledger::bundle;
use daypass_ledger::checkpoint::Checkpoint;
use daypass_ledger::note::VerifierKey;
use daypass_ledger::tile::{TILE_WIDTH, TileFile, width_of};
use daypass_ledger::tree::leaf_hash;

use crate::error::{Fault, OpenError, Wrong};
use crate::format::{Batch, BatchHeader, BatchKind, Frame};
use crate::journal::TornTail;
use crate::recover::{Agreement, read_checkpoint, relative};
use crate::segments::list;
use crate::walk::{Signatures, Walk};

/// How often a directory is read again in which something seems wrong: it may be in use.
const TRIES: usize = 3;

/// What a log directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Records in the log.
    pub size: u64,
    /// Records under the published checkpoint; `None` when there is none.
    pub published: Option<u64>,
    /// The first record that the segments still hold.
    pub wal_first: u64,
    /// Segments read.
    pub segments: usize,
    /// Batches in them, each with a good digest, root and signature.
    pub batches: u64,
    /// An interrupted write at the end: the log was not closed.
    pub torn: Option<TornTail>,
}

/// Reads the log in `dir`, signed by `key`, which may be in use by another process.
///
/// # Errors
/// [`OpenError::Damaged`] names the file and the record at which the log is not what was written.
pub fn inspect(dir: &Path, key: &VerifierKey) -> Result<Inspected, OpenError> {
    let mut tries = 1;
    loop {
        match inspect_once(dir, key) {
            Err(_) if tries < TRIES => tries += 1,
            inspected => return inspected,
        }
    }
}

fn inspect_once(dir: &Path, key: &VerifierKey) -> Result<Inspected, OpenError> {
    let published = read_checkpoint(dir, key)?;
    let is_signed = |header: &BatchHeader, size| key.signed_head(size, header.root, &header.signature);
    let mut walk = Walk::new(&is_signed, Signatures::Every);
    let mut agreement = Agreement::new(published.as_ref());
    let mut bundles =
        Bundles { dir, published: published.as_ref().map_or(0, |published| published.size), current: None };
    let mut inspected = Inspected {
        size: 0,
        published: published.as_ref().map(|checkpoint: &Checkpoint| checkpoint.size),
        wal_first: 0,
        segments: 0,
        batches: 0,
        torn: None,
    };
    for (number, path) in list(&dir.join("wal")).map_err(OpenError::io(dir.join("wal")))? {
        walk.expect(number)?;
        let bytes = fs::read(&path).map_err(OpenError::io(&path))?;
        let found = walk.segment(relative(dir, &path), number, &bytes, &mut |batch, tree| {
            inspected.batches += u64::from(batch.header.kind == BatchKind::Records);
            bundles.compare(batch)?;
            agreement.see(tree)
        })?;
        agreement.see(&found.before)?;
        if inspected.segments == 0 {
            inspected.wal_first = number;
        }
        inspected.segments += 1;
        let record = walk.tree.as_ref().map_or(number, daypass_ledger::tree::Tree::size);
        inspected.torn =
            found.torn.map(|len| TornTail { file: relative(dir, &path), offset: found.end, record, len });
    }
    let tree = walk.finish()?;
    agreement.finish(tree.as_ref())?;
    inspected.size = tree.map_or(0, |tree| tree.size());
    Ok(inspected)
}

/// Compares records with what is published of them.
struct Bundles<'a> {
    dir: &'a Path,
    published: u64,
    /// The bundle that was read last.
    current: Option<(u64, Vec<Slot>)>,
}

/// One record as published.
struct Slot {
    entry: Vec<u8>,
    sidecar: Option<Vec<u8>>,
    hash: [u8; 32],
}

impl Bundles<'_> {
    fn compare(&mut self, batch: &Batch<'_>) -> Result<(), Fault> {
        for (record, frame) in (batch.header.first..self.published).zip(batch.frames().flatten()) {
            self.compare_record(record, frame)?;
        }
        Ok(())
    }

    fn compare_record(&mut self, record: u64, frame: Frame<'_>) -> Result<(), Fault> {
        let index = record / TILE_WIDTH;
        let width = width_of(index, self.published);
        let names = |file: TileFile| Fault { file: file.path().into(), record, what: Wrong::Published };
        if self.current.as_ref().is_none_or(|(current, _)| *current != index) {
            self.current = Some((index, self.load(index, width)?));
        }
        let mut slots = self.current.iter().flat_map(|(_, slots)| slots);
        let slot = usize::try_from(record % TILE_WIDTH).ok().and_then(|at| slots.nth(at));
        let slot = slot.ok_or_else(|| names(TileFile::Entries { index, width }))?;
        if slot.entry != frame.leaf {
            return Err(names(TileFile::Entries { index, width }));
        }
        if slot.hash != leaf_hash(frame.leaf).0 {
            return Err(names(TileFile::Hashes { level: 0, index, width }));
        }
        // An absent one may have been erased after the record was written.
        if slot.sidecar.as_ref().is_some_and(|sidecar| sidecar != frame.sidecar) {
            return Err(names(TileFile::Sidecar { index, width }));
        }
        Ok(())
    }

    fn load(&self, index: u64, width: u16) -> Result<Vec<Slot>, Fault> {
        let (tile, hashes) = self.read(|width| TileFile::Hashes { level: 0, index, width }, width)?;
        let (bundle, entries) = self.read(|width| TileFile::Entries { index, width }, width)?;
        let (beside, sidecars) = self.read(|width| TileFile::Sidecar { index, width }, width)?;
        let (hashes, rest) = hashes.as_chunks::<32>();
        let entries: Vec<_> = bundle::entries(&entries).collect();
        let sidecars: Vec<_> = bundle::sidecars(&sidecars).collect();
        let cut = |file: &Path, at: usize| Fault {
            file: file.to_owned(),
            record: (index * TILE_WIDTH).saturating_add(at as u64),
            what: Wrong::Published,
        };
        let width = usize::from(width);
        if hashes.len() < width || !rest.is_empty() {
            return Err(cut(&tile, hashes.len()));
        }
        if let Some(at) =
            entries.iter().position(Result::is_err).or((entries.len() < width).then_some(entries.len()))
        {
            return Err(cut(&bundle, at));
        }
        if let Some(at) =
            sidecars.iter().position(Result::is_err).or((sidecars.len() < width).then_some(sidecars.len()))
        {
            return Err(cut(&beside, at));
        }
        let slots = entries.into_iter().flatten().zip(sidecars.into_iter().flatten()).zip(hashes);
        Ok(slots
            .map(|((entry, sidecar), hash)| Slot {
                entry: entry.to_vec(),
                sidecar: sidecar.map(<[u8]>::to_vec),
                hash: *hash,
            })
            .collect())
    }

    /// Reads a file, or the full one that took its place.
    fn read(&self, file: impl Fn(u16) -> TileFile, width: u16) -> Result<(PathBuf, Vec<u8>), Fault> {
        let path = PathBuf::from(file(width).path());
        let missing =
            |_| Fault { file: path.clone(), record: file(width).first_entry(), what: Wrong::Missing };
        let bytes = fs::read(self.dir.join(&path))
            .or_else(|_| fs::read(self.dir.join(file(256).path())))
            .map_err(missing)?;
        Ok((path, bytes))
    }
}

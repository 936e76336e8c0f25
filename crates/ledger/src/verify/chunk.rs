//! One bundle of up to 256 records: entries against their tile, sidecars against their records.

use sha2::{Digest as _, Sha256};

use super::{BundleProblem, Job, Record, SidecarProblem, Sidecars, VerifyError, upper::fits};
use crate::{
    bundle,
    sealed::{SealedJson, sealed_in},
    source::{Source, SourceError, read_file, read_hashes},
    tile::{TILE_WIDTH, TileFile, width_of},
    tree::{Hash, leaf_hash},
};

/// A verified bundle.
pub(super) struct Chunk {
    first: u64,
    width: u16,
    entries: Vec<u8>,
    sidecars: Option<Vec<u8>>,
    /// Leaf hashes.
    pub(super) hashes: Vec<Hash>,
    pub(super) leaf_bytes: u64,
    pub(super) sealed: u64,
    pub(super) erased: u64,
}

impl Chunk {
    /// Index after the last record.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.width)
    }

    /// Shows each record with its sidecar.
    pub(super) fn records(&self, mut show: impl FnMut(Record<'_>)) {
        let mut slots = bundle::sidecars(self.sidecars.as_deref().unwrap_or_default());
        let entries = bundle::entries(&self.entries).map_while(Result::ok);
        for (index, leaf) in (self.first..self.end()).zip(entries) {
            show(Record { index, leaf, sidecar: slots.next().and_then(Result::ok).flatten() });
        }
    }
}

impl<S: Source> Job<'_, S> {
    /// Reads and verifies bundle `number`.
    pub(super) fn chunk(&self, number: u64) -> Result<Chunk, VerifyError> {
        let width = width_of(number, self.checkpoint.size);
        let (file, entries) = read_file(self.source, TileFile::Entries { index: number, width })?;
        let hashes = read_hashes(self.source, 0, number, width)?;
        self.check_entries(number, file, &entries, &hashes)?;
        let first = number * TILE_WIDTH;
        let leaf_bytes = bundle::entries(&entries)
            .map_while(Result::ok)
            .take(hashes.len())
            .map(<[u8]>::len)
            .sum::<usize>();
        let leaf_bytes = u64::try_from(leaf_bytes).unwrap_or(u64::MAX);
        let mut chunk =
            Chunk { first, width, entries, sidecars: None, hashes, leaf_bytes, sealed: 0, erased: 0 };
        if self.options.sidecars == Sidecars::Required {
            self.check_sidecars(number, file, &mut chunk)?;
        }
        Ok(chunk)
    }

    /// Compares every entry's hash with the tile.
    fn check_entries(
        &self,
        number: u64,
        file: TileFile,
        entries: &[u8],
        hashes: &[Hash],
    ) -> Result<(), VerifyError> {
        let first = number * TILE_WIDTH;
        let mut found = bundle::entries(entries);
        for (record, hash) in (first..).zip(hashes) {
            let Some(Ok(entry)) = found.next() else {
                return Err(VerifyError::Bundle { record, file: file.path(), problem: BundleProblem::Cut });
            };
            if leaf_hash(entry) != *hash {
                return Err(self.blame(number, record, file, entries, hashes));
            }
        }
        let end = first + u64::try_from(hashes.len()).unwrap_or(0);
        self.check_end(file, end, found.next().is_some())
    }

    /// After the last record of the log nothing may follow; in a full bundle of a log that has grown, more may.
    fn check_end(&self, file: TileFile, end: u64, more: bool) -> Result<(), VerifyError> {
        let width = match file {
            TileFile::Hashes { width, .. }
            | TileFile::Entries { width, .. }
            | TileFile::Sidecar { width, .. } => width,
        };
        let grown = u64::from(width) == TILE_WIDTH && !end.is_multiple_of(TILE_WIDTH);
        if more && !grown {
            return Err(VerifyError::Bundle {
                record: end,
                file: file.path(),
                problem: BundleProblem::Longer,
            });
        }
        Ok(())
    }

    /// Entry and tile disagree about `record`: says which of them does not fit the rest of the tree.
    fn blame(
        &self,
        number: u64,
        record: u64,
        file: TileFile,
        entries: &[u8],
        hashes: &[Hash],
    ) -> VerifyError {
        let found = bundle::entries(entries)
            .map_while(Result::ok)
            .take(hashes.len())
            .map(leaf_hash)
            .collect::<Vec<_>>();
        let fits = |hashes: &[Hash]| fits(self, 0, number, hashes).unwrap_or(false);
        if found.len() == hashes.len() && !fits(hashes) && fits(&found) {
            let slot = usize::try_from(record % TILE_WIDTH).unwrap_or(usize::MAX);
            let tile =
                TileFile::Hashes { level: 0, index: number, width: width_of(number, self.checkpoint.size) };
            return VerifyError::Tile { record, file: tile.path(), slot };
        }
        VerifyError::Entry { record, file: file.path() }
    }

    /// Compares every record's sidecar with what the record says about it.
    fn check_sidecars(
        &self,
        number: u64,
        entries_file: TileFile,
        chunk: &mut Chunk,
    ) -> Result<(), VerifyError> {
        let wanted = TileFile::Sidecar { index: number, width: chunk.width };
        let (file, bytes) = match read_file(self.source, wanted) {
            Ok((file, bytes)) => (file, Some(bytes)),
            // No file: nothing is sealed in the whole bundle, or it is withheld.
            Err(SourceError::Missing { .. }) => (wanted, None),
            Err(error @ (SourceError::Read { .. } | SourceError::Length { .. })) => return Err(error.into()),
        };
        let mut slots = bytes.as_deref().map(bundle::sidecars);
        let entries = bundle::entries(&chunk.entries).map_while(Result::ok);
        let (mut sealed, mut erased) = (0, 0);
        for (record, leaf) in (chunk.first..chunk.end()).zip(entries) {
            let sidecar = match slots.as_mut().map(Iterator::next) {
                None => None,
                Some(Some(Ok(sidecar))) => sidecar,
                Some(None | Some(Err(_))) => {
                    return Err(VerifyError::Bundle {
                        record,
                        file: file.path(),
                        problem: BundleProblem::Cut,
                    });
                }
            };
            let named = sealed_in(leaf).map_err(|error| VerifyError::Sealed {
                record,
                file: entries_file.path(),
                error,
            })?;
            sealed += u64::from(named.is_some());
            erased += u64::from(named.is_some() && sidecar.is_none());
            if let Err(problem) = self.check_sidecar(named, sidecar) {
                return Err(VerifyError::Sidecar { record, file: file.path(), problem });
            }
        }
        self.check_end(file, chunk.end(), slots.is_some_and(|mut slots| slots.next().is_some()))?;
        (chunk.sealed, chunk.erased) = (sealed, erased);
        chunk.sidecars = bytes;
        Ok(())
    }

    fn check_sidecar(&self, named: Option<SealedJson>, sidecar: Option<&[u8]>) -> Result<(), SidecarProblem> {
        match (named, sidecar) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(SidecarProblem::Unexpected),
            (Some(named), None) if self.options.erased.contains(named.subject.as_ref()) => Ok(()),
            (Some(named), None) => Err(SidecarProblem::Withheld { subject: named.subject.into() }),
            (Some(named), Some(bytes)) if named.sha256.0 == <[u8; 32]>::from(Sha256::digest(bytes)) => Ok(()),
            (Some(_), Some(_)) => Err(SidecarProblem::Changed),
        }
    }
}

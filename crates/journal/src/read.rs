//! Reads durable records back: from the segments while those hold them, from the published bundles afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use daypass_ledger::bundle;
use daypass_ledger::tile::{TILE_WIDTH, TileFile, width_of};

use crate::format::{Batch, SegmentId};
use crate::journal::{Shared, Stored};
use crate::segments::Segments;

/// Most bytes that one call collects before it returns.
const READ_LEN_MAX: usize = 8 << 20;

/// How often a read is tried again that met a segment or bundle being replaced.
const TRIES: usize = 8;

/// Reads up to `max` records from `from` on, all below `covered`.
pub(crate) fn read(shared: &Shared, covered: u64, from: u64, max: usize) -> io::Result<Vec<Stored>> {
    let mut stored = Vec::new();
    let mut len = 0;
    let end = covered.min(from.saturating_add(max as u64));
    let mut index = from;
    while index < end && len < READ_LEN_MAX {
        let before = stored.len();
        for one in some(shared, index)? {
            if one.index < end {
                len += one.leaf.len() + one.sidecar.as_ref().map_or(0, Vec::len);
                stored.push(one);
            }
        }
        if stored.len() == before {
            return Err(io::ErrorKind::InvalidData.into());
        }
        index = from + stored.len() as u64;
    }
    Ok(stored)
}

/// Reads `index` and what follows it in the same batch or bundle.
fn some(shared: &Shared, index: u64) -> io::Result<Vec<Stored>> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for _ in 0..TRIES {
        let read = if shared.segments.find(index).is_some() {
            from_segment(&shared.segments, index)
        } else {
            from_bundle(shared, index)
        };
        match read {
            Ok(stored) => return Ok(stored),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn from_segment(segments: &Segments, index: u64) -> io::Result<Vec<Stored>> {
    let (bytes, id) = read_batch(segments, index)?;
    let batch = Batch::decode(&bytes, &id).ok_or(io::ErrorKind::InvalidData)?;
    let stored = (batch.header.first..).zip(batch.frames().flatten()).map(|(index, frame)| Stored {
        index,
        leaf: frame.leaf.to_vec(),
        sidecar: Some(frame.sidecar).filter(|sidecar| !sidecar.is_empty()).map(<[u8]>::to_vec),
    });
    Ok(stored.skip_while(|stored| stored.index < index).collect())
}

/// Reads the bytes of the batch that holds `index`.
pub(crate) fn read_batch(segments: &Segments, index: u64) -> io::Result<(Vec<u8>, SegmentId)> {
    let (file, id, batch) = segments.find(index).ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = vec![0; batch.len];
    file.read_exact_at(&mut bytes, batch.offset)?;
    Ok((bytes, id))
}

fn from_bundle(shared: &Shared, index: u64) -> io::Result<Vec<Stored>> {
    let published = shared.published().size;
    let (bundle_index, skip) =
        (index / TILE_WIDTH, usize::try_from(index % TILE_WIDTH).map_err(io::Error::other)?);
    let read = |file: TileFile| fs::read(shared.dir.join(file.path()));
    let either = |full: TileFile, partial: TileFile| read(full).or_else(|_| read(partial));
    let width = width_of(bundle_index, published);
    let entries = either(
        TileFile::Entries { index: bundle_index, width: 256 },
        TileFile::Entries { index: bundle_index, width },
    )?;
    let sidecars = either(
        TileFile::Sidecar { index: bundle_index, width: 256 },
        TileFile::Sidecar { index: bundle_index, width },
    )?;
    let mut stored = Vec::new();
    let both = bundle::entries(&entries).zip(bundle::sidecars(&sidecars)).skip(skip);
    for (index, (entry, sidecar)) in (index..published).zip(both) {
        let invalid = |cut| io::Error::new(io::ErrorKind::InvalidData, cut);
        let sidecar = sidecar.map_err(invalid)?.map(<[u8]>::to_vec);
        stored.push(Stored { index, leaf: entry.map_err(invalid)?.to_vec(), sidecar });
    }
    Ok(stored)
}

//! The bytes of a segment. All integers are big-endian.
//!
//! A segment is a preallocated file `wal/<first record, 20 digits>.seg`: a header of 4,096 bytes, then batches, each starting at
//! a multiple of 512 bytes, so that no write touches a sector that holds acknowledged bytes. After the last batch comes a
//! sector of zeros.
//!
//! | segment header | bytes | | batch | bytes |
//! |---|---|---|---|---|
//! | `daypass\x01` | 8 | | `dpb\x01` | 4 |
//! | random id of the segment | 16 | | kind: 1 records, 2 end of segment, then three zeros | 4 |
//! | length of the file | 8 | | id of the segment | 16 |
//! | first record | 8 | | first record | 8 |
//! | number of frontier hashes | 8 | | number of records, length of the frames | 4 + 4 |
//! | frontier of the tree before it | n · 32 | | microseconds since the epoch | 8 |
//! | zeros | | | root of the tree after it | 32 |
//! | SHA-256 of all before | 32 | | Ed25519 signature over the checkpoint text of that tree | 64 |
//! | | | | digest: SHA-256 of the 144 bytes before and of every sidecar's SHA-256 | 32 |
//! | | | | frames: u16 record length, u32 sidecar length, record, sidecar | |
//! | | | | zeros up to the next multiple of 512 | |
//!
//! Every byte is bound: records by the root, everything else by the digest. The id keeps what is left of a recycled
//! segment's former life from passing for a batch. This file does no I/O.

use daypass_ledger::tree::{Hash, Tree, leaf_hash};
use sha2::{Digest, Sha256};

pub(crate) const SECTOR: usize = 512;
pub(crate) const SEGMENT_HEADER_LEN: usize = 4096;
pub(crate) const BATCH_HEADER_LEN: usize = 176;
/// Offset of the segment id in a batch.
pub(crate) const ID_AT: usize = 8;

const SEGMENT_MAGIC: &[u8; 8] = b"daypass\x01";
const BATCH_MAGIC: &[u8; 4] = b"dpb\x01";
const FRAME_LEN: usize = 6;
/// Length of the part of a batch header that its digest covers.
const DIGESTED_LEN: usize = 144;

pub(crate) type SegmentId = [u8; 16];

/// What a segment begins with: where in the log it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: SegmentId,
    pub(crate) segment_len: u64,
    /// The tree of all records before the segment.
    pub(crate) tree: Tree,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_LEN);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.segment_len.to_be_bytes());
        bytes.extend_from_slice(&self.tree.size().to_be_bytes());
        bytes.extend_from_slice(&u64::from(self.tree.size().count_ones()).to_be_bytes());
        for hash in self.tree.frontier() {
            bytes.extend_from_slice(&hash.0);
        }
        bytes.resize(SEGMENT_HEADER_LEN - 32, 0);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Reads a header; `None` for anything that `encode` would not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut at = Cursor { rest: bytes.get(..SEGMENT_HEADER_LEN)? };
        (at.array()? == *SEGMENT_MAGIC).then_some(())?;
        let id = at.array()?;
        let segment_len = at.u64()?;
        let size = at.u64()?;
        let count = usize::try_from(at.u64()?).ok().filter(|count| *count <= 64)?;
        let frontier = (0..count).map(|_| at.array().map(Hash)).collect::<Option<Vec<_>>>()?;
        let header = Self { id, segment_len, tree: Tree::from_frontier(size, frontier)? };
        (bytes.get(..SEGMENT_HEADER_LEN)? == header.encode()).then_some(header)
    }
}

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    /// It holds records.
    Records,
    /// The log goes on in the next segment, which exists.
    End,
}

/// What a batch begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) kind: BatchKind,
    pub(crate) id: SegmentId,
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) frames_len: u32,
    pub(crate) at: u64,
    pub(crate) root: Hash,
    pub(crate) signature: [u8; 64],
}

impl BatchHeader {
    /// The header with its digest over `sidecars`, the SHA-256 of every sidecar in order.
    pub(crate) fn encode(&self, sidecars: impl Iterator<Item = [u8; 32]>) -> [u8; BATCH_HEADER_LEN] {
        let mut bytes = Vec::with_capacity(BATCH_HEADER_LEN);
        bytes.extend_from_slice(BATCH_MAGIC);
        let kind = match self.kind {
            BatchKind::Records => 1,
            BatchKind::End => 2,
        };
        bytes.extend_from_slice(&[kind, 0, 0, 0]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&self.frames_len.to_be_bytes());
        bytes.extend_from_slice(&self.at.to_be_bytes());
        bytes.extend_from_slice(&self.root.0);
        bytes.extend_from_slice(&self.signature);
        debug_assert_eq!(bytes.len(), DIGESTED_LEN, "the layout of the table above");
        let mut sha = Sha256::new_with_prefix(&bytes);
        for sidecar in sidecars {
            sha.update(sidecar);
        }
        bytes.extend_from_slice(&sha.finalize());
        bytes.try_into().unwrap_or([0; BATCH_HEADER_LEN])
    }

    /// Reads the header at the start of `bytes` if it is one of segment `id`; says nothing of its digest.
    pub(crate) fn decode(bytes: &[u8], id: &SegmentId) -> Option<Self> {
        let mut at = Cursor { rest: bytes.get(..BATCH_HEADER_LEN)? };
        (at.array()? == *BATCH_MAGIC).then_some(())?;
        let kind = match at.array()? {
            [1, 0, 0, 0] => BatchKind::Records,
            [2, 0, 0, 0] => BatchKind::End,
            _ => return None,
        };
        (at.array()? == *id).then_some(())?;
        Some(Self {
            kind,
            id: *id,
            first: at.u64()?,
            count: at.u32()?,
            frames_len: at.u32()?,
            at: at.u64()?,
            root: Hash(at.array()?),
            signature: at.array()?,
        })
    }

    /// Length of the batch in its segment, zeros at its end included.
    pub(crate) fn batch_len(&self) -> usize {
        padded(BATCH_HEADER_LEN.saturating_add(usize::try_from(self.frames_len).unwrap_or(usize::MAX)))
    }
}

/// A batch whose digest is right. Its root is not checked: that takes the tree before it.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) header: BatchHeader,
    frames: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch at the start of `bytes`; `None` unless every byte of it but the records is as it was written.
    pub(crate) fn decode(bytes: &'a [u8], id: &SegmentId) -> Option<Self> {
        let header = BatchHeader::decode(bytes, id)?;
        let whole = bytes.get(..header.batch_len())?;
        let (frames, zeros) =
            whole.get(BATCH_HEADER_LEN..)?.split_at_checked(usize::try_from(header.frames_len).ok()?)?;
        let batch = Self { header, frames };
        let mut sidecars = Vec::new();
        for frame in batch.frames() {
            sidecars.push(sidecar_hash(frame?.sidecar));
        }
        let whole_frames = sidecars.len() == usize::try_from(batch.header.count).ok()?;
        let digest_holds = whole.get(..BATCH_HEADER_LEN)? == batch.header.encode(sidecars.into_iter());
        (whole_frames && digest_holds && zeros.iter().all(|byte| *byte == 0)).then_some(batch)
    }

    /// The records in order; a frame that does not fit ends them with `None`.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Option<Frame<'a>>> + use<'a> {
        frames(self.frames)
    }
}

/// One record and what lies beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) leaf: &'a [u8],
    /// Empty: there is none.
    pub(crate) sidecar: &'a [u8],
}

/// Reads the frames of a batch; a frame that does not fit ends them with `None`.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = Option<Frame<'_>>> {
    let mut rest = Some(bytes).filter(|bytes| !bytes.is_empty());
    std::iter::from_fn(move || {
        let split = take_frame(rest.take()?);
        rest = split.map(|(_, after)| after).filter(|after| !after.is_empty());
        Some(split.map(|(frame, _)| frame))
    })
}

fn take_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let mut at = Cursor { rest: bytes };
    let leaf_len = usize::from(u16::from_be_bytes(at.array()?));
    let sidecar_len = usize::try_from(at.u32()?).ok()?;
    let (leaf, rest) = at.rest.split_at_checked(leaf_len)?;
    let (sidecar, rest) = rest.split_at_checked(sidecar_len)?;
    Some((Frame { leaf, sidecar }, rest))
}

/// Appends a frame. The lengths were checked when the record was taken.
pub(crate) fn push_frame(frames: &mut Vec<u8>, leaf_len: u16, sidecar_len: u32, frame: Frame<'_>) {
    frames.extend_from_slice(&leaf_len.to_be_bytes());
    frames.extend_from_slice(&sidecar_len.to_be_bytes());
    frames.extend_from_slice(frame.leaf);
    frames.extend_from_slice(frame.sidecar);
}

/// Hashes a sidecar for the digest of its batch: zeros when there is none.
pub(crate) fn sidecar_hash(sidecar: &[u8]) -> [u8; 32] {
    if sidecar.is_empty() { [0; 32] } else { Sha256::digest(sidecar).into() }
}

/// Pushes the records of a batch onto `tree`; `false` unless the root becomes the one the batch names.
pub(crate) fn grow(tree: &mut Tree, batch: &Batch<'_>) -> bool {
    for frame in batch.frames().flatten() {
        tree.push(leaf_hash(frame.leaf));
    }
    tree.root() == batch.header.root
}

/// Bytes a frame takes in a batch.
pub(crate) fn frame_len(leaf_len: usize, sidecar_len: usize) -> usize {
    FRAME_LEN.saturating_add(leaf_len).saturating_add(sidecar_len)
}

/// The next multiple of a sector.
pub(crate) fn padded(len: usize) -> usize {
    len.checked_next_multiple_of(SECTOR).unwrap_or(usize::MAX)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

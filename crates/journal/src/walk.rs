//! Reads segments from first to last and tells an interrupted write from damage.
//!
//! Only the very end of the log may be unreadable: nothing that was written after it may be good. Whether something is good is
//! decided by the digest of a batch and by the signature over its head, which nobody but the log can make. Reads only.

use std::path::{Path, PathBuf};

use daypass_ledger::tree::Tree;

use crate::error::{Fault, Wrong};
use crate::format::{
    Batch, BatchHeader, BatchKind, ID_AT, SECTOR, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId, grow,
};
use crate::segments::{BatchAt, segment_name};

/// Which signatures are checked. The roots and digests always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// The last of each segment: it covers the ones before it.
    Last,
    /// Every one.
    Every,
}

/// Reads segments in order.
pub(crate) struct Walk<'a> {
    /// Whether the signature in this batch is the log's.
    pub(crate) is_signed: &'a dyn Fn(&BatchHeader, u64) -> bool,
    pub(crate) signatures: Signatures,
    /// The tree so far; `None` before the first segment.
    pub(crate) tree: Option<Tree>,
    /// The segment before ended without an end mark.
    open_end: Option<PathBuf>,
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: SegmentId,
    pub(crate) batches: Vec<BatchAt>,
    /// Offset of the end.
    pub(crate) end: u64,
    /// An end mark says that another segment follows.
    pub(crate) ended: bool,
    /// There is something unreadable at the end, of about this many bytes.
    pub(crate) torn: Option<u64>,
    /// The tree before the segment.
    pub(crate) before: Tree,
    /// Length of the segment.
    pub(crate) segment_len: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(is_signed: &'a dyn Fn(&BatchHeader, u64) -> bool, signatures: Signatures) -> Self {
        Self { is_signed, signatures, tree: None, open_end: None }
    }

    /// Says that the next segment there is starts at record `first`.
    pub(crate) fn expect(&self, first: u64) -> Result<(), Fault> {
        let Some(size) = self.tree.as_ref().map(Tree::size).filter(|size| *size != first) else {
            return Ok(());
        };
        Err(match &self.open_end {
            Some(file) => Fault { file: file.clone(), record: size, what: Wrong::BadBatch },
            None => missing(size),
        })
    }

    /// The tree of all records; `None` if there was no segment.
    pub(crate) fn finish(self) -> Result<Option<Tree>, Fault> {
        match (self.tree, self.open_end) {
            (Some(tree), None) => Err(missing(tree.size())),
            (tree, _) => Ok(tree),
        }
    }

    /// Reads the next segment, called `file` and named after record `first`. `visit` gets every good batch with the tree
    /// before it and after it.
    pub(crate) fn segment(
        &mut self,
        file: PathBuf,
        first: u64,
        bytes: &[u8],
        visit: &mut dyn FnMut(&Batch<'_>, &Tree) -> Result<(), Fault>,
    ) -> Result<Found, Fault> {
        let fault = |record, what| Fault { file: file.clone(), record, what };
        let header = SegmentHeader::decode(bytes);
        let header = header.ok_or_else(|| {
            fault(first, if bytes.len() < SEGMENT_HEADER_LEN { Wrong::Length } else { Wrong::Header })
        })?;
        if header.segment_len != bytes.len() as u64 {
            return Err(fault(first, Wrong::Length));
        }
        let expected = self.tree.get_or_insert_with(|| header.tree.clone());
        if header.tree != *expected || header.tree.size() != first {
            return Err(fault(first, Wrong::Header));
        }
        let mut tree = header.tree.clone();
        let mut found = Found {
            id: header.id,
            batches: Vec::new(),
            end: SEGMENT_HEADER_LEN as u64,
            ended: false,
            torn: None,
            before: header.tree,
            segment_len: header.segment_len,
        };
        let mut last = None;
        let mut offset = SEGMENT_HEADER_LEN;
        while !found.ended {
            let rest = bytes.get(offset..).unwrap_or_default();
            let Some((batch, grown)) =
                good_batch(rest, &header.id, &tree).map_err(|what| fault(tree.size(), what))?
            else {
                self.check_end(rest, &header.id, tree.size()).map_err(|what| fault(tree.size(), what))?;
                found.torn = torn_len(rest, &header.id);
                break;
            };
            if self.signatures == Signatures::Every && !(self.is_signed)(&batch.header, grown.size()) {
                return Err(fault(tree.size(), Wrong::Signature));
            }
            if let (Some(before), BatchKind::Records) = (&self.open_end, batch.header.kind) {
                return Err(Fault { file: before.clone(), record: tree.size(), what: Wrong::BadBatch });
            }
            visit(&batch, &grown)?;
            let len = batch.header.batch_len();
            match batch.header.kind {
                BatchKind::Records => {
                    found.batches.push(BatchAt { first: tree.size(), offset: offset as u64, len })
                }
                BatchKind::End => found.ended = true,
            }
            last = Some((batch.header, tree.size()));
            tree = grown;
            offset += len;
        }
        found.end = offset as u64;
        if let Some((header, record)) = last
            && !(self.is_signed)(&header, tree.size())
        {
            return Err(fault(record, Wrong::Signature));
        }
        self.open_end = (!found.ended).then_some(file);
        self.tree = Some(tree);
        Ok(found)
    }

    /// Nothing good may follow the end.
    fn check_end(&self, rest: &[u8], id: &SegmentId, size: u64) -> Result<(), Wrong> {
        let mut searched = 1;
        while let Some(tail) = rest.get(searched..) {
            let Some(at) = memchr::memmem::find(tail, id) else { return Ok(()) };
            let start = (searched + at).checked_sub(ID_AT);
            let candidate = start.filter(|start| *start > 0).and_then(|start| rest.get(start..));
            if let Some(header) =
                candidate.and_then(|bytes| Batch::decode(bytes, id)).map(|batch| batch.header)
            {
                let after = header.first.saturating_add(u64::from(header.count));
                if after >= size && (self.is_signed)(&header, after) {
                    return Err(Wrong::BadBatch);
                }
            }
            searched += at + 1;
        }
        Ok(())
    }
}

/// How long the interrupted write at the start of `rest` was; `None` when there is none.
fn torn_len(rest: &[u8], id: &SegmentId) -> Option<u64> {
    let sector = rest.get(..SECTOR).unwrap_or(rest);
    let is_torn = sector.iter().any(|byte| *byte != 0);
    let len = BatchHeader::decode(rest, id).map_or(SECTOR, |header| header.batch_len());
    is_torn.then(|| len.min(rest.len()) as u64)
}

fn missing(record: u64) -> Fault {
    Fault { file: Path::new("wal").join(segment_name(record)), record, what: Wrong::Missing }
}

/// The batch at the start of `bytes` with the tree after it; `None` if there is no whole one, an error if it is whole but
/// belongs to another place.
fn good_batch<'a>(bytes: &'a [u8], id: &SegmentId, tree: &Tree) -> Result<Option<(Batch<'a>, Tree)>, Wrong> {
    let Some(batch) = Batch::decode(bytes, id) else { return Ok(None) };
    if batch.header.first != tree.size() {
        return Err(Wrong::Order);
    }
    let mut grown = tree.clone();
    Ok(grow(&mut grown, &batch).then_some((batch, grown)))
}

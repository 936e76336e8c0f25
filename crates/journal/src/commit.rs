//! The commit thread: takes what was appended while the last sync ran, signs one head over it, writes once, syncs once, wakes.
//!
//! The order is the guarantee: sign, write, sync, and only then `covered` moves. An error in between aborts the process.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use daypass_ledger::note::Signer;
use daypass_ledger::receipt::SignedHead;
use daypass_ledger::tree::Tree;

use crate::disk::Disk;
use crate::format::{
    BATCH_HEADER_LEN, BatchHeader, BatchKind, SECTOR, SEGMENT_HEADER_LEN, SegmentId, padded,
};
use crate::journal::Shared;
use crate::queue::Gathered;
use crate::segments::{BatchAt, Segment};

/// Counters of the commit thread.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// Where the next batch goes.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: Arc<File>,
    pub(crate) id: SegmentId,
    pub(crate) offset: u64,
    /// Offset that batches may not pass: the end mark and the sector of zeros come after it.
    end: u64,
}

impl Active {
    pub(crate) fn new(segment: &Segment, offset: u64, segment_len: u64) -> Self {
        let end = segment_len.saturating_sub(2 * SECTOR as u64);
        Self { file: Arc::clone(&segment.file), id: segment.id, offset, end }
    }

    pub(crate) fn room(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }
}

/// The state of the commit thread.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) signer: Arc<Signer>,
    pub(crate) clock: Box<dyn Fn() -> u64 + Send>,
    pub(crate) tree: Tree,
    pub(crate) active: Active,
}

impl Committer {
    /// Commits until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut woken = Vec::new();
        let mut gathered = Gathered::default();
        gathered.clear();
        while self.shared.queue.take(&mut gathered) {
            self.commit(&mut gathered, &mut woken).unwrap_or_else(|error| fatal("write the log", &error));
            self.shared.queue.written(self.active.room());
            gathered.clear();
        }
        self.shared.end();
    }

    /// Writes everything gathered: one batch, or two where a segment ends.
    fn commit(&mut self, gathered: &mut Gathered, woken: &mut Vec<Waker>) -> io::Result<()> {
        loop {
            let count = gathered.fitting(self.active.room());
            if count == gathered.marks.len() {
                return self.write(gathered, woken);
            }
            if count > 0 {
                let mut front = gathered.split_front(count);
                self.write(&mut front, woken)?;
            }
            self.next_segment()?;
        }
    }

    /// Makes one batch of `gathered` durable and says so.
    fn write(&mut self, gathered: &mut Gathered, woken: &mut Vec<Waker>) -> io::Result<()> {
        if gathered.marks.is_empty() {
            return Ok(());
        }
        let first = self.tree.size();
        for mark in &gathered.marks {
            self.tree.push(mark.leaf);
        }
        let head = self.signer.sign_head(self.tree.size(), self.tree.root());
        let header = BatchHeader {
            kind: BatchKind::Records,
            id: self.active.id,
            first,
            count: u32::try_from(gathered.marks.len()).map_err(io::Error::other)?,
            frames_len: u32::try_from(gathered.bytes.len() - BATCH_HEADER_LEN).map_err(io::Error::other)?,
            at: (self.clock)(),
            root: head.root(),
            signature: *head.signature(),
        };
        let header = header.encode(gathered.marks.iter().map(|mark| mark.sidecar));
        if let Some(room) = gathered.bytes.first_chunk_mut() {
            *room = header;
        }
        let offset = self.active.offset;
        let len = self.append(&mut gathered.bytes)?;
        self.disk.sync(&self.active.file)?;

        let counters = &self.shared.counters;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.records.fetch_add(self.tree.size() - first, Ordering::Relaxed);
        counters.bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.shared.segments.push_batch(BatchAt { first, offset, len });
        self.shared.cover(head, woken);
        Ok(())
    }

    /// Writes a batch, zeros up to the next sector and a sector of zeros; returns the length without the latter.
    fn append(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let len = padded(bytes.len());
        bytes.resize(len + SECTOR, 0);
        self.disk.write_at(&self.active.file, bytes, self.active.offset)?;
        self.active.offset += len as u64;
        Ok(len)
    }

    /// Goes on in a new segment. The new one is durable before the old one is marked as ended, so an end without a next
    /// segment is damage; the mark is durable before a record of the new one is acknowledged.
    fn next_segment(&mut self) -> io::Result<()> {
        let spare = self.shared.segments.take_spare();
        self.shared.count_spares();
        let segment = self.shared.segments.activate(spare, &self.tree)?;
        let mut mark = end_mark(self.active.id, &self.shared.head());
        self.append(&mut mark)?;
        self.disk.sync(&self.active.file)?;
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.active = Active::new(&segment, SEGMENT_HEADER_LEN as u64, self.shared.limits.segment_len);
        self.shared.segments.push(segment);
        self.shared.queue.set_active_free(self.active.room());
        self.shared.nudge_publisher();
        Ok(())
    }
}

/// The mark that ends a segment whose records end at `head`.
pub(crate) fn end_mark(id: SegmentId, head: &SignedHead) -> Vec<u8> {
    let header = BatchHeader {
        kind: BatchKind::End,
        id,
        first: head.size(),
        count: 0,
        frames_len: 0,
        at: 0,
        root: head.root(),
        signature: *head.signature(),
    };
    header.encode(std::iter::empty()).to_vec()
}

/// Ends the process at once: what is in the page cache can no longer be trusted, and nothing may be acknowledged.
#[expect(clippy::print_stderr, reason = "the last word of a process that cannot rely on its log any more")]
pub(crate) fn fatal(what: &str, error: &dyn std::error::Error) -> ! {
    eprintln!(
        "daypass: cannot {what}: {error}; the process ends so that nothing is acknowledged without a record"
    );
    std::process::abort()
}

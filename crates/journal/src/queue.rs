//! Records on their way to the commit thread: where a record gets its index, and where it is refused.
//!
//! One short lock. A record is hashed by its appender before the lock and encoded under it, straight into the buffer that
//! goes to disk. There are two buffers: one fills while the other is written.
//!
//! INVARIANT: what was admitted always finds preallocated space, however it falls into batches. Each waiting record is
//! counted as if it were alone in its batch.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daypass_ledger::bundle::{ENTRY_LEN_MAX, SIDECAR_LEN_MAX};
use daypass_ledger::tree::{Hash, leaf_hash};

use crate::error::AppendError;
use crate::format::{self, BATCH_HEADER_LEN, Frame, SECTOR, SEGMENT_HEADER_LEN};

/// How urgent a record is, and which reserve it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Synced at once; refused when only the reserves are left.
    Intent,
    /// May wait `linger` for company; may use the reserve.
    Outcome,
    /// Synced at once; may use everything.
    BreakGlass,
}

/// A record and what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes that the tree covers, at most 65,535.
    pub leaf: Vec<u8>,
    /// Erasable bytes that the tree covers only through a commitment in the leaf. An empty one is the same as none.
    pub sidecar: Option<Vec<u8>>,
}

/// Preallocated bytes that are left for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes left, what already waits for the disk subtracted.
    pub free: u64,
    /// Below this, somebody should make space: the log cannot make segments ready any more.
    pub low_water: u64,
    /// Below this, intents are refused.
    pub reserve: u64,
    /// Below this, everything but break-glass records is refused.
    pub break_glass: u64,
}

impl Space {
    /// True when somebody should make space, which is before anything is refused.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free < self.low_water
    }
}

/// Limits of the queue, from the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) segment_len: u64,
    pub(crate) reserve_len: u64,
    pub(crate) break_glass_len: u64,
    pub(crate) queue_len_max: usize,
    pub(crate) linger: Duration,
}

impl Limits {
    /// Bytes of a segment that batches can use: all but its header, the end mark and the sector of zeros.
    pub(crate) fn segment_room(&self) -> u64 {
        self.segment_len.saturating_sub((SEGMENT_HEADER_LEN + 2 * SECTOR) as u64)
    }

    /// Longest frame taken, bytes. A record that does not fit the rest of a segment wastes at most this much.
    pub(crate) fn frame_len_max(&self) -> usize {
        usize::try_from(self.segment_room() / 8).unwrap_or(usize::MAX)
    }
}

/// Records that go to disk together.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Room for a batch header, then the frames.
    pub(crate) bytes: Vec<u8>,
    pub(crate) marks: Vec<Mark>,
    /// What the records were counted as.
    pub(crate) charge: u64,
}

/// What the commit thread needs to know of a record without reading it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) leaf: Hash,
    pub(crate) sidecar: [u8; 32],
    /// Offset in `bytes` at which its frame ends.
    pub(crate) end: usize,
    /// It goes to disk in the batch of the record before it, or neither does.
    pub(crate) joined: bool,
}

impl Gathered {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(BATCH_HEADER_LEN, 0);
        self.marks.clear();
        self.charge = 0;
    }

    /// How many of the first records fit a batch of `room` bytes; what was appended together stays together.
    pub(crate) fn fitting(&self, room: u64) -> usize {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut count = self.marks.partition_point(|mark| format::padded(mark.end) <= room);
        while self.marks.get(count).is_some_and(|mark| mark.joined) {
            count -= 1;
        }
        count
    }

    /// Takes the first `count` records out. Rare: only where a segment ends.
    pub(crate) fn split_front(&mut self, count: usize) -> Self {
        let end = count
            .checked_sub(1)
            .and_then(|last| self.marks.get(last))
            .map_or(BATCH_HEADER_LEN, |mark| mark.end);
        let mut front = Self::default();
        front.clear();
        front.bytes.extend(self.bytes.drain(BATCH_HEADER_LEN..end));
        front.marks.extend(self.marks.drain(..count));
        for mark in &mut self.marks {
            mark.end -= end - BATCH_HEADER_LEN;
        }
        front
    }
}

/// A record checked and hashed, before the lock.
struct Prepared<'a> {
    leaf_len: u16,
    sidecar_len: u32,
    frame: Frame<'a>,
    leaf: Hash,
    sidecar: [u8; 32],
    len: usize,
}

/// Most time that a batch waits for the appenders of the one before it to come back.
const PAUSE_MAX: Duration = Duration::from_micros(600);
/// What each of them is waited for.
const PAUSE_EACH: Duration = Duration::from_micros(40);

/// The queue between appenders and the commit thread.
///
/// A sync costs the same for one record as for hundreds. So when the last batch held many urgent records, the next one waits
/// a moment until as many have come again: whoever appended alone waits for nobody.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    limits: Limits,
}

#[derive(Debug)]
struct Inner {
    filling: Gathered,
    /// Index of the next record.
    next: u64,
    /// Records of `filling` that somebody waits for.
    urgent: usize,
    /// How many of them the next batch waits for, and until when.
    company: (usize, Option<Instant>),
    /// Urgent records of the batch that is being written.
    writing_urgent: usize,
    /// When the first record of `filling` that may wait came.
    since: Option<Instant>,
    /// The commit thread waits for work.
    idle: bool,
    closed: bool,
    /// Bytes taken by the batch that is being written, as counted at admission.
    writing: u64,
    /// Bytes left in the segment that is written to.
    active_free: u64,
    /// Bytes left in segments that are ready.
    spare_free: u64,
}

impl Queue {
    pub(crate) fn new(next: u64, limits: Limits) -> Self {
        let mut filling = Gathered::default();
        filling.clear();
        let inner = Inner {
            filling,
            next,
            urgent: 0,
            company: (0, None),
            writing_urgent: 0,
            since: None,
            idle: false,
            closed: false,
            writing: 0,
            active_free: 0,
            spare_free: 0,
        };
        Self { inner: Mutex::new(inner), arrived: Condvar::new(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes records that go to disk in one batch and gives the index of the last, or refuses them all.
    pub(crate) fn push(&self, lane: Lane, entries: &[Entry]) -> Result<u64, AppendError> {
        let mut prepared = Vec::with_capacity(entries.len());
        let (mut len, mut charge) = (0_usize, 0);
        for entry in entries {
            let frame = self.prepare(entry)?;
            len += frame.len;
            charge += format::padded(BATCH_HEADER_LEN + frame.len) as u64;
            prepared.push(frame);
        }
        if len > self.limits.frame_len_max() {
            return Err(AppendError::TooLong { len_max: self.limits.frame_len_max() });
        }
        let mut inner = self.lock();
        self.admit(&inner, lane, len, charge)?;
        for (at, frame) in prepared.into_iter().enumerate() {
            let Prepared { leaf_len, sidecar_len, frame, leaf, sidecar, .. } = frame;
            format::push_frame(&mut inner.filling.bytes, leaf_len, sidecar_len, frame);
            let end = inner.filling.bytes.len();
            inner.filling.marks.push(Mark { leaf, sidecar, end, joined: at > 0 });
            inner.next += 1;
        }
        inner.filling.charge += charge;
        let index = inner.next.saturating_sub(1);
        let wake = match lane {
            Lane::Intent | Lane::BreakGlass => {
                let before = inner.urgent;
                inner.urgent += entries.len();
                before == 0 || (before < inner.company.0 && inner.urgent >= inner.company.0)
            }
            Lane::Outcome if inner.since.is_none() => {
                inner.since = Some(now());
                true
            }
            Lane::Outcome => false,
        };
        let wake = wake && inner.idle;
        drop(inner);
        if wake {
            self.arrived.notify_one();
        }
        Ok(index)
    }

    fn prepare<'a>(&self, entry: &'a Entry) -> Result<Prepared<'a>, AppendError> {
        let sidecar = entry.sidecar.as_deref().unwrap_or_default();
        let len = format::frame_len(entry.leaf.len(), sidecar.len());
        let leaf_len = u16::try_from(entry.leaf.len());
        let leaf_len = leaf_len.map_err(|_| AppendError::TooLong { len_max: ENTRY_LEN_MAX })?;
        let sidecar_len_max = SIDECAR_LEN_MAX.min(self.limits.frame_len_max().saturating_sub(ENTRY_LEN_MAX));
        let too_long = AppendError::TooLong { len_max: sidecar_len_max };
        let sidecar_len = u32::try_from(sidecar.len()).map_err(|_| too_long)?;
        if sidecar.len() > SIDECAR_LEN_MAX || len > self.limits.frame_len_max() {
            return Err(too_long);
        }
        let frame = Frame { leaf: &entry.leaf, sidecar };
        let (leaf, sidecar) = (leaf_hash(&entry.leaf), format::sidecar_hash(sidecar));
        Ok(Prepared { leaf_len, sidecar_len, frame, leaf, sidecar, len })
    }

    fn admit(&self, inner: &Inner, lane: Lane, len: usize, charge: u64) -> Result<(), AppendError> {
        if inner.closed {
            return Err(AppendError::Closed);
        }
        let kept = match lane {
            Lane::Intent => self.limits.reserve_len + self.limits.break_glass_len,
            Lane::Outcome => self.limits.break_glass_len,
            Lane::BreakGlass => 0,
        };
        if inner.free() < charge.saturating_add(kept) {
            return Err(AppendError::NoSpace);
        }
        if inner.filling.bytes.len().saturating_add(len) > self.limits.queue_len_max {
            return Err(AppendError::Busy);
        }
        Ok(())
    }

    /// Waits for records that are due and swaps them into `empty`; `false` when the queue is closed and empty.
    pub(crate) fn take(&self, empty: &mut Gathered) -> bool {
        let mut inner = self.lock();
        loop {
            let now = now();
            let due = inner.since.map(|since| since + self.limits.linger);
            let left =
                |until: Instant| Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero());
            let wait = match (due, inner.company.1) {
                _ if inner.closed && inner.filling.marks.is_empty() => return false,
                _ if inner.closed => break,
                (_, Some(until)) if inner.urgent > 0 && inner.urgent < inner.company.0 => left(until),
                _ if inner.urgent > 0 => break,
                (Some(due), _) => left(due),
                (None, _) => Some(Duration::MAX),
            };
            let Some(wait) = wait else { break };
            inner.idle = true;
            inner = if wait == Duration::MAX {
                self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.arrived.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner).0
            };
            inner.idle = false;
        }
        inner.writing_urgent = mem::take(&mut inner.urgent);
        inner.since = None;
        inner.writing = inner.filling.charge;
        mem::swap(&mut inner.filling, empty);
        true
    }

    /// States that the batch taken last is written, and what is left of the segment.
    pub(crate) fn written(&self, active_free: u64) {
        let mut inner = self.lock();
        inner.writing = 0;
        inner.active_free = active_free;
        let company = mem::take(&mut inner.writing_urgent);
        let pause = PAUSE_EACH.saturating_mul(u32::try_from(company).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        inner.company = (company, (company > 1).then(|| now() + pause));
    }

    /// States what is left of the segment that is written to.
    pub(crate) fn set_active_free(&self, active_free: u64) {
        self.lock().active_free = active_free;
    }

    /// States how many segments are ready.
    pub(crate) fn set_spares(&self, count: usize) {
        let each = self.limits.segment_room().saturating_sub(self.limits.frame_len_max() as u64);
        self.lock().spare_free = each * count as u64;
    }

    /// Index of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.lock().next
    }

    pub(crate) fn space(&self) -> Space {
        let Limits { segment_len, reserve_len, break_glass_len, .. } = self.limits;
        let reserve = reserve_len + break_glass_len;
        Space {
            free: self.lock().free(),
            low_water: reserve + segment_len / 4,
            reserve,
            break_glass: break_glass_len,
        }
    }

    /// Takes no more records; those taken still go to disk.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }
}

impl Inner {
    fn free(&self) -> u64 {
        (self.active_free + self.spare_free).saturating_sub(self.filling.charge + self.writing)
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of the rim: how long a record waited for company")]
fn now() -> Instant {
    Instant::now()
}

//! The handle to an open log.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use daypass_ledger::note::Signer;
use daypass_ledger::receipt::{Covered, Receipt, SharedCovered, SignedHead};

use crate::commit::Counters;
use crate::disk::{Disk, LocalDisk};
use crate::error::{AppendError, Closed, OpenError};
use crate::keeper::Keeper;
use crate::queue::{Entry, Lane, Limits, Queue, Space};
use crate::segments::Segments;
use crate::wake::WakeList;
use crate::{read, recover};

/// How a log is kept.
#[derive(Debug)]
pub struct Options {
    /// The log's directory; made if it is not there.
    pub dir: PathBuf,
    /// Signs the tree heads. Its name is the origin of the log.
    pub signer: Signer,
    /// Length of a preallocated segment, bytes: a multiple of 4,096, at least 65,536.
    pub segment_len: u64,
    /// How often tiles and checkpoint are published.
    pub publish_every: Duration,
    /// Bytes that only outcomes and break-glass records may use.
    pub reserve_len: u64,
    /// Bytes that only break-glass records may use.
    pub break_glass_len: u64,
    /// How long an outcome may wait for company.
    pub linger: Duration,
    /// Most bytes that may wait for the disk.
    pub queue_len_max: usize,
}

impl Options {
    /// A busy log: segments of 64 MiB, published every second, outcomes wait up to 20 ms.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, signer: Signer) -> Self {
        Self {
            dir: dir.into(),
            signer,
            segment_len: 64 << 20,
            publish_every: Duration::from_secs(1),
            reserve_len: 8 << 20,
            break_glass_len: 1 << 20,
            linger: Duration::from_millis(20),
            queue_len_max: 32 << 20,
        }
    }

    /// A log of few records: segments of 1 MiB and reserves to match.
    #[must_use]
    pub fn small(dir: impl Into<PathBuf>, signer: Signer) -> Self {
        let (segment_len, reserve_len, break_glass_len) = (1 << 20, 128 << 10, 64 << 10);
        Self { segment_len, reserve_len, break_glass_len, queue_len_max: 1 << 20, ..Self::new(dir, signer) }
    }

    pub(crate) fn limits(&self) -> Result<Limits, OpenError> {
        if self.segment_len < 64 << 10 || !self.segment_len.is_multiple_of(4096) || self.segment_len > 1 << 30
        {
            return Err(OpenError::Options {
                what: "a segment is a multiple of 4,096 bytes, from 64 KiB to 1 GiB",
            });
        }
        if self.reserve_len.saturating_add(self.break_glass_len) > self.segment_len / 2 {
            return Err(OpenError::Options { what: "the reserves may take up half a segment at most" });
        }
        if self.publish_every.is_zero() {
            return Err(OpenError::Options { what: "the log cannot be published all the time" });
        }
        Ok(Limits {
            segment_len: self.segment_len,
            reserve_len: self.reserve_len,
            break_glass_len: self.break_glass_len,
            queue_len_max: self.queue_len_max,
            linger: self.linger,
        })
    }
}

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Records in the log, all durable.
    pub size: u64,
    /// The end of an interrupted write that was cut off. The caller appends the record that says so.
    pub recovered: Option<TornTail>,
    /// Published files that were missing or incomplete after a crash, or changed, and were written again from the log.
    pub repaired: Vec<PathBuf>,
}

/// An interrupted write at the end of the log. None of it was ever acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment, relative to the log directory.
    pub file: PathBuf,
    /// Where in it the write began, bytes.
    pub offset: u64,
    /// The record it would have begun with.
    pub record: u64,
    /// Its length in bytes, as its header says; the length of a sector when the header itself was torn. How much of it had
    /// reached the disk cannot be told from what was there before.
    pub len: u64,
}

/// Work done since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// fdatasync calls on the log.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Batches they went to disk in.
    pub batches: u64,
    /// Bytes of those batches.
    pub bytes: u64,
}

/// A durable record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Position in the log, from 0.
    pub index: u64,
    /// The record.
    pub leaf: Vec<u8>,
    /// What lies beside it, unless it had none or it was erased.
    pub sidecar: Option<Vec<u8>>,
}

/// An open log. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// What handles, commit thread and publisher share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) queue: Queue,
    pub(crate) segments: Segments,
    pub(crate) counters: Counters,
    pub(crate) publisher: PublisherState,
    covered: SharedCovered,
    head: Mutex<SignedHead>,
    waiting: WakeList,
    /// The commit thread is done: what is not covered never will be.
    ended: AtomicBool,
    /// Keeps other processes out.
    lock: File,
}

/// What the publisher tells, and what it is told.
#[derive(Debug, Default)]
pub(crate) struct PublisherState {
    pub(crate) inner: Mutex<Published>,
    pub(crate) nudge: Condvar,
    pub(crate) waiting: WakeList,
}

/// What is published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) checkpoint: Vec<u8>,
    /// Somebody does not want to wait for the next round.
    pub(crate) nudged: bool,
    /// The commit thread is done: publish once more and end.
    pub(crate) closing: bool,
    /// The publisher is done.
    pub(crate) ended: bool,
}

impl Shared {
    pub(crate) fn new(
        dir: PathBuf,
        limits: Limits,
        head: SignedHead,
        segments: Segments,
        lock: File,
    ) -> Self {
        Self {
            dir,
            limits,
            queue: Queue::new(head.size(), limits),
            segments,
            counters: Counters::default(),
            publisher: PublisherState::default(),
            covered: SharedCovered::new(head.durable()),
            head: Mutex::new(head),
            waiting: WakeList::default(),
            ended: AtomicBool::new(false),
            lock,
        }
    }

    pub(crate) fn head(&self) -> SignedHead {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Called after the sync of the batch that holds `head`.
    pub(crate) fn cover(&self, head: SignedHead, woken: &mut Vec<Waker>) {
        let covered = head.durable();
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        self.covered.grow(covered);
        self.waiting.wake_below(covered.size(), woken);
    }

    /// Tells the queue how many segments are ready.
    pub(crate) fn count_spares(&self) {
        self.segments.count_spares(|count| self.queue.set_spares(count));
    }

    /// Called when the commit thread is done.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.waiting.wake_below(u64::MAX, &mut Vec::new());
        self.segments.close();
        self.published().closing = true;
        self.publisher.nudge.notify_all();
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.publisher.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// States what is published, and wakes who waits for it.
    pub(crate) fn set_published(&self, size: u64, checkpoint: Vec<u8>) {
        let mut published = self.published();
        published.size = size;
        published.checkpoint = checkpoint;
        drop(published);
        self.publisher.waiting.wake_below(size, &mut Vec::new());
    }

    pub(crate) fn nudge_publisher(&self) {
        self.published().nudged = true;
        self.publisher.nudge.notify_all();
    }
}

impl Journal {
    /// Opens the log in `options.dir`, or begins one. `clock` gives microseconds since the epoch.
    ///
    /// # Errors
    /// [`OpenError`] when another process has it open, a file cannot be used, or the log is damaged; the error names file and
    /// record, and [`inspect`](crate::inspect) still reads what is there.
    pub fn open(
        options: Options,
        clock: impl Fn() -> u64 + Send + 'static,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_on(Arc::new(LocalDisk), options, clock)
    }

    /// [`Journal::open`] on another disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        clock: impl Fn() -> u64 + Send + 'static,
    ) -> Result<(Self, Opened), OpenError> {
        let publish_every = options.publish_every;
        let (committer, publisher, opened) = recover::open(disk, options, Box::new(clock))?;
        let shared = Arc::clone(&committer.shared);
        let keeper = Keeper { shared: Arc::clone(&shared), retry: publish_every };
        let dir = shared.dir.clone();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let commits = thread("journal-commit").spawn(|| committer.run()).map_err(OpenError::io(&dir))?;
        let publishes = thread("journal-publish").spawn(|| publisher.run()).map_err(OpenError::io(&dir))?;
        let keeps = thread("journal-keep").spawn(|| keeper.run()).map_err(OpenError::io(&dir))?;
        Ok((Self { shared, threads: Arc::new(Mutex::new(vec![commits, publishes, keeps])) }, opened))
    }

    /// Takes a record. Never waits for the disk: the record has its index now, and is durable when [`Pending`] says so.
    ///
    /// # Errors
    /// [`AppendError`] when the record is refused; nothing of it is in the log then.
    #[expect(clippy::needless_pass_by_value, reason = "a record goes into the log once")]
    pub fn append(&self, lane: Lane, entry: Entry) -> Result<Pending, AppendError> {
        self.append_all(lane, std::slice::from_ref(&entry))
    }

    /// Takes records that belong together: they go to disk in one batch, so that a crash leaves all of them or none. The
    /// [`Pending`] is that of the last.
    ///
    /// # Errors
    /// [`AppendError`] when they are refused; nothing of them is in the log then.
    pub fn append_all(&self, lane: Lane, entries: &[Entry]) -> Result<Pending, AppendError> {
        let index = self.shared.queue.push(lane, entries)?;
        Ok(Pending { wait: Wait { shared: Arc::clone(&self.shared), index, registered: None } })
    }

    /// What is durable under a signed head now: one atomic load.
    #[must_use]
    pub fn covered(&self) -> Covered {
        self.shared.covered.load()
    }

    /// Registers `waker` for record `index`: it is woken when the record is covered, and when the log is closed. `true` says
    /// that it is already, and nothing is registered. A waker is woken once per batch at most.
    #[must_use]
    pub fn wake_when_covered(&self, index: u64, waker: &Waker) -> bool {
        self.shared.waiting.register(index, waker, || self.shared.covered.load().size())
    }

    /// Waits until record `index` is durable under a signed head.
    ///
    /// # Errors
    /// [`Closed`] when the log is closed and the record is not in it.
    pub fn until_covered(
        &self,
        index: u64,
    ) -> impl Future<Output = Result<Receipt, Closed>> + Send + 'static {
        Wait { shared: Arc::clone(&self.shared), index, registered: None }
    }

    /// Reads up to `max` durable records from index `from` on. There may be fewer; there are none only at the end.
    ///
    /// # Errors
    /// When a file cannot be read or is not what was written.
    pub fn read(&self, from: u64, max: usize) -> io::Result<Vec<Stored>> {
        read::read(&self.shared, self.covered().size(), from, max)
    }

    /// Whether the log is closed: what is not covered by now never will be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Number of records appended, durable or not.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.queue.next()
    }

    /// The newest durable tree head.
    #[must_use]
    pub fn head(&self) -> SignedHead {
        self.shared.head()
    }

    /// The published checkpoint: every file it stands for is in the log directory. It follows [`Journal::head`] within
    /// `publish_every`; [`Journal::publish`] brings it up to date.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        self.shared.published().checkpoint.clone()
    }

    /// Publishes now and waits until the checkpoint covers record `index`; returns the checkpoint.
    ///
    /// # Errors
    /// [`Closed`] when the log is closed before that.
    pub async fn publish(&self, index: u64) -> Result<Vec<u8>, Closed> {
        self.until_covered(index).await?;
        self.shared.nudge_publisher();
        std::future::poll_fn(|context| {
            let shared = &self.shared;
            let ready = shared.publisher.waiting.register(index, context.waker(), || shared.published().size);
            let published = shared.published();
            if ready || index < published.size {
                return Poll::Ready(Ok(published.checkpoint.clone()));
            }
            if published.ended { Poll::Ready(Err(Closed)) } else { Poll::Pending }
        })
        .await
    }

    /// Work done since the log was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Counters { syncs, batches, records, bytes } = &self.shared.counters;
        Stats {
            syncs: syncs.load(Ordering::Relaxed),
            batches: batches.load(Ordering::Relaxed),
            records: records.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
        }
    }

    /// Preallocated bytes that are left.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.queue.space()
    }

    /// Takes no more records, makes those taken durable, publishes, and returns when all is on disk. Blocks.
    pub fn close(self) {
        self.shared.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log ended early");
            }
        }
        // Handles that are left only read: another process may open the log now.
        if let Err(error) = self.shared.lock.unlock() {
            tracing::warn!(error = %error, "the lock of the log was not released");
        }
    }
}

/// Closes the queue with the last handle: the threads finish what was taken.
impl Drop for Journal {
    fn drop(&mut self) {
        if Arc::strong_count(&self.threads) == 1 {
            self.shared.queue.close();
        }
    }
}

/// A record that was taken. Resolves when it is durable under a signed head.
#[derive(Debug)]
#[must_use = "a record is durable only when this resolves"]
pub struct Pending {
    wait: Wait,
}

impl Pending {
    /// Index of the record.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.wait.index
    }
}

impl Future for Pending {
    type Output = Result<Receipt, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.wait).poll(context)
    }
}

#[derive(Debug)]
struct Wait {
    shared: Arc<Shared>,
    index: u64,
    registered: Option<Waker>,
}

impl Future for Wait {
    type Output = Result<Receipt, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let receipt = |shared: &Shared, index| shared.covered.load().receipt(index);
        if let Some(receipt) = receipt(&self.shared, self.index) {
            return Poll::Ready(Ok(receipt));
        }
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            let size = || self.shared.covered.load().size();
            if !self.shared.waiting.register(self.index, context.waker(), size) {
                self.registered = Some(context.waker().clone());
            }
        }
        // The last batch may have come, or the end, between the first look and the registration.
        let ended = self.shared.ended.load(Ordering::SeqCst);
        match receipt(&self.shared, self.index) {
            Some(receipt) => Poll::Ready(Ok(receipt)),
            None if ended => Poll::Ready(Err(Closed)),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

//! The segment files: which hold records, where each batch lies, which are ready to be used next.
//!
//! A segment is made with zeros, synced, and used only under its header: [`Segments::activate`] makes the header durable before
//! the file gets its name. So a file called `<record>.seg` always has a good header, and a bad one is damage.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use daypass_ledger::tree::Tree;

use crate::disk::Disk;
use crate::format::{SECTOR, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId};

/// Where a batch lies in its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchAt {
    /// First record.
    pub(crate) first: u64,
    pub(crate) offset: u64,
    /// Length, zeros at the end included.
    pub(crate) len: usize,
}

/// A segment that holds records.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    pub(crate) batches: Vec<BatchAt>,
}

/// A segment that is ready to be used.
#[derive(Debug)]
pub(crate) struct Spare {
    path: PathBuf,
    file: File,
}

/// Segments that are ready, and whether more are wanted.
#[derive(Debug, Default)]
struct Ready {
    spares: Vec<Spare>,
    closed: bool,
}

/// All segments of a log.
#[derive(Debug)]
pub(crate) struct Segments {
    wal: PathBuf,
    disk: Arc<dyn Disk>,
    segment_len: u64,
    used: RwLock<VecDeque<Segment>>,
    ready: Mutex<Ready>,
    /// A spare came, was taken, or none are wanted any more.
    changed: Condvar,
}

impl Segments {
    pub(crate) fn new(wal: PathBuf, disk: Arc<dyn Disk>, segment_len: u64) -> Self {
        Self {
            wal,
            disk,
            segment_len,
            used: RwLock::default(),
            ready: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, VecDeque<Segment>> {
        self.used.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, VecDeque<Segment>> {
        self.used.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, segment: Segment) {
        self.write().push_back(segment);
    }

    /// Notes a durable batch of the newest segment.
    pub(crate) fn push_batch(&self, batch: BatchAt) {
        if let Some(newest) = self.write().back_mut() {
            newest.batches.push(batch);
        }
    }

    /// Finds the batch that holds record `index`.
    pub(crate) fn find(&self, index: u64) -> Option<(Arc<File>, SegmentId, BatchAt)> {
        let used = self.read();
        let segment = used.get(used.partition_point(|segment| segment.first <= index).checked_sub(1)?)?;
        let batches = &segment.batches;
        let batch = batches.get(batches.partition_point(|batch| batch.first <= index).checked_sub(1)?)?;
        Some((Arc::clone(&segment.file), segment.id, *batch))
    }

    /// Takes out the oldest segment if all its records are below `size` and newer ones follow it.
    pub(crate) fn retire(&self, size: u64) -> Option<Segment> {
        let mut used = self.write();
        let next = used.get(1)?.first;
        if next <= size { used.pop_front() } else { None }
    }

    /// True when [`Segments::retire`] has something to take.
    pub(crate) fn has_retired(&self, size: u64) -> bool {
        self.read().get(1).is_some_and(|next| next.first <= size)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Segments that are ready.
    pub(crate) fn spares(&self) -> usize {
        self.ready().spares.len()
    }

    /// Hands the number of segments that are ready to `tell`; it does not change meanwhile.
    pub(crate) fn count_spares(&self, tell: impl FnOnce(usize)) {
        let ready = self.ready();
        tell(ready.spares.len());
    }

    /// Takes a segment that is ready; waits for one. Records were admitted only because there is one.
    pub(crate) fn take_spare(&self) -> Spare {
        let mut ready = self.ready();
        loop {
            match ready.spares.pop() {
                Some(spare) => {
                    self.changed.notify_all();
                    return spare;
                }
                None => ready = self.changed.wait(ready).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits until fewer than `wanted` segments are ready; `false` when none are wanted any more.
    pub(crate) fn wait_for_need(&self, wanted: usize) -> bool {
        let waits = |ready: &mut Ready| !ready.closed && ready.spares.len() >= wanted;
        let ready = self.changed.wait_while(self.ready(), waits);
        !ready.unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Lets `pause` pass, unless none are wanted any more.
    pub(crate) fn pause(&self, pause: Duration) {
        let waited = self.changed.wait_timeout_while(self.ready(), pause, |ready| !ready.closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// States that no more segments will be wanted.
    pub(crate) fn close(&self) {
        self.ready().closed = true;
        self.changed.notify_all();
    }

    fn add_spare(&self, spare: Spare) {
        self.ready().spares.push(spare);
        self.changed.notify_all();
    }

    /// Takes over what an earlier process had made ready; removes what it had not finished.
    pub(crate) fn adopt_spares(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.wal)? {
            let path = entry?.path();
            if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("spare-"))
            {
                continue;
            }
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            if file.metadata()?.len() == self.segment_len {
                file.sync_all()?;
                self.add_spare(Spare { path, file });
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Makes a new segment ready: zeros on disk.
    pub(crate) fn make_spare(&self) -> io::Result<()> {
        let path = self.spare_path();
        let file = self.disk.make(&path, self.segment_len)?;
        self.add_spare(Spare { path, file });
        Ok(())
    }

    /// Makes a retired segment ready again, unless it was made with another length. Its name is gone from disk before its
    /// bytes change.
    pub(crate) fn recycle(&self, segment: Segment) -> io::Result<()> {
        if segment.file.metadata()?.len() != self.segment_len {
            return fs::remove_file(&segment.path);
        }
        let path = self.spare_path();
        fs::rename(&segment.path, &path)?;
        self.sync_names()?;
        drop(segment.file);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        self.add_spare(Spare { path, file });
        Ok(())
    }

    fn spare_path(&self) -> PathBuf {
        self.wal.join(format!("spare-{:016x}", rand::random::<u64>()))
    }

    /// Gives a spare its header and its name, both durable.
    pub(crate) fn activate(&self, spare: Spare, tree: &Tree) -> io::Result<Segment> {
        let header = SegmentHeader { id: rand::random(), segment_len: self.segment_len, tree: tree.clone() };
        let mut bytes = header.encode();
        bytes.resize(SEGMENT_HEADER_LEN + SECTOR, 0);
        spare.file.write_all_at(&bytes, 0)?;
        spare.file.sync_all()?;
        let path = self.wal.join(segment_name(tree.size()));
        fs::rename(&spare.path, &path)?;
        self.sync_names()?;
        Ok(Segment {
            first: tree.size(),
            id: header.id,
            path,
            file: Arc::new(spare.file),
            batches: Vec::new(),
        })
    }

    pub(crate) fn sync_names(&self) -> io::Result<()> {
        File::open(&self.wal)?.sync_all()
    }
}

/// Name of the segment whose first record is `first`.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// Segment files of a log, by first record; anything else in the folder is left out.
pub(crate) fn list(wal: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(wal)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name
            .strip_suffix(".seg")
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

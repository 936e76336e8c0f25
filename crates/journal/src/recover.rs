//! Opens a log: reads what is there, cuts off an interrupted write, refuses what is damaged, and makes everything ready.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daypass_ledger::checkpoint::Checkpoint;
use daypass_ledger::note::{Signer, VerifierKey};
use daypass_ledger::tree::{Hash, Tree};

use crate::commit::{Active, Committer, end_mark};
use crate::disk::Disk;
use crate::error::{Fault, OpenError, Wrong};
use crate::format::{BatchHeader, SECTOR, SEGMENT_HEADER_LEN};
use crate::journal::{Opened, Options, Shared, TornTail};
use crate::publish::{Publisher, replace_synced};
use crate::segments::{Segment, Segments, list, segment_name};
use crate::tiles::Tiles;
use crate::walk::{Found, Signatures, Walk};

/// Opens the log and returns its two threads' states.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    clock: Box<dyn Fn() -> u64 + Send>,
) -> Result<(Committer, Publisher, Opened), OpenError> {
    let limits = options.limits()?;
    let Options { dir, signer, publish_every, .. } = options;
    let wal = dir.join("wal");
    fs::create_dir_all(&wal).map_err(OpenError::io(&wal))?;
    let lock = lock(&wal.join("lock"))?;

    let published = read_checkpoint(&dir, &signer.verifier_key())?;
    let log = read_log(&dir, &signer, published.as_ref())?;
    let segments = Segments::new(wal.clone(), Arc::clone(&disk), limits.segment_len);
    segments.adopt_spares().map_err(OpenError::io(&wal))?;
    let (first, tree) = (log.first, log.tree);
    let mut ready = log.segments;
    if ready.is_empty() {
        let begun = begin(&segments, &tree);
        ready.push((begun.map_err(OpenError::io(&wal))?, None));
    }
    let head = signer.sign_head(tree.size(), tree.root());
    let (active, recovered) =
        settle(&*disk, &dir, &ready, &tree, &signer, limits.segment_len).map_err(OpenError::io(&wal))?;
    for (segment, _) in ready {
        segments.push(segment);
    }
    let path = dir.join("checkpoint");
    if published.is_none() {
        replace_synced(&dir, "checkpoint", &signer.checkpoint(&head)).map_err(OpenError::io(&path))?;
    }
    let checkpoint = fs::read(&path).map_err(OpenError::io(&path))?;
    let published_size = published.map_or(0, |checkpoint| checkpoint.size);

    let tiles = Tiles::load(&dir, &first, published_size)?;
    let shared = Arc::new(Shared::new(dir, limits, head, segments, lock));
    shared.queue.set_active_free(active.room());
    shared.set_published(published_size, checkpoint);
    let signer = Arc::new(signer);
    let mut publisher = Publisher {
        shared: Arc::clone(&shared),
        signer: Arc::clone(&signer),
        every: publish_every,
        tiles,
        failing: false,
    };
    // A full disk must not keep the log from opening: what is preallocated is still there.
    let repaired = match publisher.round() {
        Ok(()) => publisher.tiles.caught_up(),
        Err(error) if is_full(&error) => Vec::new(),
        Err(error) => return Err(OpenError::io(&shared.dir)(error)),
    };
    if shared.segments.spares() == 0 && shared.queue.space().is_low() {
        match shared.segments.make_spare() {
            Err(error) if !is_full(&error) => return Err(OpenError::io(&wal)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    shared.count_spares();
    let opened = Opened { size: tree.size(), recovered, repaired };
    Ok((Committer { shared, disk, signer, clock, tree, active }, publisher, opened))
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Holds the lock for as long as the file is open.
fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::create(path).map_err(OpenError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { file: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { file: path.to_owned(), source }),
    }
}

/// Reads the published checkpoint; `None` if there is none.
pub(crate) fn read_checkpoint(dir: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, OpenError> {
    let path = dir.join("checkpoint");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(path)(error)),
    };
    let fault = Fault { file: "checkpoint".into(), record: 0, what: Wrong::Checkpoint };
    Checkpoint::open(&bytes, key).map(|(checkpoint, _)| Some(checkpoint)).map_err(|_| fault.into())
}

/// What the segments hold.
struct Log {
    segments: Vec<(Segment, Option<Found>)>,
    /// The tree before the first segment.
    first: Tree,
    /// The tree of all records.
    tree: Tree,
}

fn read_log(dir: &Path, signer: &Signer, published: Option<&Checkpoint>) -> Result<Log, OpenError> {
    let is_signed =
        |header: &BatchHeader, size| signer.sign_head(size, header.root).signature() == &header.signature;
    let mut walk = Walk::new(&is_signed, Signatures::Last);
    let mut segments = Vec::new();
    let mut first = None;
    let mut agreement = Agreement::new(published);
    for (number, path) in list(&dir.join("wal")).map_err(OpenError::io(dir))? {
        let name = relative(dir, &path);
        walk.expect(number)?;
        let bytes = fs::read(&path).map_err(OpenError::io(&path))?;
        let mut found = walk.segment(name, number, &bytes, &mut |_, tree| agreement.see(tree))?;
        let header = found.before.clone();
        agreement.see(&header)?;
        first.get_or_insert(header);
        let file = File::options().read(true).write(true).open(&path).map_err(OpenError::io(&path))?;
        let batches = std::mem::take(&mut found.batches);
        segments.push((
            Segment { first: number, id: found.id, path, file: Arc::new(file), batches },
            Some(found),
        ));
    }
    let tree = walk.finish()?;
    agreement.finish(tree.as_ref())?;
    let first = first.unwrap_or_default();
    Ok(Log { segments, first, tree: tree.unwrap_or_default() })
}

/// Compares the log with its published checkpoint.
pub(crate) struct Agreement<'a> {
    published: Option<&'a Checkpoint>,
    agreed: bool,
}

impl<'a> Agreement<'a> {
    pub(crate) fn new(published: Option<&'a Checkpoint>) -> Self {
        Self { published, agreed: false }
    }

    /// Looks at the log at one of its sizes.
    pub(crate) fn see(&mut self, tree: &Tree) -> Result<(), Fault> {
        let root_at = |size, root: Hash| (tree.size() == size).then(|| tree.root() == root);
        match self.published.and_then(|checkpoint| root_at(checkpoint.size, checkpoint.root)) {
            Some(true) => self.agreed = true,
            Some(false) => return Err(fault(tree.size(), Wrong::Fork)),
            None => {}
        }
        Ok(())
    }

    /// Looks at the end of the log; `None` when there are no segments.
    pub(crate) fn finish(self, tree: Option<&Tree>) -> Result<(), Fault> {
        match (self.published, tree) {
            (None, Some(tree)) if tree.size() > 0 => Err(fault(0, Wrong::Missing)),
            (None, _) => Ok(()),
            (Some(_), None) => {
                Err(Fault { file: Path::new("wal").join(segment_name(0)), record: 0, what: Wrong::Missing })
            }
            (Some(checkpoint), Some(tree)) if checkpoint.size > tree.size() => {
                Err(fault(tree.size(), Wrong::Behind))
            }
            (Some(checkpoint), Some(_)) if !self.agreed => Err(fault(checkpoint.size, Wrong::Fork)),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

fn fault(record: u64, what: Wrong) -> Fault {
    Fault { file: "checkpoint".into(), record, what }
}

/// The first segment of a log.
fn begin(segments: &Segments, tree: &Tree) -> io::Result<Segment> {
    if segments.spares() == 0 {
        segments.make_spare()?;
    }
    segments.activate(segments.take_spare(), tree)
}

/// Makes the end of the log durable and clean: what was read may be only in the page cache.
fn settle(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[(Segment, Option<Found>)],
    tree: &Tree,
    signer: &Signer,
    segment_len: u64,
) -> io::Result<(Active, Option<TornTail>)> {
    let zeros = [0; SECTOR];
    if let [.., (before, Some(found)), (_, Some(next))] = segments
        && !found.ended
    {
        // The process ended after it had begun the next segment and before it marked the end of this one.
        let mut mark = end_mark(before.id, &signer.sign_head(next.before.size(), next.before.root()));
        mark.resize(2 * SECTOR, 0);
        disk.write_at(&before.file, &mark, found.end)?;
        disk.sync(&before.file)?;
    }
    let (segment, found) = segments.last().ok_or(io::ErrorKind::NotFound)?;
    let active = match found {
        Some(found) => Active::new(segment, found.end, found.segment_len),
        None => Active::new(segment, SEGMENT_HEADER_LEN as u64, segment_len),
    };
    let mut recovered = None;
    if let Some(found) = found {
        if let Some(len) = found.torn {
            disk.write_at(&segment.file, &zeros, found.end)?;
            let file = relative(dir, &segment.path);
            recovered = Some(TornTail { file, offset: found.end, record: tree.size(), len });
        }
        disk.sync(&segment.file)?;
    }
    Ok((active, recovered))
}

/// A path as errors show it: without the log directory.
pub(crate) fn relative(dir: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(dir).unwrap_or(path).to_owned()
}

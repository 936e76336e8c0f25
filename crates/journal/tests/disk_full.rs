//! A full disk: intents are refused first, outcomes use the reserve, break-glass records the rest; nothing acknowledged is lost,
//! and when there is space again everything goes on.
//!
//! Run on a real file system that is full (a tmpfs, in a mount namespace of the test's own) where this process may mount one,
//! and on a disk that refuses to make files everywhere.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daypass_journal::{AppendError, Disk, Entry, Journal, Lane, LocalDisk, Options, inspect};
use daypass_ledger::note::Signer;

const TMPFS: &str = "JOURNAL_TEST_TMPFS";

fn signer() -> Signer {
    Signer::new("test.example/log", &[7; 32]).unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        segment_len: 64 << 10,
        reserve_len: 16 << 10,
        break_glass_len: 8 << 10,
        publish_every: Duration::from_millis(5),
        linger: Duration::from_millis(1),
        ..Options::new(dir, signer())
    }
}

fn entry(index: u64) -> Entry {
    let leaf = format!("record {index} {}", "x".repeat(300)).into_bytes();
    Entry { leaf, sidecar: Some(vec![1; 100]) }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends in a lane, each record acknowledged, until the log says that there is no space. While `patience` says so, it is
/// asked again: segments may still be on their way.
fn fill(journal: &Journal, lane: Lane, mut patience: impl FnMut() -> bool) -> u64 {
    let mut taken = 0;
    loop {
        match journal.append(lane, entry(journal.size())) {
            Ok(pending) => {
                block_on(pending).unwrap();
                taken += 1;
            }
            Err(AppendError::NoSpace) if patience() => std::thread::yield_now(),
            Err(AppendError::NoSpace) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

fn check(journal: &Journal, size: u64) {
    let mut index = 0;
    while index < size {
        for stored in journal.read(index, 1000).unwrap() {
            let expected = entry(index);
            assert_eq!((stored.index, stored.leaf, stored.sidecar), (index, expected.leaf, expected.sidecar));
            index += 1;
        }
    }
}

/// Plays the story; `is_full` says that the disk will take no more, `make_space` that it does again.
fn story(dir: &Path, disk: &Arc<dyn Disk>, is_full: impl Fn() -> bool, make_space: impl FnOnce()) {
    let open = || Journal::open_on(Arc::clone(disk), options(dir), || 5).unwrap();
    let (journal, _) = open();
    // The disk is full and has been for 100 rounds of trying, during which no segment became ready.
    let mut refused = 0;
    let intents = fill(&journal, Lane::Intent, || {
        refused += 1;
        std::thread::yield_now();
        !is_full() || refused < 20_000
    });
    assert!(intents > 0);
    assert!(journal.space().is_low());
    let outcomes = fill(&journal, Lane::Outcome, || false);
    assert!(outcomes > 4, "the reserve took {outcomes} outcomes");
    assert_eq!(journal.append(Lane::Intent, entry(0)).unwrap_err(), AppendError::NoSpace);
    let break_glass = fill(&journal, Lane::BreakGlass, || false);
    assert!(break_glass > 2, "the last reserve took {break_glass} records");
    assert_eq!(journal.append(Lane::Outcome, entry(0)).unwrap_err(), AppendError::NoSpace);
    let size = intents + outcomes + break_glass;
    assert_eq!(journal.covered().size(), size);
    check(&journal, size);
    journal.close();

    let (journal, opened) = open();
    assert_eq!(
        (opened.size, opened.recovered),
        (size, None),
        "a full disk does not keep the log from opening"
    );
    assert_eq!(journal.append(Lane::Intent, entry(0)).unwrap_err(), AppendError::NoSpace);
    check(&journal, size);

    make_space();
    block_on(journal.publish(size - 1)).unwrap();
    let more = loop {
        match journal.append(Lane::Intent, entry(size)) {
            Ok(pending) => break block_on(pending).unwrap().index(),
            Err(AppendError::NoSpace) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(more, size);
    check(&journal, size + 1);
    journal.close();
    let inspected = inspect(dir, &signer().verifier_key()).unwrap();
    assert_eq!((inspected.size, inspected.published), (size + 1, Some(size + 1)));
}

/// A disk that makes no file while it is full.
#[derive(Debug, Default)]
struct Full(AtomicBool);

impl Disk for Full {
    fn make(&self, path: &Path, len: u64) -> io::Result<File> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        LocalDisk.make(path, len)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        LocalDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        LocalDisk.sync(file)
    }
}

#[test]
fn a_disk_that_makes_no_segments_refuses_intents_first() {
    let dir = tempfile::tempdir().unwrap();
    // Something in the way of the tiles: no segment is ever used again.
    let tiles = dir.path().join("tile");
    fs::write(&tiles, b"in the way").unwrap();
    let full = Arc::new(Full::default());
    let disk: Arc<dyn Disk> = full.clone();
    let (journal, _) = Journal::open_on(disk, options(dir.path()), || 5).unwrap();
    // Until the segments that are kept ready are.
    while journal.space().free < 150_000 {
        std::thread::yield_now();
    }
    full.0.store(true, Ordering::Relaxed);
    let intents = fill(&journal, Lane::Intent, || false);
    let outcomes = fill(&journal, Lane::Outcome, || false);
    let break_glass = fill(&journal, Lane::BreakGlass, || false);
    assert!(intents > 100 && outcomes > 4 && break_glass > 2, "{intents} {outcomes} {break_glass}");
    let size = intents + outcomes + break_glass;
    check(&journal, size);
    full.0.store(false, Ordering::Relaxed);
    fs::remove_file(&tiles).unwrap();
    block_on(journal.publish(size - 1)).unwrap();
    while journal.space().is_low() {
        std::thread::yield_now();
    }
    block_on(journal.append(Lane::Intent, entry(size)).unwrap()).unwrap();
    check(&journal, size + 1);
    journal.close();
}

#[test]
#[ignore = "the part of the next test that runs where the small file system is mounted"]
fn on_the_small_file_system() {
    let dir = PathBuf::from(std::env::var(TMPFS).unwrap());
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 400 << 10]).unwrap();
    let probe = dir.join("probe");
    let is_full = || {
        let taken = fs::write(&probe, vec![0; 60 << 10]);
        fs::remove_file(&probe).unwrap();
        taken.is_err()
    };
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    story(&dir.join("log"), &disk, is_full, || fs::remove_file(&ballast).unwrap());
}

#[test]
fn a_full_file_system_fails_closed_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" || exit 77
        shift; exec \"$@\"";
    let run = |unshare: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["--mount", "sh", "-c", script, "sh"]).arg(dir.path());
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "on_the_small_file_system", "--ignored", "--nocapture"]);
        command.env(TMPFS, dir.path()).output()
    };
    for unshare in [&[][..], &["--user", "--map-root-user"][..]] {
        let Ok(output) = run(unshare) else { continue };
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if said.contains("running 1 test") {
            assert!(output.status.success(), "{said}");
            return;
        }
        println!("unshare {unshare:?}: {said}");
    }
    println!("this process may not mount a file system: trying a disk that refuses instead");
    a_disk_that_makes_no_segments_refuses_intents_first();
}

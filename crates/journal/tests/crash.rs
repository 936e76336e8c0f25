//! A process that dies under load: by kill -9 at any moment, by a write that reaches the disk only in part, by a sync that fails.
//!
//! The child is this test binary, started again. It tells over a pipe which records were acknowledged, with their hash, as
//! it learns of them. Whatever happened, no acknowledged record may be missing or different. A seed reproduces what the child
//! appends and how long it lives; it is printed with every failure.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daypass_journal::{AppendError, Disk, Entry, Journal, Lane, LocalDisk, Options, inspect};
use daypass_ledger::note::Signer;
use daypass_ledger::tree::{Tree, leaf_hash};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const KILLS: u64 = 60;
const APPENDERS: u64 = 16;
const DIR: &str = "JOURNAL_TEST_DIR";
const SEED: &str = "JOURNAL_TEST_SEED";
const FATE: &str = "JOURNAL_TEST_FATE";

fn signer() -> Signer {
    Signer::new("test.example/log", &[7; 32]).unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        segment_len: 64 << 10,
        reserve_len: 4 << 10,
        break_glass_len: 4 << 10,
        publish_every: Duration::from_millis(3),
        linger: Duration::from_millis(2),
        ..Options::new(dir, signer())
    }
}

/// A disk that stops working at its n-th sync, or writes only a part of its n-th write (the beginning of a sector, or some of
/// the sectors) and ends the process.
#[derive(Debug)]
struct FailingDisk {
    fate: String,
    left: AtomicU64,
    seed: u64,
}

impl FailingDisk {
    fn is_due(&self, fate: &str) -> bool {
        self.fate == fate && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

impl Disk for FailingDisk {
    fn make(&self, path: &Path, len: u64) -> io::Result<File> {
        LocalDisk.make(path, len)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if !self.is_due("tear") {
            return LocalDisk.write_at(file, bytes, offset);
        }
        if self.seed.is_multiple_of(2) {
            file.write_all_at(bytes.get(..150).unwrap(), offset)?;
            std::process::abort();
        }
        let mut rng = StdRng::seed_from_u64(self.seed);
        for (sector, at) in bytes.chunks(512).zip((offset..).step_by(512)) {
            if rng.random_bool(0.5) {
                file.write_all_at(sector, at)?;
            }
        }
        std::process::abort()
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.is_due("fail-sync") { Err(io::Error::from_raw_os_error(5)) } else { LocalDisk.sync(file) }
    }
}

/// What the child runs: appends until it dies.
#[test]
#[ignore = "the child of the other tests here"]
fn child() {
    let dir = std::env::var(DIR).expect("started by a test of this file");
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let left = StdRng::seed_from_u64(seed ^ 1).random_range(1..60);
    let disk = FailingDisk { fate: std::env::var(FATE).unwrap(), left: AtomicU64::new(left), seed };
    let (journal, _) = Journal::open_on(Arc::new(disk), options(Path::new(&dir)), || 7).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> =
            (0..APPENDERS).map(|number| tokio::spawn(appender(journal.clone(), seed + number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn appender(journal: Journal, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let leaf: Vec<u8> = (0..rng.random_range(0..900)).map(|_| rng.random()).collect();
        let sidecar = rng.random_bool(0.5).then(|| vec![rng.random(); rng.random_range(1..400)]);
        let hash = fingerprint(&leaf, sidecar.as_deref());
        let lane = if rng.random_bool(0.3) { Lane::Outcome } else { Lane::Intent };
        match journal.append(lane, Entry { leaf, sidecar }) {
            Ok(pending) => {
                let index = pending.await.unwrap().index();
                // One write, shorter than a pipe's atomic limit.
                io::stderr().write_all(format!("ack {index} {hash}\n").as_bytes()).unwrap();
            }
            Err(AppendError::NoSpace | AppendError::Busy) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn fingerprint(leaf: &[u8], sidecar: Option<&[u8]>) -> String {
    format!("{}-{}", leaf_hash(leaf), leaf_hash(sidecar.unwrap_or_default()))
}

fn spawn(dir: &Path, seed: u64, fate: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .env(FATE, fate)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what the child says until it is dead; kills it after `kill_after` acknowledgements.
fn listen(child: &mut Child, kill_after: Option<u64>, acked: &mut BTreeMap<u64, String>) -> Vec<String> {
    let mut others = Vec::new();
    let mut count = 0;
    if kill_after == Some(0) {
        child.kill().unwrap();
    }
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("ack"), Some(index), Some(hash)) if hash.len() == 129 => {
                acked.insert(index.parse().unwrap(), hash.to_owned());
                count += 1;
                if kill_after == Some(count) {
                    child.kill().unwrap();
                }
            }
            _ => others.push(line),
        }
    }
    others
}

/// Reads the whole log; checks it against what was acknowledged and what was there before.
fn check(journal: &Journal, acked: &BTreeMap<u64, String>, before: &mut Vec<String>, context: &str) {
    let size = journal.covered().size();
    let (mut now, mut tree) = (Vec::new(), Tree::new());
    while (now.len() as u64) < size {
        for stored in journal.read(now.len() as u64, 500).unwrap() {
            assert_eq!(stored.index, now.len() as u64, "{context}");
            tree.push(leaf_hash(&stored.leaf));
            now.push(fingerprint(&stored.leaf, stored.sidecar.as_deref()));
        }
    }
    assert_eq!(tree.root(), journal.head().root(), "{context}");
    assert!(now.starts_with(before), "{context}: a record changed");
    for (index, hash) in acked {
        let found = usize::try_from(*index).ok().and_then(|index| now.get(index));
        assert_eq!(
            found,
            Some(hash),
            "{context}: acknowledged record {index} of {size} is missing or different"
        );
    }
    *before = now;
}

fn seeds() -> u64 {
    std::env::var(SEED).map_or_else(|_| rand::random::<u32>().into(), |seed| seed.parse().unwrap())
}

#[test]
fn no_acknowledged_record_is_lost_however_often_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let first = seeds();
    println!("seeds from {first}; `{SEED}={first}` starts there again");
    let (mut acked, mut before) = (BTreeMap::new(), Vec::new());
    let (mut torn, mut killed) = (0, 0);
    for seed in first..first + KILLS {
        let context = format!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed ^ 2);
        let tears = seed.is_multiple_of(3);
        let (fate, kill_after) =
            if tears { ("tear", None) } else { ("none", Some(rng.random_range(0..400))) };
        let mut child = spawn(dir.path(), seed, fate);
        let said = listen(&mut child, kill_after, &mut acked);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(if tears { 6 } else { 9 }), "{context}: {said:?}");
        killed += 1;
        // Some rounds leave the recovery to the next child, which may be killed while it is at it.
        if !tears && rng.random_bool(0.5) {
            continue;
        }
        if !before.is_empty() || !acked.is_empty() {
            let inspected = inspect(dir.path(), &signer().verifier_key());
            let inspected = inspected.unwrap_or_else(|error| panic!("{context}: {error}"));
            torn += u64::from(inspected.torn.is_some());
        }
        let (journal, opened) =
            Journal::open(options(dir.path()), || 8).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(opened.size, journal.covered().size());
        check(&journal, &acked, &mut before, &context);
        journal.close();
    }
    assert!(acked.len() > 1000, "only {} records were acknowledged in {killed} rounds", acked.len());
    assert!(torn > 0, "no write was torn in {killed} rounds");
    println!(
        "{killed} deaths, {torn} torn writes, {} acknowledged, {} in the log",
        acked.len(),
        before.len()
    );
}

#[test]
fn a_failed_sync_ends_the_process_and_acknowledges_nothing() {
    let first = seeds();
    for seed in first..first + 5 {
        let dir = tempfile::tempdir().unwrap();
        let mut acked = BTreeMap::new();
        let mut child = spawn(dir.path(), seed, "fail-sync");
        let said = listen(&mut child, None, &mut acked).join("\n");
        assert_eq!(child.wait().unwrap().signal(), Some(6), "seed {seed}: {said}");
        assert!(said.contains("cannot write the log"), "seed {seed}: {said}");
        let (journal, _) = Journal::open(options(dir.path()), || 8).unwrap();
        check(&journal, &acked, &mut Vec::new(), &format!("seed {seed}"));
        journal.close();
    }
}

#[test]
fn a_torn_write_is_cut_off_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut torn = 0;
    for seed in 0..12 {
        let log = dir.path().join(seed.to_string());
        let mut acked = BTreeMap::new();
        let mut child = spawn(&log, seed, "tear");
        listen(&mut child, None, &mut acked);
        assert_eq!(child.wait().unwrap().signal(), Some(6));
        let before = inspect(&log, &signer().verifier_key()).unwrap();
        let (journal, opened) = Journal::open(options(&log), || 8).unwrap();
        check(&journal, &acked, &mut Vec::new(), &format!("seed {seed}"));
        assert_eq!(before.torn, opened.recovered, "what is read before is what is cut off");
        if let Some(tail) = &opened.recovered {
            torn += 1;
            assert_eq!(tail.record, opened.size);
            let segment_len = std::fs::metadata(log.join(&tail.file)).unwrap().len();
            assert!(tail.len >= 512 && tail.len % 512 == 0, "{tail:?}");
            assert!(tail.offset + tail.len <= segment_len, "{tail:?}");
        }
        drop(journal);
        let again = inspect(&log, &signer().verifier_key()).unwrap();
        assert_eq!((again.torn, again.size), (None, opened.size), "the end is clean now");
    }
    assert!(torn > 3, "{torn} of 12 writes left something to cut off");
}

//! A log as its users see it: append, wait, read, close, open again.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use daypass_journal::{AppendError, Closed, Entry, Journal, Lane, Options};
use daypass_ledger::checkpoint::Checkpoint;
use daypass_ledger::note::Signer;
use daypass_ledger::source::Source;
use daypass_ledger::tree::{Tree, leaf_hash};
use daypass_ledger::verify;

fn signer() -> Signer {
    Signer::new("test.example/log", &[7; 32]).unwrap()
}

fn options(dir: &Path) -> Options {
    Options { publish_every: Duration::from_millis(5), ..Options::small(dir, signer()) }
}

fn open(dir: &Path) -> (Journal, u64) {
    let (journal, opened) = Journal::open(options(dir), || 1_700_000_000_000_000).unwrap();
    assert_eq!(opened.recovered, None);
    assert_eq!(opened.repaired, Vec::<std::path::PathBuf>::new());
    (journal, opened.size)
}

fn entry(index: u64) -> Entry {
    let leaf = format!("{{\"v\":1,\"record\":{index}}}").into_bytes();
    let sidecar = (!index.is_multiple_of(3)).then(|| vec![u8::try_from(index % 251).unwrap(); 40]);
    Entry { leaf, sidecar }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn append(journal: &Journal, count: u64) {
    let first = journal.size();
    let pending: Vec<_> =
        (first..first + count).map(|index| journal.append(Lane::Intent, entry(index)).unwrap()).collect();
    for (index, pending) in (first..).zip(pending) {
        assert_eq!(pending.index(), index);
        assert_eq!(block_on(pending).unwrap().index(), index);
    }
}

fn check(journal: &Journal, size: u64) {
    let mut read = Vec::new();
    while (read.len() as u64) < size {
        let more = journal.read(read.len() as u64, 1000).unwrap();
        assert!(!more.is_empty());
        read.extend(more);
    }
    let mut tree = Tree::new();
    for (index, stored) in (0..).zip(read) {
        let expected = entry(index);
        assert_eq!((stored.index, &stored.leaf, &stored.sidecar), (index, &expected.leaf, &expected.sidecar));
        tree.push(leaf_hash(&stored.leaf));
    }
    assert_eq!((journal.head().size(), journal.head().root()), (size, tree.root()));
}

#[test]
fn records_are_durable_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut size = 0;
    for count in [1, 254, 1, 1, 3000, 0, 70] {
        let (journal, found) = open(dir.path());
        assert_eq!(found, size);
        append(&journal, count);
        size += count;
        assert_eq!(journal.covered().size(), size);
        check(&journal, size);
        journal.close();
        let bytes = std::fs::read(dir.path().join("checkpoint")).unwrap();
        let (checkpoint, _) = Checkpoint::open(&bytes, &signer().verifier_key()).unwrap();
        assert_eq!(checkpoint.size, size);
    }
}

#[test]
fn segments_are_used_again_and_records_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let small =
        || Options { segment_len: 64 << 10, reserve_len: 4096, break_glass_len: 4096, ..options(dir.path()) };
    let mut size = 0;
    for _ in 0..3 {
        let (journal, opened) = Journal::open(small(), || 0).unwrap();
        assert_eq!((opened.size, opened.recovered), (size, None));
        while size < 20_000 {
            match journal.append(Lane::Intent, entry(size)) {
                Ok(_) => size += 1,
                // Faster than segments are made ready.
                Err(AppendError::NoSpace) => _ = block_on(journal.publish(size - 1)).unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        size = journal.size();
        block_on(journal.until_covered(size - 1)).unwrap();
        check(&journal, size);
        size += 1;
        append(&journal, 1);
        journal.close();
    }
    let segments = std::fs::read_dir(dir.path().join("wal")).unwrap().count();
    assert!(segments < 12, "{segments} files for what fits in three");
}

#[test]
fn the_length_of_segments_may_change_between_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut size = 0;
    for segment_len in [64 << 10, 256 << 10, 64 << 10, 128 << 10] {
        let options =
            Options { segment_len, reserve_len: 4096, break_glass_len: 4096, ..options(dir.path()) };
        let (journal, opened) = Journal::open(options, || 0).unwrap();
        assert_eq!((opened.size, opened.recovered), (size, None));
        for _ in 0..2000 {
            while journal.append(Lane::Intent, entry(size)).is_err() {
                std::thread::yield_now();
            }
            size += 1;
        }
        block_on(journal.publish(size - 1)).unwrap();
        check(&journal, size);
        journal.close();
    }
}

#[test]
fn what_is_appended_together_becomes_durable_together() {
    const GROUPS: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { segment_len: 64 << 10, reserve_len: 4096, break_glass_len: 4096, ..options(dir.path()) };
    let (journal, _) = Journal::open(options, || 0).unwrap();
    let appending = journal.clone();
    let appender = std::thread::spawn(move || {
        let mut size = 0;
        while size < 3 * GROUPS {
            let group = [entry(size), entry(size + 1), entry(size + 2)];
            match appending.append_all(Lane::Intent, &group) {
                Ok(pending) => {
                    assert_eq!(pending.index(), size + 2);
                    size += 3;
                }
                Err(AppendError::NoSpace) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    });
    while journal.covered().size() < 3 * GROUPS {
        assert_eq!(journal.covered().size() % 3, 0, "a group was cut, at the end of a batch or of a segment");
        std::thread::yield_now();
    }
    appender.join().unwrap();
    check(&journal, 3 * GROUPS);
    journal.close();
}

struct Folder<'a>(&'a Path);

impl Source for Folder<'_> {
    fn read(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(std::fs::read(self.0.join(path)).ok())
    }
}

/// 140,000 records: three tiles of level 1, so tiles of level 2 as well.
#[test]
fn what_is_published_passes_verification_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    for target in [65_000, 65_900, 140_000] {
        let (journal, opened) = Journal::open(
            Options { segment_len: 8 << 20, queue_len_max: 8 << 20, ..options(dir.path()) },
            || 0,
        )
        .unwrap();
        for index in opened.size..target {
            let entry = Entry { leaf: index.to_string().into_bytes(), sidecar: None };
            while journal.append(Lane::Intent, entry.clone()).is_err() {
                std::thread::yield_now();
            }
        }
        journal.close();
        let key = signer().verifier_key();
        let verified = verify::verify(&Folder(dir.path()), &key, &verify::Options::default(), &mut ());
        assert_eq!(verified.unwrap().checkpoint.size, target);
    }
    let (journal, size) = open(dir.path());
    assert_eq!(size, 140_000);
    journal.close();
}

#[test]
fn an_outcome_waits_for_company_and_an_intent_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let linger = Duration::from_secs(3600);
    let (journal, _) = Journal::open(Options { linger, ..options(dir.path()) }, || 0).unwrap();
    let outcome = journal.append(Lane::Outcome, entry(0)).unwrap();
    assert_eq!(journal.covered().size(), 0);
    let intent = journal.append(Lane::Intent, entry(1)).unwrap();
    assert_eq!(block_on(outcome).unwrap().size(), 2, "they went to disk together");
    assert_eq!(block_on(intent).unwrap().index(), 1);
    assert_eq!(journal.stats().batches, 1);
    let last = journal.append(Lane::Outcome, entry(2)).unwrap();
    journal.close();
    assert!(block_on(last).is_ok(), "closing does not wait for company");
}

#[test]
fn an_outcome_alone_goes_to_disk_after_it_lingered() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let outcome = journal.append(Lane::Outcome, entry(0)).unwrap();
    assert_eq!(block_on(outcome).unwrap().index(), 0);
}

#[test]
fn a_closed_log_takes_nothing_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let (other, never) = (journal.clone(), journal.until_covered(5));
    journal.close();
    assert_eq!(other.append(Lane::Intent, entry(0)).unwrap_err(), AppendError::Closed);
    assert_eq!(block_on(never), Err(Closed));
    assert_eq!(block_on(other.publish(9)), Err(Closed));
}

#[test]
fn limits_refuse_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(Options { queue_len_max: 4096, ..options(dir.path()) }, || 0).unwrap();
    let long = Entry { leaf: vec![0; 65_536], sidecar: None };
    assert_eq!(journal.append(Lane::Intent, long).unwrap_err(), AppendError::TooLong { len_max: 65_535 });
    let wide = Entry { leaf: Vec::new(), sidecar: Some(vec![0; 2 << 20]) };
    assert!(matches!(journal.append(Lane::Intent, wide).unwrap_err(), AppendError::TooLong { .. }));
    let busy = Entry { leaf: vec![0; 5000], sidecar: None };
    assert_eq!(journal.append(Lane::Intent, busy).unwrap_err(), AppendError::Busy);
    assert_eq!(journal.size(), 0);
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let error = Journal::open(options(dir.path()), || 0).unwrap_err();
    assert!(error.to_string().contains("open in another process"), "{error}");
    journal.close();
    open(dir.path()).0.close();
}

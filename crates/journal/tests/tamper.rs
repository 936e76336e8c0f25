//! A log directory that somebody changed, or that rotted: in every kind of file, every kind of change is named.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daypass_journal::{
    AppendError, Entry, Fault, Inspected, Journal, Lane, OpenError, Options, Wrong, inspect,
};
use daypass_ledger::note::Signer;

fn signer() -> Signer {
    Signer::new("test.example/log", &[7; 32]).unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        segment_len: 64 << 10,
        reserve_len: 4 << 10,
        break_glass_len: 4 << 10,
        publish_every: Duration::from_millis(5),
        ..Options::new(dir, signer())
    }
}

fn entry(index: u64) -> Entry {
    Entry { leaf: format!("record {index}").into_bytes(), sidecar: Some(vec![b's'; 700]) }
}

/// Appends `count` records, each in a batch of its own.
fn append(journal: &Journal, count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..count {
        let pending = loop {
            match journal.append(Lane::Intent, entry(journal.size())) {
                Ok(pending) => break pending,
                Err(AppendError::NoSpace) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        runtime.block_on(pending).unwrap();
    }
}

/// A log of 300 records in five segments, of which nothing could be published.
fn unpublished(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("tile"), b"in the way").unwrap();
    let (journal, _) = Journal::open(options(dir), || 9).unwrap();
    append(&journal, 300);
    journal.close();
    fs::remove_file(dir.join("tile")).unwrap();
    assert!(segments(dir).len() >= 5);
}

/// A log of 300 records, published.
fn published(dir: &Path) {
    let (journal, _) = Journal::open(options(dir), || 9).unwrap();
    append(&journal, 300);
    journal.close();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("wal")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

fn look(dir: &Path) -> Result<Inspected, Fault> {
    match inspect(dir, &signer().verifier_key()) {
        Ok(inspected) => Ok(inspected),
        Err(OpenError::Damaged(fault)) => Err(fault),
        Err(error) => panic!("{error}"),
    }
}

/// What opening says, on a copy.
fn open(dir: &Path) -> Result<u64, Fault> {
    let copied = tempfile::tempdir().unwrap();
    copy(dir, copied.path());
    match Journal::open(options(copied.path()), || 9) {
        Ok((journal, opened)) => {
            journal.close();
            Ok(opened.size)
        }
        Err(OpenError::Damaged(fault)) => Err(fault),
        Err(error) => panic!("{error}"),
    }
}

fn name(dir: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(dir).unwrap().to_owned()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where batches begin in a segment.
fn batches(bytes: &[u8]) -> Vec<usize> {
    (4096..bytes.len()).step_by(512).filter(|at| bytes[*at..].starts_with(b"dpb\x01")).collect()
}

/// The first record of the batch at `at`.
fn first_record(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at + 24..at + 32].try_into().unwrap())
}

/// Records that a changed byte at `at` may be blamed on: that of its batch, or the first of the segment for its header.
fn blamed(bytes: &[u8], first: u64, at: usize) -> u64 {
    batches(bytes).into_iter().rfind(|batch| *batch <= at).map_or(first, |batch| first_record(bytes, batch))
}

#[test]
fn every_flipped_byte_of_a_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    unpublished(dir.path());
    assert_eq!(look(dir.path()).unwrap().size, 300);
    let all = segments(dir.path());
    for (path, first) in all.iter().zip([0_u64]).chain([(&all[2], 0)]) {
        let bytes = fs::read(path).unwrap();
        let first = path.file_stem().unwrap().to_str().unwrap().parse().unwrap_or(first);
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let last_batch = *batches(&bytes).last().unwrap();
        // Every byte of one batch's header and of the end mark, and a sample of the others.
        let near = |at: &usize| first == 0 && ((4096..4300).contains(at) || *at >= last_batch || *at < 48);
        for at in (0..=end).filter(|at| near(at) || at.is_multiple_of(509)) {
            edit(path, |bytes| bytes[at] ^= 0x10);
            let fault = look(dir.path()).expect_err(&format!("byte {at} of {} was flipped", path.display()));
            let expected = if at < 4096 { first } else { blamed(&bytes, first, at) };
            assert_eq!(
                (&fault.file, fault.record),
                (&name(dir.path(), path), expected),
                "byte {at}: {fault}"
            );
            fs::write(path, &bytes).unwrap();
        }
    }
    assert_eq!(look(dir.path()).unwrap().size, 300);
}

#[test]
fn deleted_truncated_grown_renamed_segments_are_named() {
    let dir = tempfile::tempdir().unwrap();
    unpublished(dir.path());
    let all = segments(dir.path());
    let names: Vec<_> = all.iter().map(|path| name(dir.path(), path)).collect();
    let last = all.len() - 1;
    type Change<'a> = (&'a dyn Fn(&Path), usize, Wrong);
    let changes: [Change<'_>; 8] = [
        (&|dir| fs::remove_file(&segments(dir)[2]).unwrap(), 2, Wrong::Missing),
        (&|dir| fs::remove_file(&segments(dir)[last]).unwrap(), last, Wrong::Missing),
        (&|dir| edit(&segments(dir)[1], |bytes| bytes.truncate(40_000)), 1, Wrong::Length),
        (&|dir| edit(&segments(dir)[1], |bytes| bytes.truncate(100)), 1, Wrong::Length),
        (&|dir| edit(&segments(dir)[last], |bytes| bytes.truncate(60_000)), last, Wrong::Length),
        (&|dir| edit(&segments(dir)[3], |bytes| bytes.push(0)), 3, Wrong::Length),
        (&|dir| edit(&segments(dir)[3], |bytes| bytes.insert(9000, 0)), 3, Wrong::Length),
        (
            &|dir| {
                let all = segments(dir);
                fs::rename(&all[1], dir.join("aside")).unwrap();
                fs::rename(&all[2], &all[1]).unwrap();
                fs::rename(dir.join("aside"), &all[2]).unwrap();
            },
            1,
            Wrong::Header,
        ),
    ];
    for (number, (change, file, what)) in changes.into_iter().enumerate() {
        let changed = tempfile::tempdir().unwrap();
        copy(dir.path(), changed.path());
        change(changed.path());
        for fault in [look(changed.path()).unwrap_err(), open(changed.path()).unwrap_err()] {
            assert_eq!((&fault.file, fault.what), (&names[file], what), "change {number}: {fault}");
        }
    }
    for path in &all {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(look(dir.path()).unwrap_err().what, Wrong::Missing, "a log without segments is not a new log");
    assert_eq!(open(dir.path()).unwrap_err().what, Wrong::Missing);
}

#[test]
fn deleted_inserted_repeated_reordered_batches_are_named() {
    let dir = tempfile::tempdir().unwrap();
    unpublished(dir.path());
    let path = segments(dir.path()).remove(1);
    let good = fs::read(&path).unwrap();
    let at = batches(&good);
    let (a, b, c) = (at[3], at[4], at[5]);
    let record = |at| first_record(&good, at);
    let two = |first: &[u8], second: &[u8]| [&good[..a], first, second, &good[c..]].concat();
    let fill = |mut bytes: Vec<u8>| {
        bytes.resize(good.len(), 0);
        bytes
    };
    let changes = [
        (two(&good[b..c], &good[a..b]), record(a), "reordered"),
        (fill([&good[..a], &good[b..]].concat()), record(a), "deleted"),
        (fill([&good[..b], &good[a..b], &good[b..good.len() - (b - a)]].concat()), record(b), "repeated"),
        (fill([&good[..a], &[0], &good[a..good.len() - 1]].concat()), record(a), "a byte inserted"),
        (fill([&good[..a], &good[a + 1..]].concat()), record(a), "a byte deleted"),
        (fill([&good[..a], &vec![0; b - a], &good[b..]].concat()), record(a), "blanked"),
        (fill(good[..a].to_vec()), record(a), "cut off"),
    ];
    for (bytes, record, what) in changes {
        fs::write(&path, &bytes).unwrap();
        for fault in [look(dir.path()).expect_err(what), open(dir.path()).expect_err(what)] {
            assert_eq!((&fault.file, fault.record), (&name(dir.path(), &path), record), "{what}: {fault}");
        }
    }
}

#[test]
fn the_end_of_a_published_log_cannot_be_taken_for_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    published(dir.path());
    let path = segments(dir.path()).pop().unwrap();
    let good = fs::read(&path).unwrap();
    let last = batches(&good).into_iter().rfind(|at| first_record(&good, *at) == 299).unwrap();
    for at in [last, last + 50, last + 200] {
        edit(&path, |bytes| bytes[at] ^= 1);
        for fault in [look(dir.path()).unwrap_err(), open(dir.path()).unwrap_err()] {
            assert_eq!((fault.what, fault.record), (Wrong::Behind, 299), "byte {at}: {fault}");
        }
        fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_changed_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    published(dir.path());
    let path = dir.path().join("checkpoint");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        edit(&path, |bytes| bytes[at] ^= 1);
        let fault = look(dir.path()).expect_err(&format!("byte {at} was flipped"));
        assert_eq!((fault.file, fault.what), (PathBuf::from("checkpoint"), Wrong::Checkpoint));
        fs::write(&path, &good).unwrap();
    }
    let other = Signer::new("test.example/log", &[7; 32]).unwrap();
    let forked = other.sign_head(300, daypass_ledger::tree::leaf_hash(b"another log"));
    fs::write(&path, other.checkpoint(&forked)).unwrap();
    assert_eq!(look(dir.path()).unwrap_err().what, Wrong::Fork);
    assert_eq!(open(dir.path()).unwrap_err().what, Wrong::Fork);
    fs::remove_file(&path).unwrap();
    assert_eq!(look(dir.path()).unwrap_err().what, Wrong::Missing);
    assert_eq!(open(dir.path()).unwrap_err().what, Wrong::Missing);
}

#[test]
fn published_files_that_differ_from_the_segments_are_named_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    published(dir.path());
    let inspected = look(dir.path()).unwrap();
    assert_eq!((inspected.size, inspected.published), (300, Some(300)));
    // The segments hold the last records only; those are compared.
    assert!(inspected.wal_first > 0 && inspected.wal_first < 299);
    for (file, item_len) in
        [("tile/0/001.p/44", 32), ("tile/entries/001.p/44", 12), ("sidecar/001.p/44", 704)]
    {
        let path = dir.path().join(file);
        let good = fs::read(&path).unwrap();
        assert_eq!(good.len(), 44 * item_len);
        let flip = 43 * item_len + 5;
        edit(&path, |bytes| bytes[flip] ^= 1);
        let fault = look(dir.path()).unwrap_err();
        assert_eq!((fault.file, fault.record), (PathBuf::from(file), 299));
        edit(&path, |bytes| bytes.truncate(flip));
        assert_eq!(look(dir.path()).unwrap_err().file, PathBuf::from(file));

        let (journal, opened) = Journal::open(options(dir.path()), || 9).unwrap();
        assert_eq!(opened.repaired, [PathBuf::from(file)]);
        journal.close();
        assert_eq!(fs::read(&path).unwrap(), good);

        fs::remove_file(&path).unwrap();
        let fault = look(dir.path()).unwrap_err();
        assert_eq!((fault.file, fault.what), (PathBuf::from(file), Wrong::Missing));
        fs::write(&path, good).unwrap();
    }
}

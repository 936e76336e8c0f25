//! Every kind of change to every kind of published file is noticed, and the error names the record and the file.

use daypass_ledger::{
    bundle::{push_entry, push_sidecar},
    note::Signer,
    source::SourceError,
    tree::{Hash, leaf_hash},
    verify::{BundleProblem, Options, SidecarProblem, Sidecars, VerifyError, verify},
};
use proptest::prelude::*;

use crate::published::{LARGE, Published, SEALED_EVERY, Seen, erased, options};

/// One full bundle and a partial one; tiles at two levels.
const SIZE: u64 = 300;

fn entries(leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = Vec::new();
    leaves.iter().for_each(|leaf| push_entry(&mut bundle, leaf).unwrap());
    bundle
}

fn slots(sidecars: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut bundle = Vec::new();
    sidecars.iter().for_each(|sidecar| push_sidecar(&mut bundle, sidecar.as_deref()).unwrap());
    bundle
}

/// What `verify` says of the log after `change`.
fn after(change: impl FnOnce(&mut Published)) -> VerifyError {
    let mut log = Published::new(SIZE);
    change(&mut log);
    log.verify().unwrap_err()
}

fn shorten(log: &mut Published, file: &str) {
    log.files.get_mut(file).unwrap().pop().unwrap();
}

fn named(error: &VerifyError) -> (&str, Option<u64>) {
    (error.file(), error.record())
}

#[test]
fn whole_logs_of_all_shapes_verify() {
    let small = [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000].map(Published::new);
    for log in small.iter().chain([&*LARGE]) {
        let size = log.leaves.len() as u64;
        let mut seen = Seen::default();
        let report = verify(&log.files, &log.key(), &options(), &mut seen).unwrap();
        assert_eq!(report.checkpoint.size, size);
        assert_eq!(report.sealed, size.div_ceil(SEALED_EVERY));
        assert_eq!(report.leaf_bytes, log.leaves.iter().map(|leaf| leaf.len() as u64).sum::<u64>());
        assert_eq!(seen.progress.last().copied().unwrap_or(0), size);
        assert_eq!(seen.records.len() as u64, size);
        for (at, (index, leaf, sidecar)) in seen.records.iter().enumerate() {
            assert_eq!((*index, leaf, sidecar), (at as u64, &log.leaves[at], &log.sidecars[at]));
        }
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    for threads in [1, 2, 3, 16] {
        let mut log = Published::new(2000);
        let options = Options { threads: threads.try_into().unwrap(), ..Options::default() };
        assert!(verify(&log.files, &log.key(), &options, &mut ()).is_ok());
        for bundle in ["tile/entries/002", "tile/entries/005"] {
            log.files.get_mut(bundle).unwrap()[10] ^= 1;
        }
        let error = verify(&log.files, &log.key(), &options, &mut ()).unwrap_err();
        assert_eq!(named(&error), ("tile/entries/002", Some(512)));
    }
}

#[test]
fn a_published_log_that_has_grown_past_its_checkpoint_verifies() {
    let mut log = Published::new(1000);
    let old = Published::new(700);
    log.files.insert("checkpoint".into(), old.files["checkpoint"].clone());
    // The partial tiles of the old size are gone where full ones exist; the others stay.
    log.files.insert("tile/1/000.p/2".into(), old.files["tile/1/000.p/2"].clone());
    assert_eq!(log.verify().unwrap().checkpoint.size, 700);
}

#[test]
fn flipped_entry() {
    let error = after(|log| {
        let file = log.files.get_mut("tile/entries/000").unwrap();
        let at = file.windows(9).position(|bytes| bytes == br#""seq":100"#).unwrap();
        file[at + 7] = b'9';
    });
    assert_eq!(named(&error), ("tile/entries/000", Some(100)));
    assert!(matches!(error, VerifyError::Entry { .. }));
    assert_eq!(
        error.to_string(),
        "record 100 in `tile/entries/000` was changed: it does not fit the log's tree"
    );
}

#[test]
fn deleted_inserted_reordered_truncated_entry() {
    let change = |file: &'static str, edit: fn(&mut Vec<Vec<u8>>)| {
        after(move |log| {
            let from = if file == "tile/entries/000" { 0 } else { 256 };
            let mut leaves = log.leaves[from..log.leaves.len().min(from + 256)].to_vec();
            edit(&mut leaves);
            log.files.insert(file.to_owned(), entries(&leaves));
        })
    };
    for (file, first) in [("tile/entries/000", 0), ("tile/entries/001.p/44", 256)] {
        let deleted = change(file, |leaves| drop(leaves.remove(10)));
        assert_eq!(named(&deleted), (file, Some(first + 10)));
        let inserted = change(file, |leaves| leaves.insert(10, b"{}".to_vec()));
        assert_eq!(named(&inserted), (file, Some(first + 10)));
        let reordered = change(file, |leaves| leaves.swap(10, 11));
        assert_eq!(named(&reordered), (file, Some(first + 10)));
        let last_deleted = change(file, |leaves| drop(leaves.pop()));
        let end = if first == 0 { 256 } else { SIZE };
        assert_eq!(named(&last_deleted), (file, Some(end - 1)));
        assert!(matches!(last_deleted, VerifyError::Bundle { problem: BundleProblem::Cut, .. }));
        let appended = change(file, |leaves| leaves.push(b"{}".to_vec()));
        assert_eq!(named(&appended), (file, Some(end)));
        assert!(matches!(appended, VerifyError::Bundle { problem: BundleProblem::Longer, .. }));
        let truncated = after(|log| shorten(log, file));
        assert_eq!(named(&truncated), (file, Some(end - 1)));
    }
}

#[test]
fn flipped_tile_is_told_from_flipped_entry() {
    for (file, record, slot) in [("tile/0/000", 100, 100), ("tile/0/001.p/44", 266, 10)] {
        let error = after(|log| log.files.get_mut(file).unwrap()[slot * 32 + 5] ^= 1);
        assert_eq!(named(&error), (file, Some(record)));
        assert!(matches!(error, VerifyError::Tile { slot: found, .. } if found == slot), "{error:?}");
    }
    let error = after(|log| log.files.get_mut("tile/1/000.p/1").unwrap()[5] ^= 1);
    assert_eq!(named(&error), ("tile/1/000.p/1", Some(0)));
}

#[test]
fn tile_of_another_length() {
    for file in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"] {
        let error = after(|log| shorten(log, file));
        assert!(matches!(error, VerifyError::Source(SourceError::Length { .. })), "{error:?}");
        assert_eq!(error.file(), file);
        let error = after(|log| log.files.get_mut(file).unwrap().extend([0; 32]));
        assert_eq!(error.file(), file);
    }
}

#[test]
fn missing_files() {
    for (file, record) in [
        ("checkpoint", 0),
        ("tile/0/000", 0),
        ("tile/0/001.p/44", 256),
        ("tile/1/000.p/1", 0),
        ("tile/entries/000", 0),
        ("tile/entries/001.p/44", 256),
    ] {
        let error = after(|log| drop(log.files.remove(file)));
        assert_eq!(named(&error), (file, Some(record)));
        assert!(matches!(error, VerifyError::Source(SourceError::Missing { .. })), "{error:?}");
    }
}

#[test]
fn entry_changed_together_with_its_tile() {
    let error = after(|log| {
        log.leaves[100] = b"{}".to_vec();
        log.files.insert("tile/entries/000".into(), entries(&log.leaves[..256]));
        log.files.get_mut("tile/0/000").unwrap()[3200..3232].copy_from_slice(&leaf_hash(b"{}").0);
    });
    assert_eq!(named(&error), ("tile/0/000", Some(0)));
    assert!(matches!(error, VerifyError::Subtree { end: 256, .. }), "{error:?}");
}

#[test]
fn everything_changed_but_the_signature() {
    let error = after(|log| {
        let signed = log.files["checkpoint"].clone();
        log.leaves[100] = b"{}".to_vec();
        log.sidecars[100] = None;
        log.publish();
        log.files.insert("checkpoint".into(), signed);
    });
    assert_eq!(named(&error), ("checkpoint", None));
    assert!(matches!(error, VerifyError::Root { size: SIZE, .. }));
    let error = after(|log| {
        let signed = log.files["checkpoint"].clone();
        log.leaves.pop();
        log.sidecars.pop();
        log.publish();
        log.files.insert("checkpoint".into(), signed);
    });
    assert!(matches!(error, VerifyError::Source(SourceError::Missing { .. })), "{error:?}");
}

#[test]
fn checkpoint_of_another_signer_or_size() {
    let error = after(|log| {
        let other = Signer::new("example.com/log", &[8; 32]).unwrap();
        log.files.insert("checkpoint".into(), other.checkpoint(&other.sign_head(SIZE, Hash([0; 32]))));
    });
    assert!(matches!(error, VerifyError::Checkpoint(_)));
    let error = after(|log| log.sign(SIZE, Hash([0; 32])));
    assert!(matches!(error, VerifyError::Root { .. }));
    let error = after(|log| log.sign(SIZE - 1, Hash([0; 32])));
    assert_eq!(named(&error), ("tile/entries/001.p/43", Some(256)));
}

#[test]
fn flipped_sidecar() {
    let error = after(|log| {
        log.sidecars[99].as_mut().unwrap()[80] ^= 1;
        log.files.insert("sidecar/000".into(), slots(&log.sidecars[..256]));
    });
    assert_eq!(named(&error), ("sidecar/000", Some(99)));
    assert!(matches!(error, VerifyError::Sidecar { problem: SidecarProblem::Changed, .. }));
}

#[test]
fn withheld_and_erased_sidecars() {
    let mut log = Published::new(SIZE);
    log.sidecars[258] = None;
    log.files.insert("sidecar/001.p/44".into(), slots(&log.sidecars[256..]));
    let error = log.verify().unwrap_err();
    assert_eq!(named(&error), ("sidecar/001.p/44", Some(258)));
    assert!(
        matches!(&error, VerifyError::Sidecar { problem: SidecarProblem::Withheld { subject }, .. } if subject == "bob")
    );
    assert!(verify(&log.files, &log.key(), &erased("alice"), &mut ()).is_err());
    assert_eq!(verify(&log.files, &log.key(), &erased("bob"), &mut ()).unwrap().erased, 1);

    log.files.remove("sidecar/000");
    assert_eq!(named(&log.verify().unwrap_err()), ("sidecar/000", Some(0)));
    assert_eq!(verify(&log.files, &log.key(), &erased("bob"), &mut ()).unwrap().erased, 87);
    let ignored = Options { sidecars: Sidecars::Ignored, ..options() };
    assert!(verify(&log.files, &log.key(), &ignored, &mut ()).is_ok());
}

#[test]
fn deleted_inserted_reordered_truncated_sidecar() {
    let change = |edit: fn(&mut Vec<Option<Vec<u8>>>)| {
        after(move |log| {
            edit(&mut log.sidecars);
            log.files.insert("sidecar/000".into(), slots(&log.sidecars[..256]));
        })
    };
    assert_eq!(named(&change(|sidecars| drop(sidecars.remove(9)))), ("sidecar/000", Some(9)));
    assert_eq!(named(&change(|sidecars| sidecars.insert(9, None))), ("sidecar/000", Some(9)));
    assert_eq!(named(&change(|sidecars| sidecars.swap(9, 12))), ("sidecar/000", Some(9)));
    let unexpected = change(|sidecars| sidecars[10] = Some(b"x".to_vec()));
    assert!(matches!(
        unexpected,
        VerifyError::Sidecar { record: 10, problem: SidecarProblem::Unexpected, .. }
    ));
    let truncated = after(|log| shorten(log, "sidecar/000"));
    assert_eq!(named(&truncated), ("sidecar/000", Some(255)));
    let longer = after(|log| log.files.get_mut("sidecar/000").unwrap().extend([0; 4]));
    assert_eq!(named(&longer), ("sidecar/000", Some(256)));
}

#[test]
fn malformed_sealed_member_under_a_valid_tree() {
    let error = after(|log| {
        log.leaves[5] = br#"{"v":1,"sealed":{"subject":"bob","fields":{}}}"#.to_vec();
        log.publish();
    });
    assert_eq!(named(&error), ("tile/entries/000", Some(5)));
    assert!(matches!(error, VerifyError::Sealed { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Any single flipped bit anywhere in the published files is found, in the file it is in or, for tiles, never silently.
    #[test]
    fn any_flipped_bit_is_named(file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut log = Published::new(SIZE);
        let mut paths: Vec<_> = log.files.keys().cloned().collect();
        paths.sort();
        let path = file.get(&paths).clone();
        let bytes = log.files.get_mut(&path).unwrap();
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let error = log.verify().unwrap_err();
        prop_assert_eq!(error.file(), path, "{}", error);
    }
}

//! Ranges of a log: only the needed files, and everything in them bound to the signed root.

use std::{collections::HashMap, ops::Range};

use daypass_ledger::verify::{Options, Sidecars, VerifyError, range_files, verify_range};

use crate::published::{LARGE, Published, Seen, options};

fn part(log: &Published, range: Range<u64>) -> HashMap<String, Vec<u8>> {
    let size = log.leaves.len() as u64;
    let paths = range_files(range, size).into_iter().map(|file| file.path()).chain(["checkpoint".to_owned()]);
    paths.map(|path| (path.clone(), log.files[&path].clone())).collect()
}

fn no_sidecars() -> Options {
    Options { sidecars: Sidecars::Ignored, ..options() }
}

#[test]
fn ranges_verify_with_only_their_files() {
    let small = [1, 256, 300].map(Published::new);
    for log in small.iter().chain([&*LARGE]) {
        let size = log.leaves.len() as u64;
        for range in [0..1, 0..size.min(300), size - 1..size, size / 2..size / 2 + 1, 0..0] {
            let files = part(log, range.clone());
            let mut seen = Seen::default();
            verify_range(&files, &log.key(), &no_sidecars(), range.clone(), &mut seen).unwrap();
            let indexes: Vec<_> = seen.records.iter().map(|(index, ..)| *index).collect();
            assert!(range.clone().all(|index| indexes.contains(&index)), "{range:?} of {size}");
        }
    }
    assert!(part(&LARGE, 0..1).len() < 10);
}

#[test]
fn every_file_of_a_range_is_needed_and_every_change_noticed() {
    let log = &*LARGE;
    for range in [700..701, 65_536..65_540, 65_999..66_000] {
        let files = part(log, range.clone());
        for path in files.keys() {
            let mut bad = files.clone();
            bad.remove(path);
            let result = verify_range(&bad, &log.key(), &no_sidecars(), range.clone(), &mut ());
            assert!(result.is_err(), "{range:?} without {path}");
            let len = files[path].len();
            for at in [0, len / 3, len - 1] {
                let mut bad = files.clone();
                bad.get_mut(path).unwrap()[at] ^= 1;
                let result = verify_range(&bad, &log.key(), &no_sidecars(), range.clone(), &mut ());
                // Below an upper tile of which one hash counts, the others may be anything: they prove nothing here.
                let part_of_a_full_tile = path.ends_with("tile/1/000");
                assert!(result.is_err() || part_of_a_full_tile, "{range:?} with {path} changed at {at}");
            }
        }
    }
}

#[test]
fn a_range_beyond_the_log() {
    let log = Published::new(10);
    let result = verify_range(&log.files, &log.key(), &options(), 5..11, &mut ());
    assert!(matches!(result, Err(VerifyError::Range { end: 11, size: 10 })));
}

//! Logs that were rewritten and signed again verify by themselves, but not against what was seen before.

use std::collections::HashMap;

use daypass_ledger::{
    checkpoint::Checkpoint,
    remembered::{Broken, Continued, continues},
    source::{SourceError, Tiles},
};

use crate::published::{Published, root_of};

fn seen(log: &Published) -> Checkpoint {
    Checkpoint::open(&log.files["checkpoint"], &log.key()).unwrap().0
}

#[test]
fn a_log_that_only_grows_continues() {
    let sizes = [0, 1, 255, 256, 300, 511, 512, 700];
    for old in sizes {
        let last = seen(&Published::new(old));
        for new in sizes.into_iter().filter(|new| *new >= old) {
            let log = Published::new(new);
            let expected = if old == new { Continued::Same } else { Continued::Grown { by: new - old } };
            assert_eq!(continues(Some(&last), &seen(&log), &log.files).unwrap(), expected, "{old} to {new}");
        }
    }
    let log = Published::new(3);
    assert_eq!(continues(None, &seen(&log), &log.files).unwrap(), Continued::First);
}

#[test]
fn cut_and_signed_again() {
    let (last, log) = (seen(&Published::new(300)), Published::new(299));
    assert!(log.verify().is_ok());
    let broken = continues(Some(&last), &seen(&log), &log.files).unwrap_err();
    assert!(matches!(broken, Broken::Rollback { seen: 300, found: 299 }));
}

#[test]
fn edited_and_signed_again() {
    let last = seen(&Published::new(300));
    for (size, changed) in [(300, 299), (400, 0), (400, 255), (400, 256), (400, 299)] {
        let mut log = Published::new(size);
        log.leaves[changed] = b"{}".to_vec();
        log.sidecars[changed] = None;
        log.publish();
        assert!(log.verify().is_ok());
        let broken = continues(Some(&last), &seen(&log), &log.files).unwrap_err();
        match size {
            300 => assert!(matches!(broken, Broken::Fork { size: 300, .. })),
            _ => assert!(matches!(broken, Broken::Rewritten { seen: 300, found: 400, .. })),
        }
    }
    // A change after what was seen is not a contradiction.
    let mut log = Published::new(400);
    log.leaves[300] = b"{}".to_vec();
    log.publish();
    assert_eq!(continues(Some(&last), &seen(&log), &log.files).unwrap(), Continued::Grown { by: 100 });
}

#[test]
fn another_log_and_missing_tiles() {
    let log = Published::new(300);
    let other = Checkpoint { origin: "example.com/other".into(), ..seen(&log) };
    assert!(matches!(continues(Some(&other), &seen(&log), &log.files), Err(Broken::OtherLog { .. })));
    let none = HashMap::<String, Vec<u8>>::new();
    let broken = continues(Some(&seen(&Published::new(10))), &seen(&log), &none).unwrap_err();
    assert!(matches!(broken, Broken::Source(SourceError::Missing { .. })));
}

#[test]
fn tiles_give_the_roots_of_all_sizes() {
    let log = Published::new(1025);
    let tiles = Tiles::new(&log.files, 1025);
    for size in [0, 1, 2, 255, 256, 257, 767, 768, 1024, 1025] {
        assert_eq!(
            tiles.root(size).unwrap(),
            root_of(&log.leaves[..usize::try_from(size).unwrap()]),
            "{size}"
        );
    }
    assert!(tiles.root(1026).is_err());
}

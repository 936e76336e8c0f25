//! The fuzz targets on a stable toolchain: every seed of the corpus, every seed bent and cut, and random bytes.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "../../../fuzz/src/targets.rs"]
#[expect(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "a library for the fuzz targets, a module of tests here"
)]
mod targets;

#[expect(clippy::panic, clippy::unwrap_used, reason = "part of tests")]
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_seed_and_every_beginning_of_it() {
    for (name, target) in targets::TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 4, "{name}: {} seeds", seeds.len());
        for seed in seeds {
            (0..seed.len()).for_each(|end| target(&seed[..end]));
            target(&seed);
        }
    }
}

#[test]
fn bent_seeds() {
    for (name, target) in targets::TARGETS {
        let seeds = seeds(name);
        let bends = vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6);
        let strategy = (0..seeds.len(), bends, vec(any::<u8>(), 0..20));
        TestRunner::new(Config::with_cases(400))
            .run(&strategy, |(seed, bends, tail)| {
                let mut bytes = seeds[seed].clone();
                for (place, byte, how) in bends {
                    if bytes.is_empty() {
                        break;
                    }
                    let at = place.index(bytes.len());
                    match how {
                        0 => bytes[at] = byte,
                        1 => bytes[at] ^= 1 << (byte % 8),
                        2 => drop(bytes.remove(at)),
                        _ => bytes.insert(at, byte),
                    }
                }
                bytes.extend(tail);
                target(&bytes);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn any_bytes() {
    for (name, target) in targets::TARGETS {
        TestRunner::new(Config::with_cases(300))
            .run(&vec(any::<u8>(), 0..300), |bytes| {
                target(&bytes);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

//! Files of every format version ever released stay readable and, while the version is current, are still written the same.
//!
//! `tests/vectors/v1` was made once and is never made again: a log of 258 records whose every third record seals two fields
//! for `bob`, and an evidence file of it. A change of format gets a new folder beside it.

use std::{fs, io, path::PathBuf};

use daypass_ledger::{
    evidence::{Evidence, Part, Trust, Writer},
    note::VerifierKey,
    policy::Policy,
    sealed::{OpenedField, SealError, Sealer, SubjectKey, sealed_in},
    source::Source,
    verify::verify,
};
use serde_json::json;

use crate::published::{Published, Seen, options};

const SIZE: u64 = 258;

struct Folder(PathBuf);

impl Source for Folder {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/v1")
}

/// The keys that belong to the vectors.
fn log_key() -> VerifierKey {
    VerifierKey::parse(fs::read_to_string(vectors().join("log.vkey")).unwrap().trim()).unwrap()
}

fn sealer() -> Result<Sealer, SealError> {
    Sealer::new("bob", &SubjectKey([0xb0; 32]))
}

fn evidence(log: &Published) -> Vec<u8> {
    let field: OpenedField = {
        let named = sealed_in(&log.leaves[3]).unwrap().unwrap();
        sealer().unwrap().open(&named, log.sidecars[3].as_deref().unwrap()).unwrap().swap_remove(0)
    };
    let mut writer = Writer::new(io::Cursor::new(Vec::new()), json!({"vector": 1}));
    let part = Part {
        key: &log.key(),
        source: &log.files,
        ranges: std::iter::once(256..258).collect(),
        records: vec![3],
        opened: vec![(3, field)],
        start: Some(Published::new(100).files["checkpoint"].clone()),
    };
    writer.add_log(&part).unwrap();
    writer.finish("<!doctype html>\n").unwrap().into_inner()
}

#[test]
fn v1_log_verifies_and_opens() {
    let folder = Folder(vectors().join("log"));
    let mut seen = Seen::default();
    let report = verify(&folder, &log_key(), &options(), &mut seen).unwrap();
    assert_eq!((report.checkpoint.size, report.sealed), (SIZE, 86));
    assert_eq!(
        report.checkpoint.root.to_string(),
        fs::read_to_string(vectors().join("root.hex")).unwrap().trim()
    );
    for (index, leaf, sidecar) in &seen.records {
        let Some(named) = sealed_in(leaf).unwrap() else { continue };
        let fields = sealer().unwrap().open(&named, sidecar.as_deref().unwrap()).unwrap();
        assert_eq!(fields[0].value, format!("SELECT {index}").as_bytes());
        assert_eq!((fields[1].id.as_str(), fields[1].value.as_slice()), ("params", &b"[]"[..]));
    }
}

#[test]
fn v1_evidence_checks() {
    let file = fs::File::open(vectors().join("evidence.zip")).unwrap();
    let policy = Policy::parse(&format!("log {}\nquorum none\n", log_key())).unwrap();
    let checked = Evidence::read(file).unwrap().check(Some(&policy)).unwrap();
    assert_eq!(checked.about, json!({"vector": 1}));
    let log = &checked.logs[0];
    assert_eq!((log.trust, log.start.as_ref().unwrap().size), (Trust::Policy, 100));
    assert_eq!(log.records.keys().copied().collect::<Vec<_>>(), [3, 256, 257]);
    assert_eq!(log.records[&3].opened[0].value, b"SELECT 3");
}

#[test]
fn v1_is_still_written_the_same() {
    let log = Published::new(SIZE);
    for (path, bytes) in &log.files {
        assert!(
            fs::read(vectors().join("log").join(path)).unwrap() == *bytes,
            "{path} is written differently"
        );
    }
    assert_eq!(fs::read(vectors().join("evidence.zip")).unwrap(), evidence(&log));
}

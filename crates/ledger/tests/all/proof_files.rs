//! Evidence files: what they prove, and that no byte of what they prove can change.

use std::{collections::BTreeMap, io::Cursor};

use daypass_ledger::{
    evidence::{Checked, Evidence, EvidenceError, FileProblem, Part, Trust, Writer},
    note::Signer,
    policy::Policy,
    sealed::{OpenedField, Sealer, sealed_in},
};
use proptest::prelude::*;
use serde_json::json;

use crate::published::{Published, bob};

const SIZE: u64 = 600;

fn opened(log: &Published, index: usize) -> OpenedField {
    let sealed = sealed_in(&log.leaves[index]).unwrap().unwrap();
    let sealer = Sealer::new("bob", &bob()).unwrap();
    sealer.open(&sealed, log.sidecars[index].as_deref().unwrap()).unwrap().swap_remove(0)
}

/// Records 300 to 309 as a range, 3 and 599 singly, two fields opened.
fn evidence(log: &Published) -> Vec<u8> {
    let start = Published::new(200).files["checkpoint"].clone();
    let mut binary = opened(log, 3);
    assert_eq!(binary.value, b"SELECT 3");
    binary.value = b"SELECT 3".to_vec();
    let mut writer = Writer::new(Cursor::new(Vec::new()), json!({"grant": "G-1"}));
    let part = Part {
        key: &log.key(),
        source: &log.files,
        ranges: std::iter::once(300..310).collect(),
        records: vec![599, 3],
        opened: vec![(3, binary), (300, opened(log, 300))],
        start: Some(start),
    };
    writer.add_log(&part).unwrap();
    writer.add_extra("note.txt", b"for people").unwrap();
    writer.finish("<html></html>").unwrap().into_inner()
}

fn check(bytes: &[u8]) -> Result<Checked, EvidenceError> {
    Evidence::read(Cursor::new(bytes))?.check(None)
}

fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|at| {
            let mut file = archive.by_index(at).unwrap();
            let mut bytes = Vec::new();
            std::io::copy(&mut file, &mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn pack(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn changed(log: &Published, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> EvidenceError {
    let mut files = unpack(&evidence(log));
    change(&mut files);
    check(&pack(&files)).unwrap_err()
}

#[test]
fn proves_ranges_records_and_opened_fields() {
    let log = Published::new(SIZE);
    let bytes = evidence(&log);
    assert_eq!(bytes, evidence(&log), "the same evidence is the same bytes");
    let checked = check(&bytes).unwrap();
    assert_eq!(checked.about, json!({"grant": "G-1"}));
    let [part] = checked.logs.as_slice() else { panic!("one log") };
    assert_eq!(
        (part.trust, part.checkpoint.size, part.start.as_ref().unwrap().size),
        (Trust::None, SIZE, 200)
    );
    let indexes: Vec<_> = part.records.keys().copied().collect();
    assert_eq!(indexes, [3].into_iter().chain(300..310).chain([599]).collect::<Vec<_>>());
    for (index, record) in &part.records {
        assert_eq!(record.leaf, log.leaves[usize::try_from(*index).unwrap()]);
        assert_eq!(record.sealed.is_some(), index % 3 == 0);
        assert_eq!(record.opened.len(), usize::from([3, 300].contains(index)));
    }
    assert_eq!(part.records[&300].opened[0].value, b"SELECT 300");
    let files = unpack(&bytes);
    assert!(
        files.keys().any(|name| name == "logs/0/tile/entries/001")
            && files["extra/note.txt"] == b"for people"
    );
}

#[test]
fn the_policy_decides_whose_log_it_is() {
    let log = Published::new(SIZE);
    let evidence = Evidence::read(Cursor::new(evidence(&log))).unwrap();
    let known = Policy::parse(&format!("log {}\nquorum none", log.key())).unwrap();
    assert_eq!(evidence.check(Some(&known)).unwrap().logs[0].trust, Trust::Policy);
    let impostor = Signer::new("example.com/log", &[9; 32]).unwrap().verifier_key();
    let other = Policy::parse(&format!("log {impostor}\nquorum none")).unwrap();
    assert!(matches!(evidence.check(Some(&other)), Err(EvidenceError::Untrusted(_))));
    let witness = Signer::new("w", &[3; 32]).unwrap().verifier_key().as_cosigner();
    let witnessed = Policy::parse(&format!("log {}\nwitness w {witness}\nquorum w", log.key())).unwrap();
    assert!(matches!(evidence.check(Some(&witnessed)), Err(EvidenceError::Untrusted(_))));
}

#[test]
fn every_removed_or_added_file_is_noticed() {
    let log = Published::new(SIZE);
    let files = unpack(&evidence(&log));
    for path in files.keys().filter(|path| !path.starts_with("extra/") && *path != "index.html") {
        // Without opened fields the evidence says less, but nothing wrong.
        if path == "logs/0/opened.json" {
            continue;
        }
        let error = changed(&log, |files| drop(files.remove(path)));
        assert!(error.to_string().contains(path.trim_start_matches("logs/0/")), "{path}: {error}");
    }
    for path in ["logs/0/records/4.json", "logs/0/tile/0/000.p/3", "logs/1/checkpoint", "more"] {
        let error = changed(&log, |files| drop(files.insert(path.to_owned(), Vec::new())));
        assert!(
            matches!(error, EvidenceError::File { problem: FileProblem::Unexpected, file } if file == path)
        );
    }
}

#[test]
fn changed_contents_are_named() {
    let log = Published::new(SIZE);
    let replace = |path: &'static str, from: &'static str, to: &'static str| {
        changed(&log, |files| {
            let text = String::from_utf8(files[path].clone()).unwrap();
            assert!(text.contains(from), "{path}");
            files.insert(path.to_owned(), text.replacen(from, to, 1).into_bytes());
        })
    };
    let record = replace("logs/0/records/599.json", "\"seq\":599", "\"seq\":598");
    assert!(matches!(record, EvidenceError::Record { file, .. } if file == "logs/0/records/599.tlog-proof"));
    let value = replace("logs/0/opened.json", "SELECT 300", "SELECT 301");
    assert!(matches!(value, EvidenceError::Opened { record: 300, ref id, .. } if id == "text"));
    let moved = replace("logs/0/opened.json", "\"record\": 300", "\"record\": 303");
    assert!(matches!(moved, EvidenceError::Opened { record: 303, .. }));
    let elsewhere = replace("logs/0/opened.json", "\"record\": 300", "\"record\": 5");
    assert!(matches!(elsewhere, EvidenceError::Opened { record: 5, .. }));
    let version = replace("manifest.json", "\"v\": 1", "\"v\": 2");
    assert!(matches!(version, EvidenceError::File { problem: FileProblem::Version, .. }));
    let wider = replace("manifest.json", "300", "200");
    assert!(matches!(wider, EvidenceError::Range { .. }), "{wider}");
    let entry = changed(&log, |files| {
        let bundle = files.get_mut("logs/0/tile/entries/001").unwrap();
        let at = bundle.windows(9).position(|bytes| bytes == br#""seq":305"#).unwrap();
        bundle[at + 8] = b'6';
    });
    assert_eq!(
        entry.to_string(),
        "in `logs/0/`: record 305 in `tile/entries/001` was changed: it does not fit the log's tree"
    );
    let start = changed(&log, |files| {
        let mut other = Published::new(200);
        other.leaves[7] = b"{}".to_vec();
        other.publish();
        files.insert("logs/0/start".to_owned(), other.files["checkpoint"].clone());
    });
    assert!(matches!(start, EvidenceError::Start { .. }));
}

#[test]
fn what_is_not_in_the_log_cannot_be_proven() {
    let log = Published::new(10);
    let key = log.key();
    let part = |ranges: Vec<std::ops::Range<u64>>, records| Part {
        key: &key,
        source: &log.files,
        ranges,
        records,
        opened: Vec::new(),
        start: None,
    };
    let add = |part: &Part<'_, _>| Writer::new(Cursor::new(Vec::new()), json!(null)).add_log(part).is_err();
    assert!(add(&part(vec![], vec![10])));
    assert!(add(&part(std::iter::once(5..11).collect(), vec![])));
    assert!(add(&part(std::iter::once(5..5).collect(), vec![])));
    assert!(!add(&part(std::iter::once(5..10).collect(), vec![9])));
}

#[test]
fn from_a_log_that_has_grown_past_its_checkpoint() {
    let mut log = Published::new(1000);
    let old = Published::new(SIZE);
    for path in ["checkpoint", "tile/1/000.p/2"] {
        log.files.insert(path.to_owned(), old.files[path].clone());
    }
    assert_eq!(evidence(&log), evidence(&old));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A flipped bit in the zip changes nothing that is proven: it is an error, or in a part that only people read.
    #[test]
    fn any_flipped_bit_proves_nothing_else(byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let log = Published::new(SIZE);
        let bytes = evidence(&log);
        let whole = check(&bytes).unwrap();
        let mut bad = bytes.clone();
        bad[byte.index(bytes.len())] ^= 1 << bit;
        if let Ok(checked) = check(&bad) {
            prop_assert_eq!(&checked.logs[0].records, &whole.logs[0].records);
            prop_assert_eq!(&checked.logs[0].checkpoint, &whole.logs[0].checkpoint);
            prop_assert_eq!(&checked.about, &whole.about);
        }
    }
}

//! Reads and verifies an evidence file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read, Seek},
    ops::Range,
};

use zip::ZipArchive;

use super::{
    Checked, CheckedLog, CheckedRecord, EVIDENCE_LEN_MAX, EXTRA, EvidenceError, FILES_MAX, FileProblem,
    INDEX_HTML, MANIFEST, Manifest, ManifestLog, OpenedFile, Trust, VERSION, bad,
};
use crate::{
    checkpoint::Checkpoint,
    note::VerifierKey,
    policy::{Policy, UntrustedCheckpoint},
    proof::verify_consistency,
    sealed::{sealed_in, verify_commitment},
    source::{CHECKPOINT, Source},
    tlog_proof::TlogProof,
    verify::{Observer, Options, Record, Sidecars, range_files, verify_range},
};

/// An evidence file in memory; nothing in it is trusted before [`Evidence::check`].
#[derive(Clone, Debug)]
pub struct Evidence {
    manifest: Manifest,
    files: HashMap<String, Vec<u8>>,
}

impl Evidence {
    /// Reads an evidence file.
    ///
    /// # Errors
    /// When it is not a zip, exceeds a limit, or has no manifest that can be read.
    pub fn read(file: impl Read + Seek) -> Result<Self, EvidenceError> {
        let mut archive = ZipArchive::new(file)?;
        if archive.len() > FILES_MAX {
            return Err(EvidenceError::Limit);
        }
        let (mut files, mut left) = (HashMap::new(), EVIDENCE_LEN_MAX);
        for at in 0..archive.len() {
            let entry = archive.by_index(at)?;
            let name = entry.name()?.into_owned();
            let mut bytes = Vec::new();
            let len = entry.take(left.saturating_add(1)).read_to_end(&mut bytes)?;
            left = left.checked_sub(u64::try_from(len).unwrap_or(u64::MAX)).ok_or(EvidenceError::Limit)?;
            if files.insert(name.clone(), bytes).is_some() {
                return Err(bad(&name, FileProblem::Unexpected));
            }
        }
        let manifest = files.get(MANIFEST).ok_or_else(|| bad(MANIFEST, FileProblem::Missing))?;
        let manifest: serde_json::Value = from_json(MANIFEST, manifest)?;
        if manifest.get("v") != Some(&VERSION.into()) {
            return Err(bad(MANIFEST, FileProblem::Version));
        }
        let manifest = serde_json::from_value(manifest).map_err(|_| bad(MANIFEST, FileProblem::Form))?;
        Ok(Self { manifest, files })
    }

    /// What the maker says it is about; not proven by anything.
    #[must_use]
    pub fn about(&self) -> &serde_json::Value {
        &self.manifest.about
    }

    /// Verifies everything in the file. With a policy each log must be one of it and cosigned by its quorum; without, the keys
    /// are taken from the file and each log says [`Trust::None`].
    ///
    /// # Errors
    /// [`EvidenceError`] names the file and the record.
    pub fn check(&self, policy: Option<&Policy>) -> Result<Checked, EvidenceError> {
        let mut known = BTreeSet::from([MANIFEST.to_owned(), INDEX_HTML.to_owned()]);
        let mut logs = Vec::new();
        for (number, log) in self.manifest.logs.iter().enumerate() {
            let part = LogPart { files: &self.files, folder: format!("logs/{number}/"), log };
            logs.push(part.check(policy, &mut known)?);
        }
        let mut unknown = self.files.keys().filter(|path| !known.contains(*path) && !path.starts_with(EXTRA));
        match unknown.next() {
            Some(path) => Err(bad(path, FileProblem::Unexpected)),
            None => Ok(Checked { about: self.manifest.about.clone(), logs }),
        }
    }
}

/// One log's folder.
struct LogPart<'a> {
    files: &'a HashMap<String, Vec<u8>>,
    folder: String,
    log: &'a ManifestLog,
}

impl Source for LogPart<'_> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.get(&self.path(path)).cloned())
    }
}

impl LogPart<'_> {
    fn check(
        &self,
        policy: Option<&Policy>,
        known: &mut BTreeSet<String>,
    ) -> Result<CheckedLog, EvidenceError> {
        let key =
            VerifierKey::parse(&self.log.key).map_err(|error| bad(MANIFEST, FileProblem::Key(error)))?;
        let signed = self.file(CHECKPOINT, known)?;
        let (checkpoint, note) = Checkpoint::open(signed, &key)
            .map_err(|error| bad(&self.path(CHECKPOINT), FileProblem::Checkpoint(error)))?;
        let trust = match policy {
            None => Trust::None,
            Some(policy) => {
                let same = policy.log(key.name()).is_some_and(|log| log.key == key);
                if !same {
                    return Err(EvidenceError::Untrusted(UntrustedCheckpoint::UnknownLog(
                        self.log.key.clone(),
                    )));
                }
                policy.check_quorum(&note).map_err(EvidenceError::Untrusted)?;
                Trust::Policy
            }
        };
        let start = self.check_start(&key, &checkpoint, known)?;
        let ranges: Vec<_> = self.log.ranges.iter().map(|(start, end)| *start..*end).collect();
        let mut records = BTreeMap::new();
        for range in &ranges {
            self.check_range(range, &key, checkpoint.size, &mut records, known)?;
        }
        for index in &self.log.records {
            self.check_record(*index, signed, &key, &mut records, known)?;
        }
        self.check_opened(&mut records, known)?;
        Ok(CheckedLog { key, trust, checkpoint, start, ranges, records })
    }

    fn check_start(
        &self,
        key: &VerifierKey,
        checkpoint: &Checkpoint,
        known: &mut BTreeSet<String>,
    ) -> Result<Option<Checkpoint>, EvidenceError> {
        let Some(consistency) = &self.log.consistency else { return Ok(None) };
        let file = self.path("start");
        let (start, _) = Checkpoint::open(self.file("start", known)?, key)
            .map_err(|error| bad(&file, FileProblem::Checkpoint(error)))?;
        verify_consistency(start.size, start.root, checkpoint.size, checkpoint.root, consistency)
            .map_err(|error| EvidenceError::Start { file, error })?;
        Ok(Some(start))
    }

    fn check_range(
        &self,
        range: &Range<u64>,
        key: &VerifierKey,
        size: u64,
        records: &mut BTreeMap<u64, CheckedRecord>,
        known: &mut BTreeSet<String>,
    ) -> Result<(), EvidenceError> {
        if range.start >= range.end || range.end > size {
            return Err(bad(MANIFEST, FileProblem::Form));
        }
        let options = Options { sidecars: Sidecars::Ignored, ..Options::default() };
        let mut keep = Keep { range: range.clone(), records };
        verify_range(self, key, &options, range.clone(), &mut keep)
            .map_err(|error| EvidenceError::Range { log: self.folder.clone(), error })?;
        known.extend(range_files(range.clone(), size).into_iter().map(|file| self.path(&file.path())));
        Ok(())
    }

    fn check_record(
        &self,
        index: u64,
        signed: &[u8],
        key: &VerifierKey,
        records: &mut BTreeMap<u64, CheckedRecord>,
        known: &mut BTreeSet<String>,
    ) -> Result<(), EvidenceError> {
        let leaf = self.file(&format!("records/{index}.json"), known)?;
        let file = format!("records/{index}.tlog-proof");
        let wrong = |error| EvidenceError::Record { file: self.path(&file), error };
        let proof = TlogProof::parse(self.file(&file, known)?).map_err(wrong)?;
        // The same head for everything: a proof under another one would not be about this log's state.
        if proof.index != index || proof.checkpoint != signed {
            return Err(bad(&self.path(&file), FileProblem::Form));
        }
        proof.verify(leaf, key).map_err(wrong)?;
        let before =
            records.insert(index, CheckedRecord { leaf: leaf.to_vec(), sealed: None, opened: Vec::new() });
        if before.is_some_and(|before| before.leaf != leaf) {
            return Err(bad(&self.path(&format!("records/{index}.json")), FileProblem::Contradiction));
        }
        Ok(())
    }

    /// Reads what the records seal, and matches the opened fields with it.
    fn check_opened(
        &self,
        records: &mut BTreeMap<u64, CheckedRecord>,
        known: &mut BTreeSet<String>,
    ) -> Result<(), EvidenceError> {
        for (index, record) in records.iter_mut() {
            let malformed = |_| bad(&self.path(&format!("records/{index}.json")), FileProblem::Form);
            record.sealed = sealed_in(&record.leaf).map_err(malformed)?;
        }
        let file = self.path("opened.json");
        let Some(bytes) = self.files.get(&file) else { return Ok(()) };
        known.insert(file.clone());
        let opened: OpenedFile = from_json(&file, bytes)?;
        if opened.v != VERSION {
            return Err(bad(&file, FileProblem::Version));
        }
        for json in opened.fields {
            let (index, id) = (json.record, json.id.clone());
            let wrong = || EvidenceError::Opened { file: file.clone(), record: index, id: id.clone() };
            let field = json.field().ok_or_else(wrong)?;
            let record = records.get_mut(&index).ok_or_else(wrong)?;
            let commitment =
                record.sealed.as_ref().and_then(|sealed| sealed.commitment(&field.id)).ok_or_else(wrong)?;
            let twice = record.opened.iter().any(|other| other.id == field.id);
            if twice || !verify_commitment(&field.id, &field.salt, &field.value, &commitment) {
                return Err(wrong());
            }
            record.opened.push(field);
        }
        Ok(())
    }

    fn file(&self, path: &str, known: &mut BTreeSet<String>) -> Result<&[u8], EvidenceError> {
        let path = self.path(path);
        let bytes = self.files.get(&path).ok_or_else(|| bad(&path, FileProblem::Missing))?;
        known.insert(path);
        Ok(bytes)
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.folder)
    }
}

/// Keeps the records of a range.
struct Keep<'a> {
    range: Range<u64>,
    records: &'a mut BTreeMap<u64, CheckedRecord>,
}

impl Observer for Keep<'_> {
    fn record(&mut self, record: Record<'_>) {
        if self.range.contains(&record.index) {
            let kept = CheckedRecord { leaf: record.leaf.to_vec(), sealed: None, opened: Vec::new() };
            self.records.insert(record.index, kept);
        }
    }
}

fn from_json<T: serde::de::DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, EvidenceError> {
    serde_json::from_slice(bytes).map_err(|_| bad(file, FileProblem::Form))
}

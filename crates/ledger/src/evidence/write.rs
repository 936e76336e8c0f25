//! Builds an evidence file from published logs.

use std::{
    fmt,
    io::{Seek, Write},
    ops::Range,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    EXTRA, EvidenceError, FILES_MAX, FileProblem, INDEX_HTML, MANIFEST, Manifest, ManifestLog, OpenedFile,
    OpenedJson, VERSION, bad,
};
use crate::{
    bundle,
    checkpoint::Checkpoint,
    note::VerifierKey,
    proof::BuildError,
    sealed::OpenedField,
    source::{CHECKPOINT, Source, SourceError, Tiles, read_file},
    tile::{TILE_WIDTH, TileFile, width_of},
    tlog_proof::TlogProof,
    verify::range_files,
};

/// What goes into the evidence of one log.
#[derive(Debug)]
pub struct Part<'a, S> {
    /// The log's key.
    pub key: &'a VerifierKey,
    /// The published log.
    pub source: &'a S,
    /// Ranges to prove complete. Whole bundles go in: also the records around a range.
    pub ranges: Vec<Range<u64>>,
    /// Single records to prove present.
    pub records: Vec<u64>,
    /// Sealed fields to open, with the index of their record.
    pub opened: Vec<(u64, OpenedField)>,
    /// An earlier signed checkpoint that the log continues.
    pub start: Option<Vec<u8>>,
}

/// Writes an evidence file.
pub struct Writer<W: Write + Seek> {
    zip: ZipWriter<W>,
    manifest: Manifest,
    files: usize,
}

impl<W: Write + Seek> Writer<W> {
    /// Starts an evidence file; `about` says what it is about, for people and for the caller's own checks.
    #[must_use]
    pub fn new(out: W, about: serde_json::Value) -> Self {
        Self {
            zip: ZipWriter::new(out),
            manifest: Manifest { v: VERSION, about, logs: Vec::new() },
            files: 0,
        }
    }

    /// Adds a log.
    ///
    /// # Errors
    /// When the log lacks a record or a file, or the zip cannot be written.
    pub fn add_log<S: Source>(&mut self, part: &Part<'_, S>) -> Result<(), EvidenceError> {
        let folder = format!("logs/{}/", self.manifest.logs.len());
        let missing = || SourceError::Missing { file: CHECKPOINT.to_owned(), record: 0 };
        let signed = part.source.read(CHECKPOINT)?.ok_or_else(missing)?;
        let (checkpoint, _) = Checkpoint::open(&signed, part.key)
            .map_err(|error| bad(CHECKPOINT, FileProblem::Checkpoint(error)))?;
        self.file(&format!("{folder}{CHECKPOINT}"), &signed)?;

        let mut files = std::collections::BTreeSet::new();
        for range in &part.ranges {
            if range.end > checkpoint.size || range.start >= range.end {
                return Err(BuildError::Range.into());
            }
            files.extend(range_files(range.clone(), checkpoint.size));
        }
        for file in files {
            self.file(&format!("{folder}{file}"), &exact(part.source, file)?)?;
        }
        let tiles = Tiles::new(part.source, checkpoint.size);
        let mut records = part.records.clone();
        records.sort_unstable();
        records.dedup();
        for index in &records {
            let hashes = tiles.inclusion(*index)?;
            let leaf = leaf(part.source, *index, checkpoint.size)?;
            let proof = TlogProof { extra: None, index: *index, hashes, checkpoint: signed.clone() };
            self.file(&format!("{folder}records/{index}.json"), &leaf)?;
            self.file(&format!("{folder}records/{index}.tlog-proof"), proof.to_string().as_bytes())?;
        }
        if !part.opened.is_empty() {
            let fields = part.opened.iter().map(|(record, field)| OpenedJson::new(*record, field)).collect();
            self.json(&format!("{folder}opened.json"), &OpenedFile { v: VERSION, fields })?;
        }
        let consistency = match &part.start {
            None => None,
            Some(start) => {
                let (old, _) = Checkpoint::open(start, part.key)
                    .map_err(|error| bad("start", FileProblem::Checkpoint(error)))?;
                self.file(&format!("{folder}start"), start)?;
                Some(tiles.consistency(old.size)?)
            }
        };
        let ranges = part.ranges.iter().map(|range| (range.start, range.end)).collect();
        self.manifest.logs.push(ManifestLog { key: part.key.to_string(), ranges, records, consistency });
        Ok(())
    }

    /// Adds a file for people under `extra/`.
    ///
    /// # Errors
    /// When the zip cannot be written.
    pub fn add_extra(&mut self, name: &str, bytes: &[u8]) -> Result<(), EvidenceError> {
        self.file(&format!("{EXTRA}{name}"), bytes)
    }

    /// Writes page and manifest and ends the file.
    ///
    /// # Errors
    /// When the zip cannot be written.
    pub fn finish(mut self, index_html: &str) -> Result<W, EvidenceError> {
        self.file(INDEX_HTML, index_html.as_bytes())?;
        let manifest = self.manifest.clone();
        self.json(MANIFEST, &manifest)?;
        Ok(self.zip.finish()?)
    }

    fn json(&mut self, path: &str, value: &impl serde::Serialize) -> Result<(), EvidenceError> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(|_| bad(path, FileProblem::Form))?;
        bytes.push(b'\n');
        self.file(path, &bytes)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), EvidenceError> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(EvidenceError::Limit);
        }
        // No compression and no times: the same evidence is the same bytes.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(path, options)?;
        self.zip.write_all(bytes)?;
        Ok(())
    }
}

impl<W: Write + Seek> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The file as it was at its width: cut out of the full one when the log has grown.
fn exact(source: &impl Source, wanted: TileFile) -> Result<Vec<u8>, EvidenceError> {
    let (found, bytes) = read_file(source, wanted)?;
    if found == wanted {
        return Ok(bytes);
    }
    let width = match wanted {
        TileFile::Hashes { width, .. } => {
            return Ok(bytes.into_iter().take(usize::from(width) * 32).collect());
        }
        TileFile::Entries { width, .. } | TileFile::Sidecar { width, .. } => width,
    };
    let mut cut = Vec::new();
    for entry in bundle::entries(&bytes).take(usize::from(width)) {
        let entry = entry.map_err(|_| bad(&found.path(), FileProblem::Form))?;
        bundle::push_entry(&mut cut, entry).map_err(|_| EvidenceError::Limit)?;
    }
    Ok(cut)
}

fn leaf(source: &impl Source, index: u64, size: u64) -> Result<Vec<u8>, EvidenceError> {
    let bundle = index / TILE_WIDTH;
    let (file, bytes) =
        read_file(source, TileFile::Entries { index: bundle, width: width_of(bundle, size) })?;
    let slot = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
    let entry = bundle::entries(&bytes).nth(slot).and_then(Result::ok);
    entry.map(<[u8]>::to_vec).ok_or_else(|| bad(&file.path(), FileProblem::Form))
}

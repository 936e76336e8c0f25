//! What this person saw of a log before: the last checkpoint, and the leaf hashes under it.
//!
//! A key holder can rewrite a log and sign it again: then every file fits. Only memory shows it. The checkpoint alone says
//! *that* the past changed; the leaf hashes say *which record*. They are kept for the first `LEAVES_MAX` records.

use std::path::PathBuf;

use daypass_ledger::checkpoint::Checkpoint;
use daypass_ledger::note::VerifierKey;
use daypass_ledger::remembered::{Broken, Continued, continues};
use daypass_ledger::source::Source;
use daypass_ledger::tile::{HASH_LEN, TILE_WIDTH, TileFile};
use daypass_ledger::verify::Report;

use super::findings::{Finding, Findings};
use crate::home::{self, Home, file_name};
use crate::trouble::Trouble;

/// Leaf hashes kept of one log, 32 bytes each.
const LEAVES_MAX: u64 = 1 << 20;

/// The two files about one log.
#[derive(Debug)]
pub(crate) struct Memory {
    checkpoint: PathBuf,
    leaves: PathBuf,
}

impl Memory {
    pub(crate) fn of(home: &Home, origin: &str) -> Self {
        let name = file_name(origin);
        let folder = home.remembered();
        Self {
            checkpoint: folder.join(format!("{name}.checkpoint")),
            leaves: folder.join(format!("{name}.leaves")),
        }
    }

    /// Compares a log that is whole with what was seen before; keeps the new state when it continues the old one.
    pub(crate) fn compare(
        &self,
        name: &str,
        report: &Report,
        key: &VerifierKey,
        source: &impl Source,
        findings: &mut Findings,
    ) -> Result<&'static str, Trouble> {
        let last = match home::read(&self.checkpoint)? {
            Some(bytes) => {
                Some(Checkpoint::open(&bytes, key).map(|(checkpoint, _)| checkpoint).map_err(|error| {
                    Trouble::input(
                        format!(
                            "what was remembered in `{}` cannot be used: {error}",
                            self.checkpoint.display()
                        ),
                        "if the log's key was changed on purpose, remove that file",
                    )
                })?)
            }
            None => None,
        };
        match continues(last.as_ref(), &report.checkpoint, source) {
            Ok(Continued::Same) => Ok("as last seen"),
            Ok(continued) => {
                self.keep(report, source)?;
                Ok(if continued == Continued::First {
                    "seen for the first time"
                } else {
                    "continues what was last seen"
                })
            }
            Err(broken) => {
                let changed = self.first_difference(source)?;
                let words = match (changed, &broken) {
                    (Some(record), _) => {
                        format!("{broken}; record {record} is not the one that was seen before")
                    }
                    (None, Broken::Rollback { found, .. }) => {
                        format!("{broken}; record {found} and what followed it are gone")
                    }
                    (None, _) => broken.to_string(),
                };
                let record = changed.or(match broken {
                    Broken::Rollback { found, .. } => Some(found),
                    Broken::OtherLog { .. }
                    | Broken::Fork { .. }
                    | Broken::Rewritten { .. }
                    | Broken::Source(_) => None,
                });
                let file = record
                    .map_or_else(|| "checkpoint".to_owned(), |record| bundle(record, report.checkpoint.size));
                findings.add(Finding::new(name, &file, record, words));
                Ok("differs from what was last seen")
            }
        }
    }

    /// For a log that is broken: says which record differs from what was seen, when memory knows.
    pub(crate) fn point_at_difference(
        &self,
        name: &str,
        source: &impl Source,
        findings: &mut Findings,
    ) -> Result<(), Trouble> {
        if let Some(record) = self.first_difference(source)? {
            findings.add(Finding::new(
                name,
                &format!("tile/0/…, hash {record}"),
                Some(record),
                format!("record {record} is not the one that was seen before"),
            ));
        }
        Ok(())
    }

    fn keep(&self, report: &Report, source: &impl Source) -> Result<(), Trouble> {
        let size = report.checkpoint.size.min(LEAVES_MAX);
        let mut leaves = Vec::new();
        for (file, _) in tiles(size, report.checkpoint.size) {
            match read_tile(source, file) {
                Some(hashes) => leaves.extend(hashes),
                None => break,
            }
        }
        leaves.truncate(usize::try_from(size).unwrap_or(usize::MAX).saturating_mul(HASH_LEN));
        home::write_private(&self.leaves, &leaves)?;
        // The leaves first: a checkpoint without its leaves still notices, leaves without a checkpoint say nothing.
        home::write_private(&self.checkpoint, &note_bytes(report))
    }

    /// The first record whose leaf hash is not the remembered one; `None` when all that are there fit.
    fn first_difference(&self, source: &impl Source) -> Result<Option<u64>, Trouble> {
        let Some(known) = home::read(&self.leaves)? else { return Ok(None) };
        let size = u64::try_from(known.len() / HASH_LEN).unwrap_or(0);
        let now = source.read("checkpoint").ok().flatten();
        let published = now.and_then(|bytes| parse_head(&bytes)).map_or(size, |checkpoint| checkpoint.size);
        for (file, first) in tiles(size.min(published), published) {
            let Some(found) = read_tile(source, file) else { return Ok(None) };
            let start = usize::try_from(first).unwrap_or(usize::MAX).saturating_mul(HASH_LEN);
            let kept = known.get(start..).unwrap_or_default();
            let differs = kept
                .chunks_exact(HASH_LEN)
                .zip(found.chunks_exact(HASH_LEN))
                .position(|(kept, found)| kept != found);
            if let Some(slot) = differs {
                return Ok(Some(first + u64::try_from(slot).unwrap_or(0)));
            }
        }
        Ok(None)
    }
}

fn parse_head(bytes: &[u8]) -> Option<Checkpoint> {
    let text = String::from_utf8_lossy(bytes);
    let (head, _) = text.split_once("\n\n")?;
    Checkpoint::parse_text(&format!("{head}\n")).ok()
}

/// The signed note as it was: text, an empty line, signature lines.
fn note_bytes(report: &Report) -> Vec<u8> {
    report.note.to_string().into_bytes()
}

/// Tiles of level 0 that hold the first `upto` leaves of a log of `size`, each with its first leaf.
fn tiles(upto: u64, size: u64) -> impl Iterator<Item = (TileFile, u64)> {
    (0..upto.div_ceil(TILE_WIDTH)).map(move |index| {
        let first = index * TILE_WIDTH;
        let width = u16::try_from(size.saturating_sub(first).min(TILE_WIDTH)).unwrap_or(256);
        (TileFile::Hashes { level: 0, index, width }, first)
    })
}

fn read_tile(source: &impl Source, file: TileFile) -> Option<Vec<u8>> {
    source.read(&file.path()).ok().flatten()
}

fn bundle(record: u64, size: u64) -> String {
    let index = record / TILE_WIDTH;
    let width = u16::try_from(size.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH)).unwrap_or(256);
    TileFile::Entries { index, width: width.max(1) }.path()
}

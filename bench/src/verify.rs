//! Verification of a published log: records a second, against what the machine's SHA-256 does on the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use daypass_journal::{AppendError, Entry, Journal, Lane, Options};
use daypass_ledger::note::Signer;
use daypass_ledger::source::Source;
use daypass_ledger::tree::leaf_hash;
use daypass_ledger::verify::{self, Sidecars};

use crate::Outcome;
use crate::fdatasync::now;

const RECORDS: u64 = 1_000_000;
const RECORD_LEN: usize = 300;
const ROUNDS: usize = 3;

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

/// Writes a log of a million records and verifies it.
pub(crate) fn run(dir: &Path) -> Outcome {
    let signer = Signer::new("bench.example/log", &rand::random())?;
    let key = signer.verifier_key();
    let dir = dir.join("log");
    let start = now();
    write(&dir, signer)?;
    println!(
        "verify: a log of {RECORDS} records of {RECORD_LEN} bytes, written in {:.1} s\n",
        start.elapsed().as_secs_f64()
    );
    let cores = std::thread::available_parallelism()?;
    let source = Folder(dir);
    for threads in [NonZeroUsize::MIN, cores] {
        let options = verify::Options { threads, erased: BTreeSet::new(), sidecars: Sidecars::Required };
        for _ in 0..ROUNDS {
            let sha = sha256_bytes_per_s();
            let start = now();
            let report = verify::verify(&source, &key, &options, &mut ())?;
            let seconds = start.elapsed().as_secs_f64();
            let bytes_per_core = report.leaf_bytes as f64 / seconds / threads.get() as f64;
            println!(
                "{threads} threads  {:>9.0} records/s   {:.2} of one core's SHA-256 ({:.0} MB/s on such records) per thread   {} MB resident",
                RECORDS as f64 / seconds,
                bytes_per_core / sha,
                sha / 1e6,
                resident_mb(),
            );
        }
    }
    println!("\n  (targets: at least 1000000 records/s on 2 cores, and 0.5 of one core's SHA-256 per core)");
    Ok(())
}

fn write(dir: &Path, signer: Signer) -> Outcome {
    let (journal, _) = Journal::open(Options::new(dir, signer), || 0)?;
    for _ in 0..RECORDS {
        let leaf = vec![b'x'; RECORD_LEN];
        while let Err(error) = journal.append(Lane::Intent, Entry { leaf: leaf.clone(), sidecar: None }) {
            match error {
                AppendError::Busy | AppendError::NoSpace => std::thread::yield_now(),
                AppendError::TooLong { .. } | AppendError::Closed => return Err(error.into()),
            }
        }
    }
    journal.close();
    Ok(())
}

/// Bytes of records that one thread hashes in a second.
fn sha256_bytes_per_s() -> f64 {
    const COUNT: u32 = 300_000;
    let mut record = vec![b'x'; RECORD_LEN];
    let start = now();
    for _ in 0..COUNT {
        let hash = leaf_hash(&record);
        if let (Some(first), [byte, ..]) = (record.first_mut(), hash.0) {
            *first = byte;
        }
    }
    f64::from(COUNT) * RECORD_LEN as f64 / start.elapsed().as_secs_f64()
}

/// Memory the process holds, megabytes; 0 where that cannot be known.
fn resident_mb() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages =
        pages.as_deref().and_then(|text| text.split(' ').nth(1)).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096 / 1_000_000
}

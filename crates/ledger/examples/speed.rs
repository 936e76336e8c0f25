//! Measures verification and sealing: `cargo run --release -p daypass-ledger --example speed [records]`.
//!
//! The log is in memory, so this is the cost of hashing and checking, not of the disk. Prints records a second, the share of
//! one core's SHA-256 speed that each core reaches, and nanoseconds for each sealing.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: it reads the clock and prints"
)]

use std::{collections::HashMap, error::Error, hint::black_box, num::NonZeroUsize, time::Instant};

use daypass_ledger::{
    bundle::{push_entry, push_sidecar},
    note::Signer,
    sealed::{Fresh, Sealer, SubjectKey},
    source::CHECKPOINT,
    tile::{TileFile, width_of},
    tree::{Tree, leaf_hash},
    verify::{Options, verify},
};
use sha2::{Digest, Sha256};

const LEAF_LEN: usize = 300;

type Files = HashMap<String, Vec<u8>>;

fn main() -> Result<(), Box<dyn Error>> {
    let records = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let sha_bytes_per_s = sha256_speed();
    println!("SHA-256 on one core: {:.0} MB/s", sha_bytes_per_s / 1e6);
    let signer = Signer::new("example.com/log", &[7; 32])?;
    for sealed in [false, true] {
        let files = publish(&signer, records, sealed)?;
        for threads in [1, 2] {
            let options =
                Options { threads: NonZeroUsize::new(threads).ok_or("no threads")?, ..Options::default() };
            let (started, started_ns) = (Instant::now(), process_cpu_ns()?);
            let report = verify(&files, &signer.verifier_key(), &options, &mut ())?;
            let seconds = started.elapsed().as_secs_f64();
            let rate = seconds_to_rate(report.checkpoint.size, seconds);
            let kind = if sealed { "with sidecars" } else { "plain" };
            let hashed = rate * 1e-6 * LEAF_LEN as f64;
            let cpu_ns = (process_cpu_ns()? - started_ns) / records.max(1);
            println!(
                "verify {kind}, {threads} workers: {rate:.0} records/s, {hashed:.0} MB/s, {cpu_ns} ns of CPU time each"
            );
        }
    }
    seal()
}

fn sha256_speed() -> f64 {
    let block = vec![0x5a; 1 << 20];
    let started = Instant::now();
    for _ in 0..512 {
        black_box(Sha256::digest(black_box(&block)));
    }
    512.0 * 1_048_576.0 / started.elapsed().as_secs_f64()
}

fn seal() -> Result<(), Box<dyn Error>> {
    let sealer = Sealer::new("bob", &SubjectKey([1; 32]))?;
    let (text, params) = ([b'a'; 100], [b'b'; 100]);
    let rounds = 200_000u64;
    let mut json = Vec::new();
    let started_ns = cpu_ns()?;
    for round in 0..rounds {
        let sealed = sealer.seal(&[("text", &text), ("params", &params)], fresh(round))?;
        json.clear();
        sealed.write_json(&mut json);
        black_box((&sealed, &json));
    }
    println!("seal 2 fields of 100 bytes: {} ns of CPU time", (cpu_ns()? - started_ns) / rounds);
    Ok(())
}

/// CPU time of this thread, so that other work on the machine does not count (Linux).
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().ok_or("no schedstat")?.parse()?)
}

/// CPU time of all threads, living and ended, to 10 ms (Linux).
fn process_cpu_ns() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = text.rsplit_once(')').ok_or("no stat")?.1;
    let mut ticks = after_name.split_whitespace().skip(11).take(2);
    let (user, system) = (ticks.next().ok_or("no stat")?, ticks.next().ok_or("no stat")?);
    Ok((user.parse::<u64>()? + system.parse::<u64>()?) * 10_000_000)
}

fn fresh(number: u64) -> Fresh {
    let mut random = [0x5e; 56];
    random.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, counter)| *byte = counter);
    Fresh::new(random)
}

/// Publishes a log in memory. Only verification is measured, so this may be slow.
fn publish(signer: &Signer, records: u64, sealed: bool) -> Result<Files, Box<dyn Error>> {
    let sealer = Sealer::new("bob", &SubjectKey([1; 32]))?;
    let mut files = Files::new();
    let mut tree = Tree::new();
    let mut levels = vec![Vec::new()];
    for index in 0..records.div_ceil(256) {
        let width = width_of(index, records);
        let (mut tile, mut entries, mut sidecars) = (Vec::new(), Vec::new(), Vec::new());
        for slot in 0..u64::from(width) {
            let number = index * 256 + slot;
            let mut leaf = format!(r#"{{"v":1,"seq":{number}"#).into_bytes();
            let mut sidecar = None;
            if sealed {
                let made = sealer.seal(&[("text", &[b'a'; 100]), ("params", &[b'b'; 100])], fresh(number))?;
                leaf.extend(br#","sealed":"#);
                made.write_json(&mut leaf);
                sidecar = Some(made.sidecar);
            } else {
                leaf.extend(br#","pad":""#);
                leaf.resize(LEAF_LEN - 2, b'x');
                leaf.push(b'"');
            }
            leaf.push(b'}');
            push_entry(&mut entries, &leaf)?;
            push_sidecar(&mut sidecars, sidecar.as_deref())?;
            tile.push(leaf_hash(&leaf));
            tree.push(leaf_hash(&leaf));
        }
        files.insert(TileFile::Entries { index, width }.path(), entries);
        if sealed {
            files.insert(TileFile::Sidecar { index, width }.path(), sidecars);
        }
        if let Some(level) = levels.first_mut() {
            level.push(tile);
        }
    }
    let mut level = 0;
    while let Some(tiles) = levels.get(level).cloned() {
        let mut roots = Vec::new();
        for (index, tile) in (0..).zip(&tiles) {
            let width = u16::try_from(tile.len())?;
            let file = TileFile::Hashes { level: u8::try_from(level)?, index, width };
            files.insert(file.path(), tile.iter().flat_map(|hash| hash.0).collect());
            if width == 256 {
                let mut root = Tree::new();
                tile.iter().for_each(|hash| root.push(*hash));
                roots.push(root.root());
            }
        }
        if !roots.is_empty() {
            levels.push(roots.chunks(256).map(<[_]>::to_vec).collect());
        }
        level += 1;
    }
    files.insert(CHECKPOINT.to_owned(), signer.checkpoint(&signer.sign_head(records, tree.root())));
    Ok(files)
}

fn seconds_to_rate(records: u64, seconds: f64) -> f64 {
    records as f64 / seconds
}

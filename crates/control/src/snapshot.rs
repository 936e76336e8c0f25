//! The snapshot file: the state at one size of the log, so that a start folds only the rest.
//!
//! Six lines of text, then the state: `daypass snapshot 1`, origin, size, frontier (hex hashes, comma between), SHA-256 of
//! the state (hex), signature of the lines above by the log's key (hex). SECURITY: without the signature somebody with
//! the disk could give themselves access that no record explains. With it, and with the root of the log rebuilt from the
//! frontier and the records after it, a snapshot is believed only if it belongs to exactly this log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use daypass_access::state::State;
use daypass_journal::Journal;
use daypass_ledger::note::{Signer, VerifierKey};
use daypass_ledger::tree::{Hash, Tree, leaf_hash};
use sha2::{Digest, Sha256};

/// Longest snapshot read, in bytes.
const LEN_MAX: u64 = 8 << 30;
const FIRST_LINE: &str = "daypass snapshot 1";
/// Records read at once while the tree is built.
const READ_MAX: usize = 4096;

fn path(dir: &Path) -> PathBuf {
    dir.join("snapshot")
}

/// Writes the snapshot, replacing the one before.
pub(crate) fn write(dir: &Path, signer: &Signer, journal: &Journal, state: &State) -> io::Result<()> {
    let tree = tree_at(dir, signer, journal, state.size())?;
    let body = state.to_snapshot();
    let frontier: Vec<String> = tree.frontier().iter().map(|hash| hex::encode(hash.0)).collect();
    let head = format!(
        "{FIRST_LINE}\n{}\n{}\n{}\n{}\n",
        signer.name(),
        state.size(),
        frontier.join(","),
        hex::encode(Sha256::digest(&body)),
    );
    let signature = hex::encode(signer.sign(head.as_bytes()));
    let temporary = path(dir).with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(head.as_bytes())?;
    file.write_all(signature.as_bytes())?;
    file.write_all(b"\n")?;
    file.write_all(&body)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path(dir))?;
    File::open(dir)?.sync_all()
}

/// The tree of the first `size` records: from the snapshot before, so that only what is new is hashed.
fn tree_at(dir: &Path, signer: &Signer, journal: &Journal, size: u64) -> io::Result<Tree> {
    let before = read_head(dir, &signer.verifier_key()).ok().flatten();
    let mut tree = before.map(|(_, tree, _)| tree).filter(|tree| tree.size() <= size).unwrap_or_default();
    while tree.size() < size {
        let left = usize::try_from(size - tree.size()).unwrap_or(READ_MAX).min(READ_MAX);
        let records = journal.read(tree.size(), left)?;
        if records.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for record in records {
            tree.push(leaf_hash(&record.leaf));
        }
    }
    Ok(tree)
}

/// A snapshot whose signature holds. Whether it belongs to the log is for the caller to see, by the tree.
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) tree: Tree,
}

/// Reads the snapshot: `None` when there is none.
pub(crate) fn read(dir: &Path, key: &VerifierKey) -> Result<Option<Snapshot>, &'static str> {
    let Some((body, tree, sha256)) = read_head(dir, key)? else { return Ok(None) };
    if hex::encode(Sha256::digest(&body)) != sha256 {
        return Err("the state is not the one that was signed");
    }
    let state = State::from_snapshot(&body).map_err(|_| "the state cannot be read")?;
    if state.size() != tree.size() {
        return Err("the state is of another size");
    }
    Ok(Some(Snapshot { state, tree }))
}

type Head = (Vec<u8>, Tree, String);

fn read_head(dir: &Path, key: &VerifierKey) -> Result<Option<Head>, &'static str> {
    let file = match File::open(path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err("the file cannot be opened"),
    };
    let mut bytes = Vec::new();
    file.take(LEN_MAX).read_to_end(&mut bytes).map_err(|_| "the file cannot be read")?;
    let mut lines = bytes.splitn(7, |byte| *byte == b'\n');
    let mut line = || lines.next().and_then(|line| std::str::from_utf8(line).ok()).ok_or("a line is missing");
    let (first, origin, size, frontier, sha256, signature) =
        (line()?, line()?, line()?, line()?, line()?, line()?);
    let mut signed = [0; 64];
    hex::decode_to_slice(signature, &mut signed).map_err(|_| "the signature is malformed")?;
    let head = format!("{first}\n{origin}\n{size}\n{frontier}\n{sha256}\n");
    if first != FIRST_LINE || origin != key.name() || !key.signed(head.as_bytes(), &signed) {
        return Err("the signature is wrong");
    }
    let size = size.parse().map_err(|_| "the size is malformed")?;
    let hashes: Option<Vec<Hash>> = frontier.split(',').filter(|hash| !hash.is_empty()).map(hash).collect();
    let tree =
        hashes.and_then(|hashes| Tree::from_frontier(size, hashes)).ok_or("the frontier is malformed")?;
    let (sha256, body) = (sha256.to_owned(), lines.next().unwrap_or_default().to_vec());
    Ok(Some((body, tree, sha256)))
}

fn hash(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Hash(bytes))
}

//! Forges logs the way an attacker would: without keys (a byte, a tail), and with all keys (edit, then sign again).

use std::fs;
use std::path::{Path, PathBuf};

use daypass_ledger::bundle;
use daypass_ledger::note::Signer;
use daypass_ledger::source::Source;
use daypass_ledger::tile::{TILE_WIDTH, TileFile};
use daypass_ledger::tree::{Hash, Tree, leaf_hash};
use daypass_vault::{MasterKey, Vault, namespace};

use crate::trouble::Trouble;

/// A log read into memory. The demo's logs are short.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    pub(crate) leaves: Vec<Vec<u8>>,
    sidecars: Vec<Option<Vec<u8>>>,
}

impl Forged {
    /// Reads a published log.
    pub(crate) fn read(log: &Path) -> Result<Self, Trouble> {
        let size = size(log)?;
        let mut forged = Self { leaves: Vec::new(), sidecars: Vec::new() };
        for (index, width) in bundles(size) {
            let entries = read(log, TileFile::Entries { index, width })?.unwrap_or_default();
            for entry in bundle::entries(&entries) {
                forged.leaves.push(entry.map_err(|error| broken(log, &error.to_string()))?.to_vec());
            }
            let Some(sidecars) = read(log, TileFile::Sidecar { index, width })? else {
                forged.sidecars.resize(forged.leaves.len(), None);
                continue;
            };
            for sidecar in bundle::sidecars(&sidecars) {
                forged
                    .sidecars
                    .push(sidecar.map_err(|error| broken(log, &error.to_string()))?.map(<[u8]>::to_vec));
            }
        }
        Ok(forged)
    }

    /// Forgets everything from `size` on.
    pub(crate) fn cut(&mut self, size: usize) {
        self.leaves.truncate(size);
        self.sidecars.truncate(size);
    }

    /// Publishes it in place of the log in `log`, with every hash and signature right.
    pub(crate) fn publish(&self, log: &Path, signer: &Signer) -> Result<(), Trouble> {
        for name in ["tile", "sidecar", "wal"] {
            let path = log.join(name);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(Trouble::file(&path, "remove"))?;
            }
        }
        let size = u64::try_from(self.leaves.len()).unwrap_or(u64::MAX);
        for (index, width) in bundles(size) {
            let from = usize::try_from(index * TILE_WIDTH).unwrap_or(usize::MAX);
            let to = from + usize::from(width);
            let (mut entries, mut sidecars) = (Vec::new(), Vec::new());
            for (leaf, sidecar) in self.leaves.iter().zip(&self.sidecars).take(to).skip(from) {
                bundle::push_entry(&mut entries, leaf).map_err(|error| broken(log, &error.to_string()))?;
                bundle::push_sidecar(&mut sidecars, sidecar.as_deref())
                    .map_err(|error| broken(log, &error.to_string()))?;
            }
            write(log, TileFile::Entries { index, width }, &entries)?;
            write(log, TileFile::Sidecar { index, width }, &sidecars)?;
        }
        let leaves: Vec<Hash> = self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let root = root_of(&leaves);
        let mut hashes = leaves;
        for level in 0.. {
            if hashes.is_empty() {
                break;
            }
            let mut above = Vec::new();
            for (index, tile) in (0..).zip(hashes.chunks(256)) {
                let width = u16::try_from(tile.len()).unwrap_or(256);
                let bytes: Vec<u8> = tile.iter().flat_map(|hash| hash.0).collect();
                write(log, TileFile::Hashes { level, index, width }, &bytes)?;
                if width == 256 {
                    above.push(root_of(tile));
                }
            }
            hashes = above;
        }
        let path = log.join("checkpoint");
        fs::write(&path, signer.checkpoint(&signer.sign_head(size, root)))
            .map_err(Trouble::file(path, "write"))
    }
}

fn root_of(hashes: &[Hash]) -> Hash {
    let mut tree = Tree::new();
    hashes.iter().for_each(|hash| tree.push(*hash));
    tree.root()
}

/// The key that the log is signed with, taken from the vault as the operator could.
pub(crate) fn signer(gateway: &Path, origin: &str) -> Result<Signer, Trouble> {
    let fail =
        |what: &str| Trouble::program(format!("the forger has no key: {what}"), "this is a mistake of ours");
    let key = MasterKey::read(&gateway.join("master.key")).map_err(|error| fail(&error.to_string()))?;
    let vault = Vault::open(&gateway.join("data/vault"), key).map_err(|error| fail(&error.to_string()))?;
    let seed = vault.get(namespace::LOG_KEY, origin).ok_or_else(|| fail("it is not in the vault"))?;
    let seed: [u8; 32] = seed.expose().try_into().map_err(|_| fail("it has another length"))?;
    Signer::new(origin, &seed).map_err(|error| fail(&error.to_string()))
}

/// Changes one byte in the middle of record `index`; gives the file.
pub(crate) fn flip(log: &Path, record: u64) -> Result<String, Trouble> {
    let size = size(log)?;
    let index = record / TILE_WIDTH;
    let width = width(size, index);
    let file = TileFile::Entries { index, width };
    let mut bytes = read(log, file)?.unwrap_or_default();
    let mut at = 0_usize;
    for (number, entry) in (index * TILE_WIDTH..).zip(bundle::entries(&bytes)) {
        let len = entry.map_err(|error| broken(log, &error.to_string()))?.len();
        if number == record {
            at += 2 + len / 2;
            break;
        }
        at += 2 + len;
    }
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    write(log, file, &bytes)?;
    Ok(file.path())
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(to).map_err(Trouble::file(to, "make the folder"))?;
    for entry in fs::read_dir(from).map_err(Trouble::file(from, "read the folder"))? {
        let path = entry.map_err(Trouble::file(from, "read the folder"))?.path();
        let target: PathBuf = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(Trouble::file(&path, "copy"))?;
        }
    }
    Ok(())
}

/// Records that the checkpoint of a log says it has.
pub(crate) fn size(log: &Path) -> Result<u64, Trouble> {
    let path = log.join("checkpoint");
    let text = fs::read_to_string(&path).map_err(Trouble::file(&path, "read"))?;
    text.lines()
        .nth(1)
        .and_then(|size| size.parse().ok())
        .ok_or_else(|| broken(log, "its checkpoint has no size"))
}

fn bundles(size: u64) -> impl Iterator<Item = (u64, u16)> {
    (0..size.div_ceil(TILE_WIDTH)).map(move |index| (index, width(size, index)))
}

fn width(size: u64, index: u64) -> u16 {
    u16::try_from(size.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH)).unwrap_or(256)
}

fn read(log: &Path, file: TileFile) -> Result<Option<Vec<u8>>, Trouble> {
    let source = crate::commands::Folder(log.to_owned());
    source.read(&file.path()).map_err(Trouble::file(log.join(file.path()), "read"))
}

fn write(log: &Path, file: TileFile, bytes: &[u8]) -> Result<(), Trouble> {
    let path = log.join(file.path());
    let folder = path.parent().unwrap_or(log);
    fs::create_dir_all(folder).map_err(Trouble::file(folder, "make the folder"))?;
    fs::write(&path, bytes).map_err(Trouble::file(&path, "write"))
}

fn broken(log: &Path, why: &str) -> Trouble {
    Trouble::program(
        format!("the log `{}` cannot be forged: {why}", log.display()),
        "this is a mistake of ours",
    )
}

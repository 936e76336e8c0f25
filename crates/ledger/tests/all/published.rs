//! A published log in memory, made the plain way: every tile is hashed from the definition.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use daypass_ledger::{
    bundle::{push_entry, push_sidecar},
    note::{Signer, VerifierKey},
    sealed::{Fresh, Sealer, SubjectKey},
    source::CHECKPOINT,
    tile::{TileFile, grown_bundles, grown_sidecars, hash_tiles},
    tree::{Hash, Tree, leaf_hash},
    verify::{Observer, Options, Record, Report, VerifyError, verify},
};

/// Every third record seals two fields for `bob`.
pub(crate) const SEALED_EVERY: u64 = 3;

pub(crate) struct Published {
    pub(crate) files: HashMap<String, Vec<u8>>,
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) sidecars: Vec<Option<Vec<u8>>>,
    pub(crate) signer: Signer,
}

/// A log with tiles at three levels, made once.
pub(crate) static LARGE: LazyLock<Published> = LazyLock::new(|| Published::new(66_000));

pub(crate) fn bob() -> SubjectKey {
    SubjectKey([0xb0; 32])
}

impl Published {
    pub(crate) fn new(size: u64) -> Self {
        let sealer = Sealer::new("bob", &bob()).unwrap();
        let (mut leaves, mut sidecars) = (Vec::new(), Vec::new());
        for index in 0..size {
            let mut leaf = format!(r#"{{"v":1,"kind":"test","seq":{index}"#).into_bytes();
            let mut sidecar = None;
            if index % SEALED_EVERY == 0 {
                let mut random = [0x5e; 56];
                random[..8].copy_from_slice(&index.to_be_bytes());
                let text = format!("SELECT {index}");
                let sealed =
                    sealer.seal(&[("text", text.as_bytes()), ("params", b"[]")], Fresh::new(random)).unwrap();
                leaf.extend(br#","sealed":"#);
                sealed.write_json(&mut leaf);
                sidecar = Some(sealed.sidecar);
            }
            leaf.push(b'}');
            leaves.push(leaf);
            sidecars.push(sidecar);
        }
        let signer = Signer::new("example.com/log", &[7; 32]).unwrap();
        let mut published = Self { files: HashMap::new(), leaves, sidecars, signer };
        published.publish();
        published
    }

    /// Writes all files of the present records and signs.
    pub(crate) fn publish(&mut self) {
        let size = self.leaves.len() as u64;
        self.files.clear();
        let files =
            hash_tiles(size).chain(grown_bundles(0, size)).chain(grown_sidecars(0, size)).collect::<Vec<_>>();
        for file in files {
            let mut bytes = Vec::new();
            match file {
                TileFile::Hashes { level, index, width } => {
                    let each = 256usize.pow(u32::from(level));
                    for slot in 0..usize::from(width) {
                        let from = (at(index) * 256 + slot) * each;
                        bytes.extend(root_of(&self.leaves[from..from + each]).0);
                    }
                }
                TileFile::Entries { index, width } => self.leaves[at(index) * 256..][..usize::from(width)]
                    .iter()
                    .for_each(|leaf| push_entry(&mut bytes, leaf).unwrap()),
                TileFile::Sidecar { index, width } => self.sidecars[at(index) * 256..][..usize::from(width)]
                    .iter()
                    .for_each(|sidecar| push_sidecar(&mut bytes, sidecar.as_deref()).unwrap()),
            }
            self.files.insert(file.path(), bytes);
        }
        self.sign(size, root_of(&self.leaves));
    }

    pub(crate) fn sign(&mut self, size: u64, root: Hash) {
        let checkpoint = self.signer.checkpoint(&self.signer.sign_head(size, root));
        self.files.insert(CHECKPOINT.to_owned(), checkpoint);
    }

    pub(crate) fn key(&self) -> VerifierKey {
        self.signer.verifier_key()
    }

    pub(crate) fn verify(&self) -> Result<Report, VerifyError> {
        verify(&self.files, &self.key(), &options(), &mut ())
    }
}

pub(crate) fn options() -> Options {
    Options { threads: 2.try_into().unwrap(), ..Options::default() }
}

pub(crate) fn erased(subject: &str) -> Options {
    Options { erased: BTreeSet::from([subject.to_owned()]), ..options() }
}

pub(crate) fn root_of(leaves: &[Vec<u8>]) -> Hash {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
    tree.root()
}

/// Keeps what it is shown.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) records: Vec<(u64, Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) progress: Vec<u64>,
}

impl Observer for Seen {
    fn record(&mut self, record: Record<'_>) {
        self.records.push((record.index, record.leaf.to_vec(), record.sidecar.map(<[u8]>::to_vec)));
    }

    fn progress(&mut self, done: u64, _size: u64) {
        self.progress.push(done);
    }
}

/// An index into the vectors above.
fn at(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

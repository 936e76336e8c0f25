//! Offline proofs of single records (C2SP tlog-proof, `.tlog-proof`): index, inclusion proof and signed checkpoint in one text.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{NOTE_LEN_MAX, Note, VerifierKey},
    proof::{PROOF_LEN_MAX, ProofError, verify_inclusion},
    tree::{Hash, leaf_hash},
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Longest extra data, bytes.
pub const EXTRA_LEN_MAX: usize = 64 << 10;

/// A proof as read: nothing in it is trusted before [`TlogProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data for the application; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// Position of the record in its log.
    pub index: u64,
    /// Inclusion proof, the sibling of the leaf first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: Vec<u8>,
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`TlogProofError::Form`] says what is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        let len_max = NOTE_LEN_MAX + 2 * EXTRA_LEN_MAX + PROOF_LEN_MAX * 45;
        let text = std::str::from_utf8(bytes).ok().filter(|_| bytes.len() <= len_max);
        let text = text.ok_or(TlogProofError::Form("it is too long or not UTF-8"))?;
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(TlogProofError::Form("the checkpoint is missing"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(TlogProofError::Form("the first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                lines.next();
                let extra = STANDARD.decode(extra).ok().filter(|extra| extra.len() <= EXTRA_LEN_MAX);
                Some(extra.ok_or(TlogProofError::Form("the extra data is too long or not base64"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(TlogProofError::Form("the index line is missing or malformed"))?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok()).map(Hash);
        let hashes: Option<Vec<_>> = lines.map(hash).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= PROOF_LEN_MAX);
        let hashes = hashes.ok_or(TlogProofError::Form("a proof line is not the base64 of 32 bytes"))?;
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.as_bytes().to_vec() })
    }

    /// Verifies that `leaf` is record [`TlogProof::index`] of the log of `key`; returns the head and its note, whose
    /// cosignatures are for `policy.rs`.
    ///
    /// # Errors
    /// [`TlogProofError`] says what does not hold.
    pub fn verify(&self, leaf: &[u8], key: &VerifierKey) -> Result<(Checkpoint, Note), TlogProofError> {
        let (checkpoint, note) =
            Checkpoint::open(&self.checkpoint, key).map_err(TlogProofError::Checkpoint)?;
        verify_inclusion(self.index, leaf_hash(leaf), checkpoint.size, checkpoint.root, &self.hashes)
            .map_err(TlogProofError::Proof)?;
        Ok((checkpoint, note))
    }
}

/// The proof's text.
impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.0)))?;
        write!(f, "\n{}", String::from_utf8_lossy(&self.checkpoint))
    }
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

/// A proof that cannot be read or does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlogProofError {
    /// Not a tlog-proof; says why.
    Form(&'static str),
    /// The checkpoint is malformed, of another log, or not signed by it.
    Checkpoint(CheckpointError),
    /// The record is not at that position under the checkpoint.
    Proof(ProofError),
}

impl fmt::Display for TlogProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => write!(f, "not a tlog-proof: {why}"),
            Self::Checkpoint(error) => error.fmt(f),
            Self::Proof(error) => write!(f, "the record is not proven: {error}"),
        }
    }
}

impl std::error::Error for TlogProofError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{note::Signer, proof::inclusion, tree::Tree};

    fn proof(extra: Option<Vec<u8>>) -> (TlogProof, VerifierKey) {
        let leaf = |_: u8, index: u64| {
            Ok::<_, std::convert::Infallible>(leaf_hash(&[b'0', u8::try_from(index).unwrap()]))
        };
        let mut tree = Tree::new();
        (0..3).for_each(|index| tree.push(leaf(0, index).unwrap()));
        let hashes = inclusion(2, 3, |level, index| {
            if level == 0 { leaf(0, index) } else { Ok(crate::tree::node_hash(&leaf(0, 0)?, &leaf(0, 1)?)) }
        });
        let signer = Signer::new("example.com/log", &[7; 32]).unwrap();
        let checkpoint = signer.checkpoint(&signer.sign_head(3, tree.root()));
        (TlogProof { extra, index: 2, hashes: hashes.unwrap(), checkpoint }, signer.verifier_key())
    }

    #[test]
    fn reads_back_and_verifies() {
        for extra in [None, Some(b"opened".to_vec())] {
            let (proof, key) = proof(extra);
            let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(b"0\x02", &key).unwrap().0.size, 3);
            assert_eq!(read.verify(b"0\x01", &key), Err(TlogProofError::Proof(ProofError::Root)));
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (proof, key) = proof(None);
        let text = proof.to_string().into_bytes();
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] ^= 1;
            assert!(
                TlogProof::parse(&bad).and_then(|proof| proof.verify(b"0\x02", &key)).is_err(),
                "byte {at}"
            );
            let cut = TlogProof::parse(&text[..at]).and_then(|proof| proof.verify(b"0\x02", &key));
            assert!(cut.is_err(), "cut at {at}");
        }
    }

    #[test]
    fn malformed_proofs() {
        let text = proof(None).0.to_string();
        for bad in [
            text.replace("@v1", "@v2"),
            text.replace("index 2", "index 02"),
            text.replace("index 2", "index -2"),
            text.replace("index 2\n", ""),
            text.replace("index 2", "extra !\nindex 2"),
            text.replace("index 2", "index 2\nAAAA"),
            text.replace("\n\n", "\n"),
        ] {
            assert!(matches!(TlogProof::parse(bad.as_bytes()), Err(TlogProofError::Form(_))), "{bad}");
        }
    }
}

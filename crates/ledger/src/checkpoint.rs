//! Checkpoints (C2SP tlog-checkpoint): the signed statement "this log has so many records and this root".
//!
//! [`Signer::sign_head`] is the only place that makes a [`SignedHead`]; everything that claims durability starts there.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    note::{Note, NoteError, Signer, VerifierKey},
    receipt::SignedHead,
    tree::{EMPTY_ROOT, Hash},
};

/// What a checkpoint says, apart from who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree of `size` records.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a note text. Extension lines after the root are allowed and ignored.
    ///
    /// # Errors
    /// [`CheckpointError::Form`] says what is malformed.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form("origin, size and root are three lines"));
        };
        if lines.next().is_none() {
            return Err(CheckpointError::Form("the root line does not end in a newline"));
        }
        if origin.is_empty() {
            return Err(CheckpointError::Form("the origin is empty"));
        }
        let canonical =
            size.bytes().all(|byte| byte.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let size = size
            .parse()
            .ok()
            .filter(|_| canonical)
            .ok_or(CheckpointError::Form("the size is not a decimal number"))?;
        let root = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok()).map(Hash);
        let root = root.ok_or(CheckpointError::Form("the root is not the base64 of 32 bytes"))?;
        if size == 0 && root != EMPTY_ROOT {
            return Err(CheckpointError::Form("an empty log has another root"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Reads a signed checkpoint, verifies the log's signature and that its origin is the key's name.
    ///
    /// # Errors
    /// [`CheckpointError`] says what does not hold.
    pub fn open(bytes: &[u8], key: &VerifierKey) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        note.verify(key)?;
        let checkpoint = Self::parse_text(note.text())?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                expected: key.name().to_owned(),
            });
        }
        Ok((checkpoint, note))
    }
}

/// The note text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&head_text(&self.origin, self.size, self.root))
    }
}

fn head_text(origin: &str, size: u64, root: Hash) -> String {
    format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.0))
}

impl Signer {
    /// Signs the head of this signer's log: `size` records with root `root`.
    #[must_use]
    pub fn sign_head(&self, size: u64, root: Hash) -> SignedHead {
        SignedHead::new(size, root, self.sign(head_text(self.name(), size, root).as_bytes()))
    }

    /// The checkpoint file of a head that this signer signed.
    #[must_use]
    pub fn checkpoint(&self, head: &SignedHead) -> Vec<u8> {
        let text = head_text(self.name(), head.size(), head.root());
        format!("{text}\n{}", self.signature_line(head.signature())).into_bytes()
    }
}

impl VerifierKey {
    /// True when `signature` is this key's over the head (`size`, `root`) of the log of its name: what
    /// [`SignedHead::signature`] holds.
    #[must_use]
    pub fn signed_head(&self, size: u64, root: Hash, signature: &[u8; 64]) -> bool {
        self.signed(head_text(self.name(), size, root).as_bytes(), signature)
    }
}

/// A checkpoint that cannot be read or trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a signed note, or not signed by the log.
    Note(NoteError),
    /// Not a checkpoint; says why.
    Form(&'static str),
    /// The checkpoint of another log.
    Origin {
        /// The origin it names.
        found: String,
        /// The origin of the key.
        expected: String,
    },
}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => error.fmt(f),
            Self::Form(why) => write!(f, "not a checkpoint: {why}"),
            Self::Origin { found, expected } => {
                write!(f, "the checkpoint is of the log `{found}`, not of `{expected}`")
            }
        }
    }
}

impl std::error::Error for CheckpointError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    fn signer() -> Signer {
        Signer::new("example.com/log", &[7; 32]).unwrap()
    }

    #[test]
    fn signed_checkpoint_reads_back() {
        let signer = signer();
        let key = signer.verifier_key();
        let head = signer.sign_head(1, leaf_hash(b"a"));
        assert!(key.signed_head(1, leaf_hash(b"a"), head.signature()));
        assert!(!key.signed_head(2, leaf_hash(b"a"), head.signature()));
        let (checkpoint, note) = Checkpoint::open(&signer.checkpoint(&head), &key).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (1, leaf_hash(b"a")));
        assert_eq!(checkpoint.to_string(), note.text());
        assert_eq!(note.to_string().as_bytes(), signer.checkpoint(&head));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let signer = signer();
        let file = signer.checkpoint(&signer.sign_head(42, leaf_hash(b"a")));
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert!(Checkpoint::open(&bad, &signer.verifier_key()).is_err(), "byte {at}");
            assert!(Checkpoint::open(&file[..at], &signer.verifier_key()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_log_and_another_key() {
        let file = signer().checkpoint(&signer().sign_head(0, EMPTY_ROOT));
        let other = Signer::new("example.com/other", &[7; 32]).unwrap().verifier_key();
        assert_eq!(
            Checkpoint::open(&file, &other),
            Err(CheckpointError::Note(NoteError::Unsigned("example.com/other".into())))
        );
        // Signed by the right key, but naming another log.
        let signer = signer();
        let text = head_text("example.com/other", 0, EMPTY_ROOT);
        let note = format!("{text}\n{}", signer.signature_line(&signer.sign(text.as_bytes())));
        assert!(matches!(
            Checkpoint::open(note.as_bytes(), &signer.verifier_key()),
            Err(CheckpointError::Origin { .. })
        ));
    }

    #[test]
    fn malformed_texts() {
        let root = STANDARD.encode([1; 32]);
        for text in [
            "",
            "o\n",
            "o\n1\n",
            &format!("o\n1\n{root}"),
            &format!("\n1\n{root}\n"),
            &format!("o\n01\n{root}\n"),
            &format!("o\n+1\n{root}\n"),
            &format!("o\n-1\n{root}\n"),
            "o\n1\nAAAA\n",
            &format!("o\n0\n{root}\n"),
            &format!("o\n18446744073709551616\n{root}\n"),
            &format!("o\n\n{root}\n"),
        ] {
            assert!(Checkpoint::parse_text(text).is_err(), "{text:?}");
        }
        assert!(Checkpoint::parse_text(&format!("o\n1\n{root}\nextension\n")).is_ok());
    }
}

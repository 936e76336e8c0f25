//! Signed notes (C2SP signed-note): text, signature lines, Ed25519 keys and witness cosignatures.
//!
//! A note is worth nothing before [`Note::verify`] (or [`Note::cosignature`]) said whose it is. This file knows nothing of
//! what the text means; `checkpoint.rs` does.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// Longest note that is read, bytes: room for 16 post-quantum signatures.
pub const NOTE_LEN_MAX: usize = 128 << 10;

/// Most signature lines that are read.
pub const SIGNATURES_MAX: usize = 64;

const ED25519: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;
const ED25519_LEN: usize = 64;

/// A log's Ed25519 key with its name; signs notes. The key is wiped from memory when dropped.
pub struct Signer {
    name: String,
    key_id: [u8; 4],
    key: SigningKey,
}

impl Signer {
    /// Makes the signer called `name` from the 32-byte Ed25519 seed.
    ///
    /// # Errors
    /// [`KeyError::Name`] when the name is empty or holds spaces, `+` or control characters.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let key = SigningKey::from_bytes(seed);
        let key_id = key_id(name, ED25519, key.verifying_key().as_bytes());
        Ok(Self { name: name.to_owned(), key_id, key })
    }

    /// Name of the key, which is the origin of the checkpoints it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey {
            name: self.name.clone(),
            key_id: self.key_id,
            kind: KeyKind::Ed25519,
            key: self.key.verifying_key(),
        }
    }

    /// Signs `text` (Ed25519, 64 bytes). The text must end in a newline to become a note.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.key.sign(text).to_bytes()
    }

    /// The signature line, newline included, for a signature by [`Signer::sign`].
    #[must_use]
    pub fn signature_line(&self, signature: &[u8; 64]) -> String {
        SignatureLine { name: self.name.clone(), key_id: self.key_id, bytes: signature.to_vec() }.to_string()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Type `0x01`: Ed25519 over the note text.
    Ed25519,
    /// Type `0x04`: a witness's timestamped Ed25519 cosignature.
    CosignatureV1,
}

/// A public key that verifies notes: `name+hex8(key id)+base64(type || key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; 4],
    kind: KeyKind,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads the text form; the key id must match name and key.
    ///
    /// # Errors
    /// [`KeyError`] says which part does not hold.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        check_name(name)?;
        let mut stated_id = [0; 4];
        hex::decode_to_slice(id, &mut stated_id).map_err(|_| KeyError::Form)?;
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let (kind_byte, key) = bytes.split_first().ok_or(KeyError::Form)?;
        let kind = match *kind_byte {
            ED25519 => KeyKind::Ed25519,
            COSIGNATURE_V1 => KeyKind::CosignatureV1,
            other => return Err(KeyError::Kind(other)),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| KeyError::Key)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| KeyError::Key)?;
        if key.is_weak() {
            return Err(KeyError::Key);
        }
        let computed = key_id(name, *kind_byte, key.as_bytes());
        if computed != stated_id {
            return Err(KeyError::Id { stated: hex::encode(stated_id), computed: hex::encode(computed) });
        }
        Ok(Self { name: name.to_owned(), key_id: computed, kind, key })
    }

    /// Name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the hash of name, type and key.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// What the key signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// True when both wrap the same public key, whatever their names and types.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The same key as one that cosigns (type `0x04`), for witnesses.
    #[must_use]
    pub fn as_cosigner(&self) -> Self {
        let key_id = key_id(&self.name, COSIGNATURE_V1, self.key.as_bytes());
        Self { name: self.name.clone(), key_id, kind: KeyKind::CosignatureV1, key: self.key }
    }

    /// True when `signature` is this key's over exactly `message` (strict: no malleable or small-order forms).
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    fn made(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.key_id == self.key_id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![match self.kind {
            KeyKind::Ed25519 => ED25519,
            KeyKind::CosignatureV1 => COSIGNATURE_V1,
        }];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id), STANDARD.encode(bytes))
    }
}

/// A parsed note: nothing in it is trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: [u8; 4],
    /// The signature; its length depends on the key's type.
    pub bytes: Vec<u8>,
}

impl Note {
    /// Reads a note without verifying anything.
    ///
    /// # Errors
    /// [`NoteError::Form`] when the bytes are not a note, [`NoteError::Limit`] when it is too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_LEN_MAX {
            return Err(NoteError::Limit);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Form("it is not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Form("it holds a control character"));
        }
        let split =
            note.rfind("\n\n").ok_or(NoteError::Form("no empty line separates text and signatures"))?;
        let (text, lines) = note.split_at_checked(split + 1).unwrap_or_default();
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Form("the signatures do not end in a newline"))?;
        let signatures = lines.split('\n').map(SignatureLine::parse).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Limit);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, final newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every signature line, known keys or not.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Verifies that `key` (type Ed25519) signed the text.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] when there is no signature of this key, [`NoteError::Signature`] when there is a wrong one.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        if key.kind != KeyKind::Ed25519 {
            return Err(NoteError::Unsigned(key.name.clone()));
        }
        let mut found = false;
        for line in self.signatures.iter().filter(|line| key.made(line)) {
            let signature =
                line.bytes.as_slice().try_into().map_err(|_| NoteError::Signature(key.name.clone()))?;
            if !key.signed(self.text.as_bytes(), signature) {
                return Err(NoteError::Signature(key.name.clone()));
            }
            found = true;
        }
        if found { Ok(()) } else { Err(NoteError::Unsigned(key.name.clone())) }
    }

    /// Verifies the cosignature of witness `key` (type cosignature/v1) and returns its time, seconds since the epoch. The
    /// latest one counts when a witness signed more than once.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] when there is none by this key, [`NoteError::Signature`] when one is wrong.
    pub fn cosignature(&self, key: &VerifierKey) -> Result<u64, NoteError> {
        if key.kind != KeyKind::CosignatureV1 {
            return Err(NoteError::Unsigned(key.name.clone()));
        }
        let mut latest = None;
        for line in self.signatures.iter().filter(|line| key.made(line)) {
            let wrong = || NoteError::Signature(key.name.clone());
            let (time, signature) = line.bytes.split_first_chunk().ok_or_else(wrong)?;
            let signature: &[u8; ED25519_LEN] = signature.try_into().map_err(|_| wrong())?;
            let time_s = u64::from_be_bytes(*time);
            if i64::try_from(time_s).is_err() {
                return Err(wrong());
            }
            if !key.signed(cosigned_message(time_s, &self.text).as_bytes(), signature) {
                return Err(wrong());
            }
            latest = latest.max(Some(time_s));
        }
        latest.ok_or_else(|| NoteError::Unsigned(key.name.clone()))
    }
}

/// Writes the note back.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| write!(f, "{line}"))
    }
}

/// What a cosignature/v1 of a note with this text signs.
#[must_use]
pub fn cosigned_message(time_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

impl SignatureLine {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Form("a signature line is malformed");
        let (name, signature) =
            line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(malformed)?;
        check_name(name).map_err(|_| NoteError::Form("a key name is malformed"))?;
        let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Form("a signature is not base64"))?;
        let (key_id, bytes) = bytes.split_first_chunk().ok_or(NoteError::Form("a signature is too short"))?;
        if bytes.is_empty() {
            return Err(NoteError::Form("a signature is too short"));
        }
        Ok(Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.bytes);
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// Says whether `name` may name a key: not empty, no space, `+` or control character.
///
/// # Errors
/// [`KeyError::Name`] with the name.
pub fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if bad { Err(KeyError::Name(name.to_owned())) } else { Ok(()) }
}

fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut sha = Sha256::new();
    sha.update(name);
    sha.update([b'\n', kind]);
    sha.update(key);
    let [a, b, c, d, ..] = <[u8; 32]>::from(sha.finalize());
    [a, b, c, d]
}

/// A key or key name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not `name+hex8+base64`.
    Form,
    /// The name is empty or holds spaces, `+` or control characters.
    Name(String),
    /// The key type is not one that is understood.
    Kind(u8),
    /// The key bytes are not a usable Ed25519 key.
    Key,
    /// The key id does not belong to this name and key.
    Id {
        /// What the text says.
        stated: String,
        /// What name and key give.
        computed: String,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("a verifier key has the form name+keyid+key"),
            Self::Name(name) => write!(f, "`{name}` cannot name a key: it is empty or holds spaces or `+`"),
            Self::Kind(kind) => write!(f, "key type {kind:#04x} is not known"),
            Self::Key => f.write_str("the key is not a usable Ed25519 public key"),
            Self::Id { stated, computed } => {
                write!(f, "the key id is `{stated}`, but name and key give `{computed}`")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// A note that cannot be read or trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// Larger than is read.
    Limit,
    /// Not a note; says why.
    Form(&'static str),
    /// No signature of the key with this name and its id.
    Unsigned(String),
    /// The signature of the key with this name is wrong.
    Signature(String),
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit => write!(f, "more than {NOTE_LEN_MAX} bytes or {SIGNATURES_MAX} signatures"),
            Self::Form(why) => write!(f, "not a signed note: {why}"),
            Self::Unsigned(name) => write!(f, "not signed by `{name}`"),
            Self::Signature(name) => write!(f, "the signature of `{name}` does not match the text"),
        }
    }
}

impl std::error::Error for NoteError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Go's `golang.org/x/mod/sumdb/note`, where the format comes from.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn known_note() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(&key), Ok(()));
        assert_eq!(note.to_string(), NOTE);
        let seed = STANDARD.decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        let signer = Signer::new("PeterNeumann", seed[1..].try_into().unwrap()).unwrap();
        assert_eq!(signer.verifier_key(), key);
        let line = signer.signature_line(&signer.sign(note.text().as_bytes()));
        assert_eq!(format!("{}\n{line}", note.text()), NOTE);
    }

    #[test]
    fn unknown_signatures_are_ignored_and_wrong_ones_refused() {
        let key = VerifierKey::parse(KEY).unwrap();
        let other = Signer::new("PeterNeumann", &[1; 32]).unwrap();
        let with_other = format!("{NOTE}{}", other.signature_line(&[0; 64]));
        assert_eq!(Note::parse(with_other.as_bytes()).unwrap().verify(&key), Ok(()));
        let wrong = SignatureLine { name: "PeterNeumann".into(), key_id: key.key_id(), bytes: vec![0; 64] };
        let with_wrong = format!("{NOTE}{wrong}");
        assert_eq!(
            Note::parse(with_wrong.as_bytes()).unwrap().verify(&key),
            Err(NoteError::Signature("PeterNeumann".into()))
        );
        let unsigned = Note::parse(NOTE.as_bytes()).unwrap().verify(&other.verifier_key());
        assert_eq!(unsigned, Err(NoteError::Unsigned("PeterNeumann".into())));
        let many = format!("{NOTE}{}", other.signature_line(&[0; 64]).repeat(SIGNATURES_MAX));
        assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::Limit));
    }

    #[test]
    fn cosignature_binds_its_time() {
        let witness = Signer::new("witness.example/w", &[3; 32]).unwrap();
        let key = witness.verifier_key().as_cosigner();
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key.clone()));
        let text = "origin\n1\nroot\n";
        let line = |time_s: u64, signed_s: u64| {
            let mut bytes = time_s.to_be_bytes().to_vec();
            bytes.extend(witness.sign(cosigned_message(signed_s, text).as_bytes()));
            SignatureLine { name: key.name().to_owned(), key_id: key.key_id(), bytes }
        };
        let note = |lines: &[SignatureLine]| Note { text: text.into(), signatures: lines.to_vec() };
        assert_eq!(note(&[line(7, 7), line(9, 9)]).cosignature(&key), Ok(9));
        assert_eq!(note(&[line(8, 7)]).cosignature(&key), Err(NoteError::Signature(key.name().into())));
        assert_eq!(note(&[]).cosignature(&key), Err(NoteError::Unsigned(key.name().into())));
        assert!(note(&[line(7, 7)]).verify(&key).is_err());
        assert!(note(&[line(7, 7)]).cosignature(&witness.verifier_key()).is_err());
    }

    #[test]
    fn malformed_keys_and_notes() {
        for (text, error) in [
            ("a", KeyError::Form),
            ("PeterNeumann+c74f20a3+AR", KeyError::Form),
            (
                "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                KeyError::Name("Peter Neumann".into()),
            ),
            ("PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Kind(2)),
            ("PeterNeumann+c74f20a3+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KeyError::Key),
        ] {
            assert_eq!(VerifierKey::parse(text), Err(error), "{text}");
        }
        let other_name = KEY.replace("Peter", "Petra");
        assert!(matches!(VerifierKey::parse(&other_name), Err(KeyError::Id { .. })));
        for bad in [
            String::new(),
            NOTE.replace("\n\n", "\n"),
            NOTE.trim_end().to_owned(),
            NOTE.replace('\u{2014}', "-"),
            NOTE.replace("crypto", "cry\tpto"),
            format!("{NOTE}\n"),
            "text\n\n".to_owned(),
            "text\n\n\u{2014} name AAAA\n".to_owned(),
            "text\n\n\u{2014} na+me AAAAAAAA\n".to_owned(),
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Note::parse(&[0xff; 20]).is_err());
        assert_eq!(Note::parse(&vec![b'a'; NOTE_LEN_MAX + 1]), Err(NoteError::Limit));
    }
}

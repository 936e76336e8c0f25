//! Personal fields of a record: hiding commitments in the leaf, encrypted values beside it, erasable by destroying one key.
//!
//! SECURITY: the construction, exactly (version 1). `||` is concatenation, numbers are big-endian.
//!
//! Inputs: the subject's key `K` (32 random bytes, kept in the vault, destroyed to erase), fresh randomness per event: an event
//! key `E` (32 bytes) and a nonce `N` (24 bytes), the subject's handle `S`, and fields `(id, value)` with distinct ids of
//! `[a-z0-9_.-]`, 1 to 64 bytes.
//!
//! ```text
//! salt_f    = HKDF-SHA256-Expand(E, "salt " || id, 32)
//! commit_f  = HMAC-SHA256(salt_f, 0x01 || id || u64 len(value) || value)
//! A         = "daypass sealed v1" || 0x0A || S                        additional data
//! plaintext = E || for each field: u8 len(id) || id || u32 len(value) || value
//! payload   = XAES-256-GCM(key K, nonce N, A, plaintext)               tag included
//! sidecar   = 0x01 || N || payload
//! ```
//!
//! XAES-256-GCM (C2SP) is AES-256-GCM under a subkey that AES-CMAC derives from `K` and half of `N`: each event is encrypted under
//! its own key. The leaf ends with `"sealed":{"subject":S,"sha256":hex(SHA-256(sidecar)),"fields":{id:hex(commit_f),…}}}`.
//!
//! Why this holds:
//! - *Hiding*: without `E` a salt is indistinguishable from random, so a commitment tells nothing about its value, not even a
//!   guessed one. `E` is uniform, so HKDF needs no extract step (RFC 5869 section 3.3). *Binding*: by HMAC-SHA256's collision
//!   resistance under a published key; `0x01 || id || len || value` is read in one way only, because ids hold no zero byte and
//!   lengths stay below 2^24, so the length always starts with one.
//! - *One field opens alone*: `salt_f` and the value show `commit_f` to an outsider; the salts of other fields stay unknown.
//! - *Erasing*: `E` is kept nowhere but in the payload; without `K` neither it nor a value can be computed again. Leaves and tree
//!   hashes stay.
//! - *Nonces*: XAES takes 192-bit random nonces: one subject may have practically unlimited events. [`Fresh`] is consumed by value
//!   so that code cannot use one twice.
//! - *Changes*: `SHA-256(sidecar)` in the leaf lets a verifier without any key notice a changed sidecar; `A` ties a sidecar to its
//!   subject; opening checks every commitment, so AES-GCM's lack of key commitment gives nothing.
//! - Not hidden: the subject's handle, which fields exist, and the total length of their values.

use std::{fmt, sync::Arc};

use aes_gcm::{
    AeadInOut as _, Aes256Gcm, KeyInit as _,
    aes::{Aes256, cipher::BlockCipherEncrypt as _},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{bundle::SIDECAR_LEN_MAX, tree::Hash};

mod json;

pub use json::{SealedJson, sealed_in};

/// Longest value of one field, bytes.
pub const VALUE_LEN_MAX: usize = (1 << 24) - 1;

/// Most fields of one record.
pub const FIELDS_MAX: usize = 64;

/// Longest subject handle, bytes.
pub const SUBJECT_LEN_MAX: usize = 128;

const VERSION: u8 = 1;
const ID_LEN_MAX: usize = 64;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + NONCE_LEN;
const EVENT_KEY_LEN: usize = 32;
const CONTEXT: &str = "daypass sealed v1\n";

/// The key of one subject (a person): destroying it erases everything sealed for them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SubjectKey(pub [u8; 32]);

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// Randomness for sealing one record: 56 bytes from a cryptographic generator, used once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Fresh {
    event_key: [u8; EVENT_KEY_LEN],
    nonce: [u8; NONCE_LEN],
}

impl Fresh {
    /// Takes random bytes. SECURITY: they must come from a cryptographic generator and never be passed again.
    #[must_use]
    pub fn new(random: [u8; 56]) -> Self {
        let mut fresh = Self { event_key: [0; 32], nonce: [0; NONCE_LEN] };
        let random = Zeroizing::new(random);
        let (key, nonce) = random.split_at(32);
        fresh.event_key.copy_from_slice(key);
        fresh.nonce.copy_from_slice(nonce);
        fresh
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(..)")
    }
}

/// Seals and opens the fields of one subject; keep one per session, it holds the expanded key.
pub struct Sealer {
    subject: Arc<str>,
    /// `A` of the module documentation.
    context: Vec<u8>,
    cipher: Aes256,
    /// The CMAC subkey `K1` of XAES-256-GCM.
    subkey: Zeroizing<[u8; 16]>,
}

impl Sealer {
    /// Makes the sealer of `subject` (a handle, never a name) under its key.
    ///
    /// # Errors
    /// [`SealError::Subject`] when the handle is empty, longer than [`SUBJECT_LEN_MAX`] or not plain: ASCII letters, digits
    /// and punctuation without quote, backslash and braces.
    pub fn new(subject: &str, key: &SubjectKey) -> Result<Self, SealError> {
        check_subject(subject)?;
        let cipher = Aes256::new(&key.0.into());
        let mut block = [0; 16].into();
        cipher.encrypt_block(&mut block);
        let doubled = u128::from_be_bytes(block.into());
        let subkey = (doubled << 1) ^ if doubled >> 127 == 1 { 0x87 } else { 0 };
        let context = [CONTEXT.as_bytes(), subject.as_bytes()].concat();
        Ok(Self { subject: subject.into(), context, cipher, subkey: Zeroizing::new(subkey.to_be_bytes()) })
    }

    /// The subject's handle.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Seals `fields` (id, value) of one record.
    ///
    /// # Errors
    /// [`SealError`] when an id is malformed or repeated, or a limit is exceeded.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "consumed so that the same randomness cannot be used twice"
    )]
    pub fn seal<'id>(&self, fields: &[(&'id str, &[u8])], fresh: Fresh) -> Result<Sealed<'id>, SealError> {
        let payload_len = check_fields(fields)?;
        let mut sidecar = Vec::with_capacity(HEADER_LEN + EVENT_KEY_LEN + payload_len + TAG_LEN);
        sidecar.push(VERSION);
        sidecar.extend_from_slice(&fresh.nonce);
        sidecar.extend_from_slice(&fresh.event_key);
        let salts = Salts::new(&fresh.event_key);
        let mut commitments = Vec::with_capacity(fields.len());
        for (id, value) in fields {
            sidecar.push(u8::try_from(id.len()).map_err(|_| SealError::Length)?);
            sidecar.extend_from_slice(id.as_bytes());
            sidecar
                .extend_from_slice(&u32::try_from(value.len()).map_err(|_| SealError::Length)?.to_be_bytes());
            sidecar.extend_from_slice(value);
            commitments.push((*id, commitment(id, &salts.of(id), value)));
        }
        let (cipher, nonce) = self.event_cipher(&fresh.nonce);
        encrypt_tail(&cipher, nonce, &self.context, &mut sidecar, HEADER_LEN)?;
        let sha256 = Hash(Sha256::digest(&sidecar).into());
        Ok(Sealed { subject: Arc::clone(&self.subject), sidecar, sha256, commitments })
    }

    /// Opens a sidecar and checks it against what its leaf says: subject, hash and every commitment.
    ///
    /// # Errors
    /// [`OpenError`] says what does not hold.
    pub fn open(&self, leaf: &SealedJson, sidecar: &[u8]) -> Result<Vec<OpenedField>, OpenError> {
        if *leaf.subject != *self.subject {
            return Err(OpenError::Subject);
        }
        if Hash(Sha256::digest(sidecar).into()) != leaf.sha256 {
            return Err(OpenError::Changed);
        }
        let fields = self.decrypt(sidecar)?;
        let same = fields.len() == leaf.fields.len();
        let holds = |(field, (id, commitment)): (&OpenedField, &(String, Hash))| {
            field.id == *id && verify_commitment(id, &field.salt, &field.value, commitment)
        };
        if same && fields.iter().zip(&leaf.fields).all(holds) {
            Ok(fields)
        } else {
            Err(OpenError::Commitment)
        }
    }

    fn decrypt(&self, sidecar: &[u8]) -> Result<Vec<OpenedField>, OpenError> {
        let Some((VERSION, rest)) = sidecar.split_first().map(|(version, rest)| (*version, rest)) else {
            return Err(OpenError::Version);
        };
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Form)?;
        let (cipher, gcm_nonce) = self.event_cipher(nonce);
        let plaintext = decrypt(&cipher, gcm_nonce, &self.context, rest).ok_or(OpenError::Key)?;
        let (event_key, mut rest) = plaintext.split_first_chunk().ok_or(OpenError::Form)?;
        let salts = Salts::new(event_key);
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (id, value, after) = read_field(rest).ok_or(OpenError::Form)?;
            fields.push(OpenedField { id: id.to_owned(), salt: salts.of(id), value: value.to_vec() });
            rest = after;
        }
        Ok(fields)
    }

    /// The AES-256-GCM subkey and nonce that XAES-256-GCM derives for a 24-byte nonce (C2SP XAES-256-GCM, steps 3 to 6).
    fn event_cipher(&self, nonce: &[u8; NONCE_LEN]) -> (Aes256Gcm, [u8; 12]) {
        let (context, gcm_nonce) = nonce.split_at(12);
        let mut key = Zeroizing::new([0; 32]);
        for (half, counter) in key.chunks_exact_mut(16).zip([1, 2]) {
            let label = [0, counter, b'X', 0];
            let message = label.iter().chain(context);
            half.iter_mut().zip(message).zip(self.subkey.iter()).for_each(|((out, m), k)| *out = m ^ k);
            let mut block = [0; 16].into();
            AsMut::<[u8]>::as_mut(&mut block).copy_from_slice(half);
            self.cipher.encrypt_block(&mut block);
            half.copy_from_slice(&block);
        }
        let mut tail = [0; 12];
        tail.copy_from_slice(gcm_nonce);
        (Aes256Gcm::new(&(*key).into()), tail)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What sealing gives: the sidecar bytes and what the leaf has to say about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed<'id> {
    subject: Arc<str>,
    /// Goes beside the leaf.
    pub sidecar: Vec<u8>,
    sha256: Hash,
    commitments: Vec<(&'id str, Hash)>,
}

impl Sealed<'_> {
    /// Field ids and their commitments, in the order they were given.
    #[must_use]
    pub fn commitments(&self) -> &[(&str, Hash)] {
        &self.commitments
    }

    /// Appends the JSON object that is the leaf's last member, under the name `sealed`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let fields = self.commitments.iter().map(|(id, commitment)| (*id, commitment));
        json::write(out, &self.subject, &self.sha256, fields);
    }

    /// The same as a value that serializes to the same bytes.
    #[must_use]
    pub fn to_json(&self) -> SealedJson {
        let fields =
            self.commitments.iter().map(|(id, commitment)| ((*id).to_owned(), *commitment)).collect();
        SealedJson { subject: self.subject.as_ref().into(), sha256: self.sha256, fields }
    }
}

/// A field opened: with its salt it shows the commitment to anybody.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct OpenedField {
    /// Id of the field.
    pub id: String,
    /// Key of the commitment.
    pub salt: [u8; 32],
    /// The value.
    pub value: Vec<u8>,
}

impl fmt::Debug for OpenedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedField").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `HMAC-SHA256(salt, 0x01 || id || u64 len(value) || value)`.
#[must_use]
pub fn commitment(id: &str, salt: &[u8; 32], value: &[u8]) -> Hash {
    let mut mac = hmac_sha256(salt);
    mac.update(&[VERSION]);
    mac.update(id.as_bytes());
    mac.update(&(value.len() as u64).to_be_bytes());
    mac.update(value);
    Hash(mac.finalize().into_bytes().into())
}

/// True when `salt` and `value` open `commitment`.
#[must_use]
pub fn verify_commitment(id: &str, salt: &[u8; 32], value: &[u8], commitment: &Hash) -> bool {
    check_id(id).is_ok()
        && value.len() <= VALUE_LEN_MAX
        && self::commitment(id, salt, value).0.ct_eq(&commitment.0).into()
}

/// Derives the salts of one event.
struct Salts(Hkdf<Sha256>);

impl Salts {
    #[expect(clippy::expect_used, reason = "fails only for keys under 32 bytes")]
    fn new(event_key: &[u8; EVENT_KEY_LEN]) -> Self {
        Self(Hkdf::from_prk(event_key).expect("32 bytes are one block"))
    }

    #[expect(
        clippy::expect_used,
        reason = "fails only for outputs above 255 * 32 bytes; a zero salt must never come out"
    )]
    fn of(&self, id: &str) -> [u8; 32] {
        let mut salt = [0; 32];
        self.0.expand_multi_info(&[b"salt ", id.as_bytes()], &mut salt).expect("32 bytes are one block");
        salt
    }
}

fn hmac_sha256(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    let (head, _) = block.split_at_mut(32);
    head.copy_from_slice(key);
    Hmac::new(&block.into())
}

fn encrypt_tail(
    cipher: &Aes256Gcm,
    nonce: [u8; 12],
    aad: &[u8],
    bytes: &mut Vec<u8>,
    at: usize,
) -> Result<(), SealError> {
    let tail = bytes.get_mut(at..).ok_or(SealError::Length)?;
    let tag =
        cipher.encrypt_inout_detached(&nonce.into(), aad, tail.into()).map_err(|_| SealError::Length)?;
    bytes.extend_from_slice(&tag);
    Ok(())
}

fn decrypt(cipher: &Aes256Gcm, nonce: [u8; 12], aad: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (ciphertext, tag) = bytes.split_last_chunk::<TAG_LEN>()?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let tag = (*tag).into();
    cipher.decrypt_inout_detached(&nonce.into(), aad, plaintext.as_mut_slice().into(), &tag).ok()?;
    Some(plaintext)
}

fn read_field(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (id_len, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*id_len))?;
    let (len, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    Some((std::str::from_utf8(id).ok()?, value, rest))
}

/// Checks ids and lengths; returns the length of the plaintext.
fn check_fields(fields: &[(&str, &[u8])]) -> Result<usize, SealError> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        return Err(SealError::Count);
    }
    let mut payload_len = 0;
    for (at, (id, value)) in fields.iter().enumerate() {
        check_id(id)?;
        if fields.iter().take(at).any(|(earlier, _)| earlier == id) {
            return Err(SealError::Id((*id).to_owned()));
        }
        if value.len() > VALUE_LEN_MAX {
            return Err(SealError::Length);
        }
        payload_len += 1 + id.len() + 4 + value.len();
    }
    if HEADER_LEN + EVENT_KEY_LEN + payload_len + TAG_LEN > SIDECAR_LEN_MAX {
        Err(SealError::Length)
    } else {
        Ok(payload_len)
    }
}

fn check_id(id: &str) -> Result<(), SealError> {
    let plain =
        id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'));
    if plain && (1..=ID_LEN_MAX).contains(&id.len()) { Ok(()) } else { Err(SealError::Id(id.to_owned())) }
}

fn check_subject(subject: &str) -> Result<(), SealError> {
    let plain = subject.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'{' | b'}'));
    let fits = (1..=SUBJECT_LEN_MAX).contains(&subject.len());
    if plain && fits { Ok(()) } else { Err(SealError::Subject(subject.to_owned())) }
}

/// Fields that cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The subject's handle is malformed.
    Subject(String),
    /// A field id is malformed or given twice.
    Id(String),
    /// No field, or more than [`FIELDS_MAX`].
    Count,
    /// A value or the whole is too long.
    Length,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => write!(f, "`{subject}` cannot be the handle of a subject"),
            Self::Id(id) => write!(f, "`{id}` cannot be a field id, or is given twice"),
            Self::Count => write!(f, "a record seals 1 to {FIELDS_MAX} fields"),
            Self::Length => {
                write!(f, "sealed values may have {VALUE_LEN_MAX} bytes, all together {SIDECAR_LEN_MAX}")
            }
        }
    }
}

impl std::error::Error for SealError {}

/// A sidecar that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The leaf names another subject.
    Subject,
    /// The sidecar is not the one the leaf names by hash.
    Changed,
    /// The version is not known.
    Version,
    /// The sidecar is malformed.
    Form,
    /// The key does not open it.
    Key,
    /// A value does not match its commitment in the leaf.
    Commitment,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "the record is about another subject",
            Self::Changed => "the sidecar is not the one the record names",
            Self::Version => "the sidecar's version is not known",
            Self::Form => "the sidecar is malformed",
            Self::Key => "the subject's key does not open the sidecar",
            Self::Commitment => "a sealed value does not match its commitment",
        })
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests;

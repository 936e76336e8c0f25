//! Control records: JSON in a fixed field order, versioned from the first byte, hashed exactly as stored.
//!
//! `{"v":1,"kind":"grant-opened","at":…,"seq":…, the fact's fields …,"sealed":{…}}`. `seq` is the record's position in the
//! control log, so a record that was moved says so itself. Personal values never enter a record: they wait beside it in
//! [`ControlRecord::personal`] until the caller has sealed them and put the commitments into [`ControlRecord::sealed`].

use std::fmt;

use serde::Deserialize;

use crate::fact::{Fact, PersonalFields, Sealed};
use crate::id::PersonId;
use crate::time::Micros;

/// The version this crate writes.
pub const VERSION: u64 = 1;

/// Whose key personal values are under when nobody is known, for example the address of somebody who was refused. No
/// person can have this handle.
pub const UNKNOWN: &str = "unknown";

/// One record of the control log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// When it was decided.
    pub at: Micros,
    /// Its position in the control log.
    pub seq: u64,
    /// What happened.
    pub fact: Fact,
    /// Commitments to its personal values, once they are sealed.
    pub sealed: Option<Sealed>,
    /// Personal values still to be sealed. Never encoded.
    pub personal: Option<Sealable>,
}

/// Personal values that travel beside a record until they are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealable {
    /// Whose they are: sealed under that person's key, erasable with it. [`UNKNOWN`] when nobody is known.
    pub subject: PersonId,
    /// Field and value.
    pub fields: PersonalFields,
}

impl fmt::Debug for Sealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Sealable").field("subject", &self.subject).field("fields", &names).finish()
    }
}

/// Why bytes are not a control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Not JSON of the right form; says where.
    Malformed(String),
    /// A version this program does not know.
    Version(u64),
    /// A kind this program does not know.
    Kind(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "not a control record: {why}"),
            Self::Version(v) => write!(f, "record version {v} is newer than this program"),
            Self::Kind(kind) => write!(f, "unknown kind of record `{kind}`"),
        }
    }
}

impl std::error::Error for RecordError {}

#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    at: Micros,
    seq: u64,
    #[serde(default)]
    sealed: Option<Sealed>,
}

impl ControlRecord {
    /// The bytes to store and hash.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        open(&mut out, self.fact.kind(), self.at, self.seq);
        let body = out.len();
        // INVARIANT: facts are plain structs with string keys, so writing one to memory cannot fail.
        let written = self.fact.write_body(&mut out);
        debug_assert!(written.is_ok(), "a fact is always JSON");
        close(&mut out, body, self.sealed.as_ref());
        out
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Bytes that are no control record of a known version and kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let head: Head<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.v != VERSION {
            return Err(RecordError::Version(head.v));
        }
        let fact = Fact::read(&head.kind, bytes)
            .ok_or_else(|| RecordError::Kind(head.kind.to_string()))?
            .map_err(malformed)?;
        Ok(Self { at: head.at, seq: head.seq, fact, sealed: head.sealed, personal: None })
    }
}

/// Writes the head that every record of every log has.
pub(crate) fn open(out: &mut Vec<u8>, kind: &str, at: Micros, seq: u64) {
    out.extend_from_slice(b"{\"v\":1,\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"at\":");
    write_u64(out, at.0);
    out.extend_from_slice(b",\"seq\":");
    write_u64(out, seq);
}

/// Joins the body that was written as an object of its own from `body` on to the head before it, and adds the seals.
pub(crate) fn close<S: serde::Serialize>(out: &mut Vec<u8>, body: usize, sealed: Option<&S>) {
    if out.len() == body + 2 {
        out.truncate(body);
    } else {
        if let Some(brace) = out.get_mut(body) {
            *brace = b',';
        }
        out.pop();
    }
    if let Some(sealed) = sealed {
        out.extend_from_slice(b",\"sealed\":");
        let written = serde_json::to_writer(&mut *out, sealed);
        debug_assert!(written.is_ok(), "seals are always JSON");
    }
    out.push(b'}');
}

fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}

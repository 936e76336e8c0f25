//! What a leaf says about its sidecar: the JSON object under `sealed`, always the record's last member.

use std::fmt;

use memchr::memrchr;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap as _,
};

use super::{FIELDS_MAX, check_id, check_subject};
use crate::tree::Hash;

/// `{"subject":"bob","sha256":"<hex>","fields":{"text":"<hex>",…}}`, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedJson {
    /// Handle of the subject whose key opens the sidecar.
    #[serde(deserialize_with = "subject")]
    pub subject: Box<str>,
    /// SHA-256 of the sidecar bytes.
    pub sha256: Hash,
    /// Field ids and commitments, in the order of the record.
    #[serde(serialize_with = "write_fields", deserialize_with = "read_fields")]
    pub fields: Vec<(String, Hash)>,
}

impl SealedJson {
    /// The commitment of field `id`.
    #[must_use]
    pub fn commitment(&self, id: &str) -> Option<Hash> {
        self.fields.iter().find(|(name, _)| name == id).map(|(_, commitment)| *commitment)
    }
}

/// Finds the `sealed` member of a record: `Ok(None)` when its last member is another one.
///
/// The object is flat but for `fields`, and handles and ids hold no braces: so the second brace from the end opens it, and it is
/// the member exactly when its name stands before that brace (in a JSON string the quotes would be escaped).
///
/// # Errors
/// When the member is there but malformed.
pub fn sealed_in(leaf: &[u8]) -> Result<Option<SealedJson>, serde_json::Error> {
    let Some(inner) = leaf.strip_suffix(b"}") else { return Ok(None) };
    let opening = memrchr(b'{', inner).and_then(|fields| memrchr(b'{', inner.get(..fields)?));
    match opening.and_then(|at| inner.split_at_checked(at)) {
        Some((before, object)) if before.ends_with(br#","sealed":"#) => {
            serde_json::from_slice(object).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

/// Writes the object; ids and subject need no escapes (checked when sealing).
pub(super) fn write<'a>(
    out: &mut Vec<u8>,
    subject: &str,
    sha256: &Hash,
    fields: impl Iterator<Item = (&'a str, &'a Hash)>,
) {
    out.extend_from_slice(br#"{"subject":""#);
    out.extend_from_slice(subject.as_bytes());
    out.extend_from_slice(br#"","sha256":""#);
    write_hex(out, sha256);
    out.extend_from_slice(br#"","fields":{"#);
    for (at, (id, commitment)) in fields.enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\":\"");
        write_hex(out, commitment);
        out.push(b'"');
    }
    out.extend_from_slice(b"}}");
}

fn write_hex(out: &mut Vec<u8>, hash: &Hash) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend(hash.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let subject = Box::<str>::deserialize(deserializer)?;
    check_subject(&subject).map_err(D::Error::custom)?;
    Ok(subject)
}

fn write_fields<S: Serializer>(fields: &[(String, Hash)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    fields.iter().try_for_each(|(id, commitment)| map.serialize_entry(id, commitment))?;
    map.end()
}

fn read_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Hash)>, D::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(String, Hash)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of field ids and commitments")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields: Vec<(String, Hash)> = Vec::new();
            while let Some((id, commitment)) = map.next_entry::<String, Hash>()? {
                check_id(&id).map_err(A::Error::custom)?;
                if fields.len() == FIELDS_MAX || fields.iter().any(|(earlier, _)| *earlier == id) {
                    return Err(A::Error::custom("a field is repeated, or there are too many"));
                }
                fields.push((id, commitment));
            }
            Ok(fields)
        }
    }
    deserializer.deserialize_map(Fields)
}

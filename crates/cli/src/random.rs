//! Random names and passwords of this process.

use rand::Rng as _;

/// `len` random bytes as hex.
pub(crate) fn hex(len: usize) -> String {
    let mut bytes = vec![0_u8; len];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

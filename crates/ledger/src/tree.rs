//! The RFC 6962 Merkle tree: hashes and the growing tree.

/// A SHA-256 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

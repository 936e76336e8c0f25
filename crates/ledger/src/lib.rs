//! The ledger: transparency-log mathematics and formats. Pure: no socket, clock, file or task, and it knows no product.
//!
//! Start with `tree.rs` (hashes), `tile.rs` and `bundle.rs` (the published files), `checkpoint.rs` on `note.rs` (the signed
//! head) and `sealed.rs` (personal fields that can be erased).

#![warn(missing_docs)]

pub mod bundle;
pub mod checkpoint;
pub mod evidence;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod remembered;
pub mod sealed;
pub mod source;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod verify;

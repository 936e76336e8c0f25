//! The ledger: transparency-log mathematics and formats. Pure: no socket, clock, file or task, and it knows no product.

pub mod receipt;
pub mod tree;

//! The ledger from outside: published logs, tampering, evidence, and the vectors of every format version.
#![cfg(test)]

#[cfg(test)]
mod memory;
#[cfg(test)]
mod older;
#[cfg(test)]
mod proof_files;
#[cfg(test)]
mod published;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod vectors;

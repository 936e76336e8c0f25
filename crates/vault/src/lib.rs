//! The vault: every secret of one installation, in one file sealed by a master key.
//!
//! Target credentials, password hashes, second-factor seeds, the subject keys that seal personal fields, log signing
//! keys and TLS keys live here and nowhere else; logs, configuration and errors hold names only. It must not know what a
//! secret means: it maps (namespace, name) to bytes.
//!
//! Start reading at [`Vault`]; the bytes on disk are in `file.rs`.

mod file;
mod master_key;
mod secret;
mod store;

pub use daypass_ledger::sealed::SubjectKey;
pub use file::{FILE_LEN_MAX, VaultError};
pub use master_key::{MasterKey, MasterKeyError};
pub use secret::Secret;
pub use store::{NAME_LEN_MAX, SECRET_LEN_MAX, Vault, namespace};

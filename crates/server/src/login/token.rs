//! Random tokens: shown once, kept as SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daypass_api::hidden::Hidden;
use rand::Rng;
use sha2::{Digest, Sha256};

/// Longest token that is looked at, in bytes.
pub const LEN_MAX: usize = 128;

/// A new token and its hash.
#[derive(Debug)]
pub struct NewToken {
    /// What is shown, once.
    pub text: Hidden,
    /// What is kept.
    pub sha256: [u8; 32],
}

/// Makes a token of 256 random bits: `dl_` for logins, `di_` for invitations, `dp_` for passes.
#[must_use]
pub fn make(prefix: &str) -> NewToken {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
    let sha256 = hash(&text);
    NewToken { text: Hidden(text), sha256 }
}

/// The hash under which a token is looked up. 256 random bits need no salt and no slow hash.
#[must_use]
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

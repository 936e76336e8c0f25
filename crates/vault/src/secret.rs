//! Bytes that wipe themselves and never show.

use std::fmt;

use zeroize::Zeroizing;

/// A secret. Its `Debug` never shows it; its memory is wiped when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. What is made of them must not be logged.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, `None` when it is not UTF-8.
    #[must_use]
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows() {
        let shown = format!("{:?} {:#?}", Secret::new(b"hunter2".to_vec()), Secret::new(b"hunter2".to_vec()));
        assert_eq!(shown, "Secret(…) Secret(…)");
    }
}

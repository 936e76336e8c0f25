//! The key under which one person's personal fields are sealed.

use std::fmt;

/// A subject key. Destroying it erases everything it sealed.
pub struct SubjectKey(pub [u8; 32]);

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

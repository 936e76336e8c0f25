//! Text that travels but never shows in `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A password, code or token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct Hidden(pub String);

impl Hidden {
    /// The text. What is made of it must not be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;

    #[test]
    fn debug_never_shows_and_json_is_plain_text() {
        let hidden = Hidden("hunter2".to_owned());
        assert_eq!(format!("{hidden:?}"), "Hidden(…)");
        assert_eq!(serde_json::to_string(&hidden).unwrap(), "\"hunter2\"");
    }
}

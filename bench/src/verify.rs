//! Verification.

use std::path::Path;

use crate::Outcome;

pub(crate) fn run(_dir: &Path) -> Outcome {
    Ok(())
}

//! verify
use super::Context;
use crate::args::proof::VerifyArgs;
use crate::trouble::Trouble;
pub(crate) async fn verify(_c: &Context, _args: VerifyArgs) -> Result<(), Trouble> {
    Ok(())
}

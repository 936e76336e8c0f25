//! demo
use crate::args::operate::DemoArgs;
use crate::commands::Context;
use crate::trouble::Trouble;
use std::path::Path;
pub(crate) fn code(_c: &Context, _dir: Option<&Path>, _person: &str) -> Result<(), Trouble> {
    Ok(())
}
pub(crate) async fn run(_c: &Context, _args: DemoArgs) -> Result<(), Trouble> {
    Ok(())
}

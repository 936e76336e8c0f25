//! `cargo xtask check`: format, lints, arrows between crates, claims of the documents.
//!
//! The cheap ones come first, and all of them are told before it stops.

use crate::step::{self, Broken};
use crate::{arrows, claims, machine};

pub(crate) fn run(_: &[String]) -> Result<(), Broken> {
    machine::ensure_components()?;
    let metadata = arrows::metadata()?;
    let mut faults = arrows::faults(&metadata);
    faults.extend(claims::faults(&metadata)?);
    if step::run(&step::cargo(), &["fmt", "--all", "--check"]).is_err() {
        faults.push("the format differs: run `cargo fmt --all`".to_owned());
    }
    machine::ensure(&[&machine::COMPILER, &machine::LIBCLANG])?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    if step::run(&step::cargo(), &clippy).is_err() {
        faults.push("clippy is not content, see above".to_owned());
    }
    if faults.is_empty() {
        println!("\ncheck: format, lints, arrows and claims hold");
        return Ok(());
    }
    Err(Broken(format!("{} faults\n  {}", faults.len(), faults.join("\n  "))))
}

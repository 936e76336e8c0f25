//! The story of the product, played with the real programs and checked at every step. It ends at the first step that
//! does not hold.

mod access;
mod proof;

use std::time::Duration;

use self::access::Bob;
use super::world::World;
use crate::commands::Context;
use crate::trouble::Trouble;

/// How long a step may take before it counts as not holding. Machines that build something else meanwhile are slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints what holds.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    c: &'a Context,
    checks: std::cell::Cell<u32>,
    missed: std::cell::Cell<u32>,
}

impl Teller<'_> {
    fn chapter(&self, number: u32, words: &str) -> Result<(), Trouble> {
        self.c.out.line(format!("\n{number}. {words}"))
    }

    /// Something that was done.
    fn done(&self, words: &str) -> Result<(), Trouble> {
        self.c.out.line(format!("   · {words}"))
    }

    /// Something that has to hold.
    fn check(&self, holds: bool, words: &str, otherwise: impl FnOnce() -> String) -> Result<(), Trouble> {
        if holds {
            self.checks.set(self.checks.get() + 1);
            return self.c.out.line(format!("   ✓ {words}"));
        }
        self.c.out.line(format!("   ✗ {words}"))?;
        Err(Trouble::program(
            format!("a step does not hold: {words}: {}", otherwise().trim()),
            "run it again with `--keep` and look into its folder",
        ))
    }
}

impl Teller<'_> {
    /// Like `check`, for what the rest of the story does not stand on: it goes on, and fails at its end.
    fn check_and_go_on(&self, holds: bool, words: &str) -> Result<(), Trouble> {
        if holds {
            return self.check(true, words, String::new);
        }
        self.missed.set(self.missed.get() + 1);
        self.c.out.line(format!("   ✗ {words}"))
    }
}

/// Plays everything.
pub(crate) async fn play(c: &Context, world: &mut World) -> Result<(), Trouble> {
    let teller = Teller { c, checks: std::cell::Cell::new(0), missed: std::cell::Cell::new(0) };
    let mut bob = Bob::asks(&teller, world).await?;
    let before = bob.gets_approval(&teller, world).await?;
    bob.works(&teller, world).await?;
    bob.forgets_a_where(&teller, world).await?;
    bob.meets_his_end(&teller, world, &before).await?;
    access::carol_extends(&teller, world).await?;
    let case = proof::collect(&teller, world).await?;
    world.stop_server().await?;
    world.stop_postgres().await?;
    teller.chapter(6, "Somebody with access to the disk, and then with all keys, edits the log")?;
    proof::forgeries_are_named(&teller, world, &case).await?;
    teller.chapter(7, "Ada verifies the evidence, with nothing of ours running")?;
    proof::evidence_holds(&teller, world, &case).await?;
    let (held, missed) = (teller.checks.get(), teller.missed.get());
    if missed > 0 {
        return Err(Trouble::program(
            format!("{held} checks hold, {missed} do not"),
            "the lines with ✗ say which",
        ));
    }
    c.out.line(format!("\nThe story holds: {held} checks."))
}

//! Steps 6 and 7: forged logs are named, evidence is verified with nothing of ours running.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::super::forge::{self, Forged};
use super::super::process::{Ended, run};
use super::super::world::World;
use super::Teller;
use crate::trouble::Trouble;

const LOG_NAME: &str = "daypass.localhost";

/// What is kept for after the end.
#[derive(Debug)]
pub(crate) struct Case {
    evidence: PathBuf,
}

/// Ada looks at the live logs, so that her machine remembers them, and takes the evidence.
pub(crate) async fn collect(t: &Teller<'_>, world: &World) -> Result<Case, Trouble> {
    let ada = world.daypass("ada");
    let seen = ada.run(&["verify", world.url()]).await?;
    t.check(
        seen.code == 0,
        "Ada has verified both logs over HTTP; her machine remembers what it saw",
        || said(&seen),
    )?;
    let who = ada.run(&["who-had-access", "prod-orders", "--at", "15s ago"]).await?;
    t.check(who.code == 0, "`who-had-access` answers for any moment", || said(&who))?;
    let evidence = world.folder().join("g1.zip");
    let path = evidence.display().to_string();
    ada.run(&["evidence", "grant", "G-1", "--output", &path]).await?.ok("daypass evidence grant")?;
    Ok(Case { evidence })
}

pub(crate) async fn forgeries_are_named(t: &Teller<'_>, world: &World, _case: &Case) -> Result<(), Trouble> {
    let whole = verify(world, &world.data()).await?;
    t.check(whole.code == 0, "as they are, both logs are whole, and they are the ones Ada saw", || {
        said(&whole)
    })?;
    let size = forge::size(&world.data().join("activity"))?;
    let record = size / 2;

    let copy = forged_copy(world, "flipped")?;
    let file = forge::flip(&copy.join("activity"), record)?;
    named(t, world, &copy, &format!("record {record}"), &format!("one byte of {file} flipped")).await?;

    let signer = forge::signer(&world.gateway(), &format!("{LOG_NAME}/activity"))?;
    let copy = forged_copy(world, "cut")?;
    let mut log = Forged::read(&copy.join("activity"))?;
    let kept = log.leaves.len().saturating_sub(5);
    log.cut(kept);
    log.publish(&copy.join("activity"), &signer)?;
    named(t, world, &copy, &format!("record {kept}"), "the last 5 records dropped, the rest signed again")
        .await?;

    let copy = forged_copy(world, "edited")?;
    let mut log = Forged::read(&copy.join("activity"))?;
    let at = usize::try_from(record).unwrap_or(0);
    if let Some(leaf) = log.leaves.get_mut(at) {
        let text = String::from_utf8_lossy(leaf).replace("bob", "eve").replace("carol", "eve");
        *leaf = if text.as_bytes() == leaf.as_slice() {
            text.replacen("\"at\":1", "\"at\":2", 1).into_bytes()
        } else {
            text.into_bytes()
        };
    }
    log.publish(&copy.join("activity"), &signer)?;
    named(
        t,
        world,
        &copy,
        &format!("record {record}"),
        "a record edited, every hash redone, signed again with the real key",
    )
    .await
}

async fn named(
    t: &Teller<'_>,
    world: &World,
    copy: &Path,
    expected: &str,
    what: &str,
) -> Result<(), Trouble> {
    let found = verify(world, copy).await?;
    let first = found.stdout.lines().find(|line| line.starts_with('✗') && line.contains(expected));
    t.check(found.code == 5 && first.is_some(), &format!("{what}: `daypass verify` names {expected}"), || {
        said(&found)
    })
}

pub(crate) async fn evidence_holds(t: &Teller<'_>, world: &World, case: &Case) -> Result<(), Trouble> {
    let path = case.evidence.display().to_string();
    let (found, how) = offline(world, &["verify", &path, "--policy"]).await?;
    t.check(
        found.code == 0,
        &format!("the log is whole, the records are in it, the policy was followed ({how})"),
        || said(&found),
    )?;
    let mut bytes = std::fs::read(&case.evidence).map_err(Trouble::file(&case.evidence, "read"))?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    let forged = world.folder().join("g1-forged.zip");
    std::fs::write(&forged, bytes).map_err(Trouble::file(&forged, "write"))?;
    let (found, _) = offline(world, &["verify", &forged.display().to_string(), "--policy"]).await?;
    t.check(found.code != 0, "and with one byte of it flipped it is refused", || said(&found))
}

async fn verify(world: &World, folder: &Path) -> Result<Ended, Trouble> {
    world.daypass("ada").run(&["verify", &folder.display().to_string(), "--policy"]).await
}

fn forged_copy(world: &World, name: &str) -> Result<PathBuf, Trouble> {
    let copy = world.folder().join(format!("forged-{name}"));
    for log in ["control", "activity"] {
        forge::copy(&world.data().join(log), &copy.join(log))?;
    }
    Ok(copy)
}

/// Runs Ada's `daypass` without any network, where this machine lets us take it away.
async fn offline(world: &World, arguments: &[&str]) -> Result<(Ended, &'static str), Trouble> {
    let ada = world.daypass("ada");
    let plain = ada.command(arguments);
    let mut apart = Command::new("unshare");
    apart.args(["--map-root-user", "--net", "--"]).arg(plain.as_std().get_program()).args(arguments);
    apart.env("DAYPASS_HOME", ada.home());
    let mut possible = Command::new("unshare");
    possible.args(["--map-root-user", "--net", "--", "true"]);
    match run(possible, "").await {
        Ok(Ended { code: 0, .. }) => Ok((run(apart, "").await?, "checked without any network")),
        _ => Ok((run(plain, "").await?, "checked with everything stopped")),
    }
}

fn said(ended: &Ended) -> String {
    format!("exit code {}: {}{}", ended.code, ended.stdout, ended.stderr)
}

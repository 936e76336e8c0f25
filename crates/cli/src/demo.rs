//! `daypass demo`: the whole product on this machine, with a throwaway PostgreSQL. `--auto` plays the story and checks it.
//!
//! Reads: `run` is the table of contents; `world` builds (PostgreSQL, gateway, people, policy), `story` plays and checks,
//! `tamper` forges logs the way somebody with all keys would. Every process is ended by its own id.

mod forge;
mod postgres;
mod process;
mod story;
mod tour;
mod world;

use std::path::{Path, PathBuf};
use std::{env, fs};

use self::world::World;
use crate::args::operate::DemoArgs;
use crate::commands::Context;
use crate::random;
use crate::trouble::Trouble;
use crate::when;

/// Runs the demo: by itself, or for somebody to type along.
pub(crate) async fn run(c: &Context, args: DemoArgs) -> Result<(), Trouble> {
    let folder = match &args.dir {
        Some(dir) => std::path::absolute(dir).map_err(Trouble::file(dir, "find"))?,
        None => env::temp_dir().join(format!("daypass-demo-{}", random::hex(4))),
    };
    make_folder(&folder)?;
    let mut world = World::default();
    let played = tokio::select! {
        played = play(c, &folder, &args, &mut world) => played,
        _ = tokio::signal::ctrl_c() => if args.auto { Err(Trouble::Interrupted) } else { Ok(()) },
    };
    let stopped = world.stop().await;
    if !args.keep {
        fs::remove_dir_all(&folder).map_err(Trouble::file(&folder, "remove"))?;
    } else {
        c.out.note(format!("left behind: {}", folder.display()))?;
    }
    played.and(stopped)
}

async fn play(c: &Context, folder: &Path, args: &DemoArgs, world: &mut World) -> Result<(), Trouble> {
    world.build(c, folder, !args.auto).await?;
    if args.auto {
        return story::play(c, world).await;
    }
    tour::print(c, world)?;
    // Ctrl-C ends the demo, from the caller.
    std::future::pending().await
}

/// The folder is entered by the account that PostgreSQL runs as, so others may pass through, but not look.
fn make_folder(folder: &Path) -> Result<(), Trouble> {
    use std::os::unix::fs::PermissionsExt as _;
    if folder.exists() {
        return Err(Trouble::input(
            format!("`{}` is there already", folder.display()),
            "name a folder that is not",
        ));
    }
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o711)))
        .map_err(Trouble::file(folder, "make the folder"))
}

/// Prints what the second factor of one of the demo's people shows now.
pub(crate) fn code(c: &Context, dir: Option<&Path>, person: &str) -> Result<(), Trouble> {
    let folder = match dir {
        Some(dir) => dir.to_owned(),
        None => running_demo()?,
    };
    let path = world::home(&folder, person).join("totp");
    let seed = fs::read_to_string(&path).map_err(Trouble::file(&path, "read"))?;
    c.out.line(world::totp(seed.trim(), when::now())?)
}

/// The one demo that is running.
fn running_demo() -> Result<PathBuf, Trouble> {
    let found: Vec<PathBuf> = fs::read_dir(env::temp_dir())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("daypass-demo-"))
        })
        .collect();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Trouble::missing("no demo is running", "start one: daypass demo")),
        _ => Err(Trouble::input("more than one demo is there", "name its folder with `--dir`")),
    }
}

//! Starts the real `psql` behind a Unix socket that only this user can reach.
//!
//! psql owns the terminal, so nothing is printed over it: a warning goes to the terminal's title at once, and as a
//! PostgreSQL notice into the session, which psql shows with its next answer. `:e` at its prompt extends.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::super::Context;
use super::keeper::{Happened, Kept, warning};
use crate::args::access::ConnectArgs;
use crate::relay::{self, Route};
use crate::trouble::Trouble;
use crate::{home, out};

/// What psql would take its way from, instead of ours.
const ROUTING_VARIABLES: [&str; 15] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGDATABASE",
    "PGSERVICE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGTARGETSESSIONATTRS",
    "PGSSLNEGOTIATION",
];

pub(super) async fn psql(
    c: &Context,
    route: Route,
    mut kept: Kept,
    args: &ConnectArgs,
) -> Result<(), Trouble> {
    let folder = SocketFolder::make()?;
    let listener = UnixListener::bind(folder.0.join(".s.PGSQL.5432"))
        .map_err(Trouble::file(&folder.0, "open a socket in"))?;
    let mut child = start(&route, &kept, &folder.0, args)?;
    let accept = accept(listener, route);
    // psql decides what Ctrl-C and Ctrl-\ mean; we only have to survive them.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut quits = signal(SignalKind::quit())?;
    let mut ends = signal(SignalKind::terminate())?;
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::pin!(accept);
    let mut over = false;
    loop {
        tokio::select! {
            status = child.wait() => return exit(status?),
            () = &mut accept => {}
            _ = interrupts.recv() => {}
            _ = quits.recv() => {}
            _ = ends.recv() => return stop(&mut child).await,
            _ = hangups.recv() => return stop(&mut child).await,
            happened = kept.next(), if !over => match happened {
                Happened::Over => over = true,
                Happened::Warn { .. } | Happened::Extended { .. } => say(c, &kept, &happened),
            },
        }
    }
}

fn say(c: &Context, kept: &Kept, happened: &Happened) {
    let words = match happened {
        Happened::Warn { left_s, ends_at } => {
            let how = match &kept.grant().extension {
                Some(_) => "type :e to extend",
                None => "no extension is left, ask again with daypass connect",
            };
            warning(&c.out, *left_s, *ends_at, how)
        }
        Happened::Extended { ends_at } => format!("your access goes on until {}", c.out.clock(*ends_at)),
        Happened::Over => return,
    };
    kept.tell(&format!("daypass: {words}"));
    out::set_title(&format!("{}: {words}", kept.grant().resource));
}

async fn accept(listener: UnixListener, route: Route) {
    loop {
        match listener.accept().await {
            Ok((local, _)) => {
                let session = relay::session(local, route.clone());
                tokio::spawn(async move {
                    if let Err(error) = session.await {
                        tracing::debug!(%error, "a local connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the local socket cannot accept");
                return std::future::pending().await;
            }
        }
    }
}

fn start(route: &Route, kept: &Kept, folder: &Path, args: &ConnectArgs) -> Result<Child, Trouble> {
    let own = env::current_exe().map_err(Trouble::file("daypass", "find our own program"))?;
    let word = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let quote = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
    let conninfo = format!(
        "host={} port=5432 user={} dbname={}",
        quote(&folder.display().to_string()),
        quote(&route.user),
        quote(&route.database)
    );
    let mut command = Command::new(&args.psql);
    for name in ROUTING_VARIABLES {
        command.env_remove(name);
    }
    command
        .arg("-v")
        .arg(format!(r"e=\! {} extend {}", word(&own.display().to_string()), word(&kept.grant().resource)))
        .arg("-d")
        .arg(conninfo)
        .args(&args.rest)
        .kill_on_drop(true);
    command.spawn().map_err(|error| {
        Trouble::program(
            format!("cannot start `{}`: {}", args.psql.display(), error.to_string().to_lowercase()),
            "install it (Debian: apt install postgresql-client), or open a port for another tool with `--listen`",
        )
    })
}

async fn stop(child: &mut Child) -> Result<(), Trouble> {
    child.kill().await?;
    Err(Trouble::Exit(143))
}

fn exit(status: ExitStatus) -> Result<(), Trouble> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Trouble::Exit(u8::try_from(code).unwrap_or(1))),
        None => Err(Trouble::Exit(1)),
    }
}

/// A 0700 folder for the socket, gone when dropped.
#[derive(Debug)]
struct SocketFolder(PathBuf);

impl SocketFolder {
    fn make() -> Result<Self, Trouble> {
        // A socket's path has at most 107 bytes: that rules out long temporary folders.
        let base =
            [env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(env::temp_dir()), Some("/tmp".into())]
                .into_iter()
                .flatten()
                .find(|base| base.is_dir() && base.as_os_str().len() < 60)
                .unwrap_or_else(|| "/tmp".into());
        let folder = base.join(format!("daypass-{}-{}", std::process::id(), crate::random::hex(4)));
        home::make_private_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the socket's folder stays behind");
        }
    }
}

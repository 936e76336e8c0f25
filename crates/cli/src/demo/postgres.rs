//! A throwaway PostgreSQL with data of our own making. It listens on this machine only, and is gone with its folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use tokio::process::Command;

use super::process::{Running, find, run};
use crate::random;
use crate::trouble::Trouble;

const SEED: &str = include_str!("seed.sql");

/// Oldest PostgreSQL that the demo is made for.
const MAJOR_MIN: u32 = 15;

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    running: Running,
    bin: PathBuf,
    pub(crate) port: u16,
    password: String,
    /// The password of `orders_gateway`, the account that Daypass uses.
    pub(crate) gateway_password: String,
}

/// Somebody that the server can run as: PostgreSQL refuses to run as root.
#[derive(Clone, Debug)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes a cluster in `folder` and starts it.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Trouble> {
        let bin = binaries()?;
        let account = account()?;
        let data = folder.join("data");
        fs::create_dir_all(folder).map_err(Trouble::file(folder, "make the folder"))?;
        let password = random::hex(16);
        let secret = folder.join("superuser-password");
        fs::write(&secret, &password).map_err(Trouble::file(&secret, "write"))?;
        give_away(folder, account.as_ref())?;
        give_away(&secret, account.as_ref())?;
        let mut initdb = as_account(account.as_ref(), &bin.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb.arg(format!("--pwfile={}", secret.display())).arg("-D").arg(&data);
        run(initdb, "").await?.ok("initdb")?;
        fs::remove_file(&secret).map_err(Trouble::file(&secret, "remove"))?;
        let port = free_port()?;
        let mut server = as_account(account.as_ref(), &bin.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "log_min_messages=fatal"]
        {
            server.args(["-c", setting]);
        }
        let running = Running::start("postgres", server)?;
        let gateway_password = random::hex(16);
        let mut postgres = Self { running, bin, port, password, gateway_password };
        postgres.until_ready().await?;
        postgres.seed().await?;
        Ok(postgres)
    }

    async fn until_ready(&mut self) -> Result<(), Trouble> {
        for _ in 0..150 {
            let mut ready = Command::new(self.bin.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if run(ready, "").await?.code == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Trouble::program(
            format!("PostgreSQL did not start: {}", self.running.said().trim()),
            "look at the load of this machine",
        ))
    }

    async fn seed(&self) -> Result<(), Trouble> {
        self.query("postgres", "create database orders").await?;
        let password = self.gateway_password.clone();
        let sql = format!("{SEED}\nalter role orders_gateway password '{password}';\n");
        self.psql("orders", &["-f", "-"], &sql).await?;
        Ok(())
    }

    /// Asks as the owner of the server, past the gateway.
    pub(crate) async fn query(&self, database: &str, sql: &str) -> Result<String, Trouble> {
        self.psql(database, &["-c", sql], "").await.map(|answer| answer.trim().to_owned())
    }

    async fn psql(&self, database: &str, arguments: &[&str], input: &str) -> Result<String, Trouble> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            database,
        ]);
        psql.args(["-p", &self.port.to_string()]).args(arguments).env("PGPASSWORD", &self.password);
        run(psql, input).await?.ok("psql")
    }

    /// The folder of `psql` and its like.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    pub(crate) async fn stop(mut self) -> Result<(), Trouble> {
        self.running.stop("INT").await
    }
}

/// The newest installed server.
fn binaries() -> Result<PathBuf, Trouble> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            (major >= MAJOR_MIN && bin.join("postgres").is_file()).then_some((major, bin))
        })
        .collect();
    found.sort();
    let on_path: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let on_path = find(&on_path, "postgres").and_then(|path| path.parent().map(Path::to_owned));
    found.pop().map(|(_, bin)| bin).or(on_path).ok_or_else(|| {
        Trouble::missing(
            format!("there is no PostgreSQL server ({MAJOR_MIN} or newer) on this machine"),
            "Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql",
        )
    })
}

/// Whom to run as: ourselves, or when we are root `postgres` or `nobody`.
fn account() -> Result<Option<Account>, Trouble> {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self").map(|me| me.uid()).unwrap_or(1);
    if own != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(Trouble::file("/etc/passwd", "read"))?;
    let account = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| *name == wanted)?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { name: name.to_owned(), uid, gid })
        })
    };
    account("postgres").or_else(|| account("nobody")).map(Some).ok_or_else(|| {
        Trouble::missing(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`",
            "run the demo as an ordinary user",
        )
    })
}

/// A command run as that account, which dies with us.
fn as_account(account: Option<&Account>, program: &Path) -> Command {
    let mut command = match account {
        Some(account) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={}", account.name)).arg(format!("--regid={}", account.gid));
            command.args(["--clear-groups", "--pdeathsig=INT", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    // The current folder may be one that this account cannot enter.
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn give_away(path: &Path, account: Option<&Account>) -> Result<(), Trouble> {
    match account {
        Some(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
            .map_err(Trouble::file(path, "give away")),
        None => Ok(()),
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16, Trouble> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

//! A throwaway PostgreSQL on a free port, with the fastest settings that still tell the truth.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::endpoint::{Endpoint, Tls};
use crate::process::{Running, inherited};

/// The superuser of the target; the gateway's credential as well.
const USER: &str = "owner";
/// Its password; no person of the tests ever types it.
const PASSWORD: &str = "target-side-secret-7193";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    server: Running,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// Makes a cluster and starts it with more settings, `name=value`, and files for its folder, `../name` from its data.
    pub async fn start_with(settings: &[&str], files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::Builder::new().prefix("daypass-pg").tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        give_away(folder.path());
        let data = folder.path().join("data");
        let mut initdb = as_postgres(&programs().join("initdb"));
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--locale=C.UTF-8"]);
        initdb.arg(format!("--username={USER}")).arg("--pwfile").arg(&password).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let mut command = as_postgres(&programs().join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).arg("-p").arg(port.to_string());
        let fast = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=256MB"];
        let plain = ["listen_addresses=127.0.0.1", "max_connections=300", "timezone=UTC", "max_wal_size=4GB"];
        for setting in fast.iter().chain(&plain).chain(settings) {
            command.arg("-c").arg(setting);
        }
        let server = Running::start(command, "postgres", &folder.path().join("output"));
        let mut started = Self { server, port, folder };
        started.wait().await;
        let owner = started.endpoint("postgres").connect().await.unwrap();
        owner.batch_execute("CREATE DATABASE app").await.unwrap();
        started
    }

    async fn wait(&mut self) {
        let endpoint = self.endpoint("postgres");
        self.server.until_ready(async || endpoint.connect().await.is_ok()).await;
    }

    /// The way to one of its databases, as the superuser.
    #[must_use]
    pub fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            database: database.to_owned(),
            tls: Tls::Off,
        }
    }

    /// What it wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.printed()
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder of the newest PostgreSQL server on this machine.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    folders.retain(|bin| bin.join("initdb").exists());
    folders.sort_by_key(|bin| version(bin));
    folders.pop().unwrap_or_else(|| {
        let told = Command::new("pg_config").arg("--bindir").output();
        let told = told.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
        assert!(
            Path::new(&told).join("initdb").exists(),
            "there is no PostgreSQL server: run `cargo xtask e2e`"
        );
        PathBuf::from(told)
    })
}

fn version(bin: &Path) -> u32 {
    let folder = bin.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().parse().unwrap_or_default()
}

/// Whether we are root.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}

/// A program as the user that PostgreSQL agrees to run as: `postgres` when we are root, ourselves otherwise.
#[must_use]
pub fn as_postgres(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().envs(inherited()).current_dir("/");
    command
}

/// Gives a folder and all that is in it to the user that PostgreSQL runs as.
pub fn give_away(folder: &Path) {
    if is_root() {
        let status = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
        assert!(status.is_ok_and(|s| s.success()), "cannot give {} to postgres", folder.display());
    }
}

/// A port nobody listens on.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

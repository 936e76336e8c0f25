//! The ways to the database: direct, PgBouncer, Daypass; and the processes behind them.

use std::path::{Path, PathBuf};

use daypass_e2e::{
    Daypass, Endpoint, Postgres, Running, Settings, Tls, as_postgres, free_port, give_away, run,
};
use tempfile::TempDir;

/// A resource on which nobody has another grant: a session lives as long as any grant gives what it needs.
pub(crate) const SPARE: &str = "spare";

/// One way, and the process whose CPU time is counted.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) endpoint: Endpoint,
    pub(crate) proxy: Option<u32>,
}

/// All of them, alive as long as this.
pub(crate) struct Ways {
    all: Vec<Way>,
    pub(crate) daypass: Daypass,
    _bouncer: Running,
    _bouncer_folder: TempDir,
    _postgres: Postgres,
    folder: PathBuf,
}

impl Ways {
    /// Starts a server with TLS and pgbench's tables, PgBouncer and Daypass.
    pub(crate) async fn start(folder: &Path, scale: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let (certificate, key) = certificate(folder)?;
        let files = [("server.crt", certificate.as_slice()), ("server.key", key.as_slice())];
        let tls =
            ["ssl=on", "ssl_cert_file=../server.crt", "ssl_key_file=../server.key", "max_connections=500"];
        let postgres = Postgres::start_with(&tls, &files).await;
        let plain = postgres.endpoint("app");
        run(&plain, "pgbench", &["-i", "-q", "-s", &scale.to_string()]).await.well();
        let direct = Endpoint { tls: Tls::Unverified, ..plain.clone() };

        let (bouncer, port, bouncer_folder) = bouncer(folder, &plain, &certificate, &key).await?;
        let pooled = Endpoint { port, ..direct.clone() };

        let spare = (SPARE.to_owned(), plain.database.clone());
        let settings =
            Settings { parent: Some(folder.to_owned()), resources: vec![spare], ..Settings::default() };
        let daypass = Daypass::start(&postgres, settings).await;
        let through = daypass.endpoint("bob", "app", "everything").await;
        let through = Endpoint { tls: Tls::Unverified, ..through };
        let all = vec![
            Way { name: "direct", endpoint: direct, proxy: None },
            Way { name: "PgBouncer", endpoint: pooled, proxy: Some(bouncer.pid()) },
            Way { name: "Daypass", endpoint: through, proxy: Some(daypass.pid()) },
        ];
        Ok(Self {
            all,
            daypass,
            _bouncer: bouncer,
            _bouncer_folder: bouncer_folder,
            _postgres: postgres,
            folder: folder.to_owned(),
        })
    }

    /// Direct, PgBouncer, Daypass.
    pub(crate) fn all(&self) -> &[Way] {
        &self.all
    }

    /// The last of them.
    pub(crate) fn through(&self) -> Result<&Way, Box<dyn std::error::Error>> {
        self.all.last().ok_or_else(|| "no way through Daypass".into())
    }

    /// Writes a script for pgbench and gives its path.
    pub(crate) fn script(&self, name: &str, text: &str) -> std::io::Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

/// A self-signed certificate and its key, PEM.
fn certificate(folder: &Path) -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=localhost", "-out"]).arg(&certificate).arg("-keyout").arg(&key);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((std::fs::read(certificate)?, std::fs::read(key)?))
}

/// PgBouncer in session mode with TLS for its clients.
async fn bouncer(
    parent: &Path,
    target: &Endpoint,
    certificate: &[u8],
    key: &[u8],
) -> Result<(Running, u16, TempDir), Box<dyn std::error::Error>> {
    // Beside the build nobody but us may enter; PgBouncer does not run as root.
    let own = tempfile::Builder::new().prefix("daypass-bouncer").tempdir()?;
    let folder = own.path();
    let port = free_port();
    std::fs::write(folder.join("tls.crt"), certificate)?;
    std::fs::write(folder.join("tls.key"), key)?;
    std::fs::write(folder.join("users"), format!("\"{}\" \"{}\"\n", target.user, target.password))?;
    let here = folder.display();
    let configuration = format!(
        "[databases]\n{database} = host=127.0.0.1 port={target_port} dbname={database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {here}/users\npool_mode = session\n\
         max_client_conn = 500\ndefault_pool_size = 100\nclient_tls_sslmode = require\nclient_tls_cert_file = {here}/tls.crt\n\
         client_tls_key_file = {here}/tls.key\nserver_tls_sslmode = disable\nlog_connections = 0\nlog_disconnections = 0\n\
         ignore_startup_parameters = extra_float_digits\n",
        database = target.database,
        target_port = target.port,
    );
    std::fs::write(folder.join("pgbouncer.ini"), configuration)?;
    give_away(folder);
    let mut command = as_postgres(Path::new("pgbouncer"));
    command.arg(folder.join("pgbouncer.ini"));
    let mut running = Running::start(command, "pgbouncer", &parent.join("pgbouncer.log"));
    let pooled = Endpoint { port, tls: Tls::Unverified, ..target.clone() };
    running.until_ready(async || run(&pooled, "psql", &["-Xqc", "SELECT 1"]).await.code == Some(0)).await;
    Ok((running, port, own))
}

//! Every way to log in to a target, against a real PostgreSQL with its own certificate and `pg_hba.conf`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use daypass_access::policy::TargetTls;
use daypass_gateway::upstream::{Credential, Target, TargetStream, Targets, Upstream, UpstreamError};
use daypass_pg::login_back::LoginFailure;
use daypass_pg::startup::Version;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

const PASSWORD: &str = "only for this test";

struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
    ca_pem: String,
    client: (String, String),
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn bin(name: &str) -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed: `cargo xtask test` does it");
    folders
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .find(|path| path.exists())
        .expect("a server")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

const HBA: &str = "local   all all trust
hostssl all r_cert  127.0.0.1/32 cert
hostssl all r_plus  127.0.0.1/32 scram-sha-256
hostssl all r_scram 127.0.0.1/32 scram-sha-256
hostnossl all r_scram 127.0.0.1/32 scram-sha-256
host    all r_md5   127.0.0.1/32 md5
host    all r_pw    127.0.0.1/32 password
host    all r_trust 127.0.0.1/32 trust
";

/// Makes a server whose certificate names `localhost`, signed by an authority of its own with SHA-384.
fn start() -> Server {
    let folder = tempfile::Builder::new().prefix("daypass-up").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca =
        CertifiedIssuer::self_signed(ca, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let mut client = CertificateParams::new(vec![]).unwrap();
    client.distinguished_name.push(DnType::CommonName, "r_cert");
    let client = client.signed_by(&client_key, &ca).unwrap();
    std::fs::write(at("ca.pem"), ca.pem()).unwrap();
    std::fs::write(at("server.pem"), certificate.pem()).unwrap();
    std::fs::write(at("server.key"), key.serialize_pem()).unwrap();
    std::fs::write(at("hba"), HBA).unwrap();
    Command::new("chmod").arg("600").arg(at("server.key")).status().unwrap();
    if is_root() {
        assert!(
            Command::new("chown").args(["-R", "postgres"]).arg(folder.path()).status().unwrap().success()
        );
    }
    let made = unprivileged(&bin("initdb"))
        .args(["--auth=trust", "--username=owner", "--no-sync", "--locale=C.UTF-8", "-D"])
        .arg(at("data"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut postgres = unprivileged(&bin("postgres"));
    postgres.arg("-D").arg(at("data")).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
    for (name, value) in [
        ("ssl_cert_file", at("server.pem").display().to_string()),
        ("ssl_key_file", at("server.key").display().to_string()),
        ("ssl_ca_file", at("ca.pem").display().to_string()),
        ("hba_file", at("hba").display().to_string()),
        ("ssl", "on".to_owned()),
        ("fsync", "off".to_owned()),
        ("listen_addresses", "127.0.0.1".to_owned()),
    ] {
        postgres.arg("-c").arg(format!("{name}={value}"));
    }
    let child = postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ca_pem = ca.pem();
    Server { child, port, folder, ca_pem, client: (client.pem(), client_key.serialize_pem()) }
}

impl Server {
    fn target(&self, tls: TargetTls) -> Target {
        Target {
            address: format!("localhost:{}", self.port),
            database: "postgres".to_owned(),
            tls,
            ca_pem: Some(self.ca_pem.clone().into_bytes()),
        }
    }

    fn socket(&self) -> Target {
        let address = format!("{}:{}", self.folder.path().display(), self.port);
        Target { address, database: "postgres".to_owned(), tls: TargetTls::Off, ca_pem: None }
    }

    async fn connect(&self, tls: TargetTls, credential: &Credential) -> Result<Upstream, UpstreamError> {
        connect(&self.target(tls), credential).await
    }
}

async fn connect(target: &Target, credential: &Credential) -> Result<Upstream, UpstreamError> {
    let name = (b"application_name".to_vec(), b"daypass:S-1".to_vec());
    Targets::default().connect(target, credential, vec![name], rand::random(), Version::V3_0).await
}

fn credential(user: &str, password: Option<&str>) -> Credential {
    let password = password.map(|p| Zeroizing::new(p.as_bytes().to_vec()));
    Credential { user: user.to_owned(), password, certificate: None }
}

/// Runs one query and gives everything the target said until it was idle again.
async fn ask(upstream: &mut Upstream, text: &str) -> String {
    let mut out = bytes::BytesMut::new();
    daypass_pg::write::query(&mut out, text.as_bytes());
    upstream.stream.write_all(&out).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(upstream.stream.read_buf(&mut said).await.unwrap(), 0);
    }
    String::from_utf8_lossy(&said).into_owned()
}

async fn ready() -> Server {
    let server = start();
    let owner = credential("owner", None);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut upstream = loop {
        match connect(&server.socket(), &owner).await {
            Ok(upstream) => break upstream,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    for (role, encryption) in [
        ("r_scram", "scram-sha-256"),
        ("r_plus", "scram-sha-256"),
        ("r_md5", "md5"),
        ("r_pw", "scram-sha-256"),
    ] {
        let text =
            format!("SET password_encryption='{encryption}'; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'");
        assert!(ask(&mut upstream, &text).await.contains("CREATE ROLE"));
    }
    ask(&mut upstream, "CREATE ROLE r_trust LOGIN; CREATE ROLE r_cert LOGIN").await;
    server
}

const SESSION: &str = "SELECT session_user, ssl, application_name FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn every_way_to_log_in_works() {
    let server = ready().await;
    let secret = Some(PASSWORD);
    for (role, password, tls, encrypted) in [
        ("r_scram", secret, TargetTls::Off, false),
        ("r_scram", secret, TargetTls::Prefer, true),
        ("r_plus", secret, TargetTls::Require, true),
        ("r_plus", secret, TargetTls::VerifyFull, true),
        ("r_md5", secret, TargetTls::Off, false),
        ("r_pw", secret, TargetTls::Prefer, true),
        ("r_pw", secret, TargetTls::Off, false),
        ("r_trust", None, TargetTls::Off, false),
    ] {
        let mut upstream =
            server.connect(tls, &credential(role, password)).await.unwrap_or_else(|e| panic!("{role}: {e}"));
        assert_eq!(matches!(upstream.stream, TargetStream::Tls(_)), encrypted, "{role} {tls:?}");
        let answer = ask(&mut upstream, SESSION).await;
        assert!(answer.contains(role) && answer.contains("daypass:S-1"), "{role}: {answer}");
        assert!(upstream.local_port.is_some() && upstream.welcome.key.is_some());
        assert!(upstream.welcome.parameters.iter().any(|(name, _)| name == b"server_version"));
    }
    let with_certificate = Credential {
        user: "r_cert".to_owned(),
        password: None,
        certificate: Some((
            server.client.0.clone().into_bytes(),
            Zeroizing::new(server.client.1.clone().into_bytes()),
        )),
    };
    let mut upstream = server.connect(TargetTls::VerifyFull, &with_certificate).await.unwrap();
    assert!(ask(&mut upstream, SESSION).await.contains("r_cert"));
}

#[tokio::test]
async fn what_must_not_work_does_not() {
    let server = ready().await;
    let refused =
        server.connect(TargetTls::Require, &credential("r_scram", Some("wrong"))).await.unwrap_err();
    assert!(matches!(refused, UpstreamError::Login(LoginFailure::Refused { .. })), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("wrong"), "a password in an error");
    let missing = server.connect(TargetTls::Require, &credential("r_scram", None)).await.unwrap_err();
    assert!(matches!(missing, UpstreamError::Login(LoginFailure::Violation(_))), "{missing}");

    let mut other_name = server.target(TargetTls::VerifyFull);
    other_name.address = format!("127.0.0.1:{}", server.port);
    let mismatch = connect(&other_name, &credential("r_scram", Some(PASSWORD))).await.unwrap_err();
    assert!(matches!(mismatch, UpstreamError::Io(_)), "{mismatch}");

    let mut public = server.target(TargetTls::VerifyFull);
    public.ca_pem = None;
    let untrusted = connect(&public, &credential("r_scram", Some(PASSWORD))).await.unwrap_err();
    assert!(untrusted.to_string().contains("UnknownIssuer"), "{untrusted}");

    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut closed = server.target(TargetTls::Off);
    closed.address = format!("localhost:{}", nobody.local_addr().unwrap().port());
    drop(nobody);
    assert!(matches!(connect(&closed, &credential("x", None)).await, Err(UpstreamError::Io(_))));
    closed.address = "no port".to_owned();
    assert!(matches!(connect(&closed, &credential("x", None)).await, Err(UpstreamError::Address(_))));
}

#[tokio::test]
async fn a_cancel_request_reaches_the_target() {
    let server = ready().await;
    let credential = credential("r_scram", Some(PASSWORD));
    for tls in [TargetTls::Off, TargetTls::Require] {
        let target = server.target(tls);
        let mut upstream = connect(&target, &credential).await.unwrap();
        let key = upstream.welcome.key.clone().unwrap();
        let targets = Targets::default();
        let (answer, delivered) = tokio::join!(ask(&mut upstream, "SELECT pg_sleep(60)"), async {
            let mut watcher = connect(&target, &credential).await.unwrap();
            let pid = key.process;
            let busy = format!("SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
            while !ask(&mut watcher, &busy).await.contains("SELECT 1\0") {}
            targets.cancel(&target, &credential, &key).await
        });
        assert!(delivered.is_ok() && answer.contains("57014"), "{answer}");
    }
}

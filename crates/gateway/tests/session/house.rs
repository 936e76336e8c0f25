//! A real PostgreSQL, a control log with people and policy, an activity log, and a gateway over them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use daypass_access::activity::{Activity, ActivityRecord};
use daypass_access::command::{Ask, Command as Wish, NewPerson};
use daypass_access::fact::Urgency;
use daypass_access::id::{GrantId, LoginId, PersonId, ResourceId, RoleId};
use daypass_access::person::{PersonKind, Profile};
use daypass_access::pipeline::Gating;
use daypass_access::time::Micros;
use daypass_control::Controller;
use daypass_gateway::tls::FrontTls;
use daypass_gateway::{Config, Gateway, GatewayHandle, Limits};
use daypass_journal::{Journal, Options};
use daypass_ledger::note::Signer;
use daypass_ledger::sealed::{Sealer, sealed_in};
use daypass_vault::{MasterKey, Vault, namespace};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

static DATABASES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn bin(name: &str) -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed: `cargo xtask test` does it");
    let found = folders.flatten().map(|entry| entry.path().join("bin").join(name)).find(|path| path.exists());
    found.expect("a server")
}

/// The port of a server that lives as long as this process.
pub(crate) fn server() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        // The server dies with the thread that started it, and the thread with the process.
        std::thread::spawn(move || {
            clear_away();
            let prefix = format!("{LEFT_BEHIND}{}-", std::process::id());
            let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
            let (mut child, port) = start_server(folder.path());
            send.send(port).unwrap();
            child.wait().unwrap();
            drop(folder);
        });
        receive.recv().expect("the server starts")
    })
}

/// What folders of servers are called; the process id follows.
const LEFT_BEHIND: &str = "daypass-gateway-test-";

/// Removes the folders of servers whose process has ended: nobody was left to do it.
fn clear_away() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(LEFT_BEHIND).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn unprivileged(program: PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn start_server(folder: &std::path::Path) -> (std::process::Child, u16) {
    if Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
        assert!(Command::new("chown").arg("postgres").arg(folder).status().unwrap().success());
    }
    let made = unprivileged(bin("initdb"))
        .args(["--auth=trust", "--username=owner", "--no-sync", "--locale=C.UTF-8", "-D"])
        .arg(folder.join("data"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let child = unprivileged(bin("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-p", &port.to_string(), "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the server takes connections", || direct(port, "postgres", "SELECT 1").status.success());
    (child, port)
}

pub(crate) fn direct(port: u16, database: &str, sql: &str) -> Output {
    Command::new(bin("psql"))
        .args([
            "-X",
            "-A",
            "-t",
            "-h",
            "127.0.0.1",
            "-U",
            "owner",
            "-p",
            &port.to_string(),
            "-d",
            database,
            "-c",
            sql,
        ])
        .output()
        .unwrap()
}

/// Polls until `what` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = SystemTime::now();
    while !holds() {
        assert!(began.elapsed().unwrap() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

const ROLES: &str = r#"
[roles.all]
select = { env = "test" }
who_may_ask = ["engineers"]
allow = ["read", "write", "ddl", "copy-in", "copy-out", "call", "admin"]
hold = []
default_duration = "1h"
max_duration = "8h"

[roles.reader]
select = { env = "test" }
who_may_ask = ["engineers"]
allow = ["read"]
default_duration = "1h"
max_duration = "8h"

[roles.careful]
select = { env = "test" }
who_may_ask = ["engineers"]
allow = ["read", "write"]
default_duration = "1h"
max_duration = "8h"
"#;

const TEAMS: &str = r#"
[teams.engineers]
members = ["bob"]

[teams.admins]
members = ["alice"]
"#;

const SYSTEM: &str = r#"
[system]
administrators = ["admins"]
may_kill = ["admins"]
may_release = ["admins"]
"#;

/// The folder of a house, removed when nobody writes to it any more.
pub(crate) struct Ground {
    folder: TempDir,
    controller: Controller,
    journal: Journal,
}

impl Ground {
    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.controller.clone().close().ok();
        self.journal.clone().close();
    }
}

pub(crate) struct House {
    pub(crate) database: String,
    pub(crate) controller: Controller,
    pub(crate) journal: Journal,
    pub(crate) vault: Arc<Vault>,
    pub(crate) gateway: GatewayHandle,
    pub(crate) ahead: Arc<AtomicU64>,
    pub(crate) ca_pem: String,
    bob: LoginId,
    alice: LoginId,
    passes: AtomicU64,
    /// Last, because it is dropped last.
    pub(crate) folder: Ground,
}

pub(crate) struct Settings {
    pub(crate) gate: Gating,
    pub(crate) limits: Limits,
    pub(crate) journal: fn(PathBuf, Signer) -> Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gate: Gating::default(),
            limits: Limits::default(),
            journal: |dir, signer| Options::new(dir, signer),
        }
    }
}

pub(crate) fn certificate() -> (String, String, String) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "the authority");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let own = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    (ca.pem(), own.pem(), key.serialize_pem())
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let port = server();
        let database = format!("db{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let made = direct(port, "postgres", &format!("CREATE DATABASE {database}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let folder = tempfile::Builder::new().prefix("daypass-house").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let vault = Vault::create(&at("vault"), MasterKey::new([7; 32])).unwrap();
        vault.put(namespace::LOG_KEY, "test/control", &[1; 32]).unwrap();
        vault.put(namespace::TARGET, "target", br#"{"user":"owner"}"#).unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let clock = {
            let ahead = Arc::clone(&ahead);
            Arc::new(move || Micros(now() + ahead.load(Ordering::Relaxed)))
        };
        let options = daypass_control::Options { dir: at("control"), origin: "test/control".into() };
        let (controller, _) = Controller::open(options, vault.clone(), clock).unwrap();
        let (bob, alice) = found(&controller, port, &database).await;
        let signer = Signer::new("test/activity", &[2; 32]).unwrap();
        let (journal, _) = Journal::open((settings.journal)(at("activity"), signer), now).unwrap();
        let (ca_pem, chain, key) = certificate();
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: Arc::new(FrontTls::new(chain.as_bytes(), key.as_bytes()).unwrap()),
            gate: settings.gate,
            limits: settings.limits,
            threads: 1,
        };
        let vault = Arc::new(vault);
        let gateway =
            Gateway::start(&config, controller.clone(), journal.clone(), Arc::clone(&vault)).unwrap();
        std::fs::write(at("ca.pem"), &ca_pem).unwrap();
        Self {
            database,
            folder: Ground { folder, controller: controller.clone(), journal: journal.clone() },
            controller,
            journal,
            vault,
            gateway,
            ahead,
            ca_pem,
            bob,
            alice,
            passes: AtomicU64::new(0),
        }
    }

    pub(crate) async fn by_bob(&self, ask: Ask) -> daypass_control::Outcome {
        self.controller.submit(Wish::by_login(&self.bob, ask)).await.unwrap()
    }

    pub(crate) async fn by_alice(&self, ask: Ask) -> daypass_control::Outcome {
        self.controller.submit(Wish::by_login(&self.alice, ask)).await.unwrap()
    }

    /// A grant of that role for bob, and a pass for it.
    pub(crate) async fn grant(&self, role: &str, duration_s: u64) -> (GrantId, String) {
        let ask = Ask::Request {
            resource: ResourceId::new("orders"),
            role: Some(RoleId::new(role)),
            reason: "a test".into(),
            duration_s: Some(duration_s),
            starts: None,
            classes: None,
            urgency: Urgency::Normal,
            ticket: None,
        };
        let state = self.by_bob(ask).await.state;
        let grant = state.grants().iter().last().expect("a grant without steps").id().clone();
        let pass = format!("dp_{}", self.passes.fetch_add(1, Ordering::Relaxed));
        let token_sha256 = hex::encode(Sha256::digest(pass.as_bytes()));
        self.by_bob(Ask::IssuePass { grant: grant.clone(), token_sha256 }).await;
        (grant, pass)
    }

    pub(crate) async fn pass(&self, role: &str) -> String {
        self.grant(role, 3600).await.1
    }

    pub(crate) fn port(&self) -> u16 {
        self.gateway.local_addr().port()
    }

    pub(crate) fn psql_command(&self, pass: &str) -> Command {
        self.psql_command_as("orders", pass)
    }

    /// A psql that asks for `user`.
    pub(crate) fn psql_command_as(&self, user: &str, pass: &str) -> Command {
        let mut command = Command::new(bin("psql"));
        let address = format!(
            "host=127.0.0.1 port={} user={user} dbname=orders sslmode=verify-full sslrootcert={}",
            self.port(),
            self.folder.path().join("ca.pem").display()
        );
        command.env("PGPASSWORD", pass).args(["-X", "-A", "-t", "-d", &address]);
        command
    }

    /// Runs one psql through the gateway, with these `-c` strings.
    pub(crate) async fn psql(&self, pass: &str, sql: &[&str]) -> Said {
        let mut command = self.psql_command(pass);
        for text in sql {
            command.args(["-c", text]);
        }
        said(command).await
    }

    pub(crate) fn direct(&self, sql: &str) -> String {
        let output = direct(server(), &self.database, sql);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Everything in the activity log, durable: one line each.
    pub(crate) fn log(&self) -> Vec<String> {
        let size = self.journal.size();
        until("the log is durable", || self.journal.covered().size() >= size);
        let stored = self.journal.read(0, usize::MAX).unwrap();
        let line = |record: &daypass_journal::Stored| {
            let opened = record.sidecar.as_ref().map(|sidecar| {
                let sealed = sealed_in(&record.leaf).unwrap().expect("a sealed record");
                let key = self.vault.subject_key(&sealed.subject).unwrap();
                let fields = Sealer::new(&sealed.subject, &key).unwrap().open(&sealed, sidecar).unwrap();
                let subject = (&*sealed.subject != "bob").then(|| format!("of={}", sealed.subject));
                let fields = fields.iter().map(|f| format!("{}={}", f.id, String::from_utf8_lossy(&f.value)));
                let fields = subject.into_iter().chain(fields).map(without_port);
                fields.collect::<Vec<_>>().join(" ")
            });
            let activity = ActivityRecord::decode(&record.leaf).unwrap().activity;
            format!("{} {}", line_of(&activity), opened.unwrap_or_default()).trim_end().to_owned()
        };
        stored.iter().map(line).collect()
    }

    /// The records of one kind.
    pub(crate) fn log_of(&self, kind: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.split(' ').next() == Some(kind)).collect()
    }
}

/// A client's port is another one each time.
fn without_port(field: String) -> String {
    match field.rsplit_once(':') {
        Some((origin, _)) if field.starts_with("origin=") => origin.to_owned(),
        _ => field,
    }
}

fn line_of(activity: &Activity<'_>) -> String {
    match activity {
        Activity::Intent(i) => format!("intent {} {}", i.action, i.verb),
        Activity::Outcome(o) => format!("outcome {} {} {} {} {}", o.action, o.result, o.tag, o.rows, o.code),
        Activity::Denied(d) => format!("denied {} {} {}", d.action, d.verb, d.because),
        Activity::Held(h) => format!("held {} {}", h.action, h.verb),
        Activity::Refused(r) => format!("refused {} {}", r.resource.as_deref().unwrap_or("-"), r.because),
        Activity::SessionOpened(s) => format!("session-opened {} {}", s.person, s.protocol),
        Activity::SessionClosed(s) => format!("session-closed {} {}", s.because, s.actions),
        Activity::TargetReached(t) => format!("target-reached {}", t.backend > 0 && t.from.contains(':')),
        Activity::Cancel(c) => format!("cancel {}", c.forwarded),
        Activity::Recovered(_) | Activity::LowSpace(_) => activity.kind().to_owned(),
    }
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn said(mut command: Command) -> Said {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        err: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
}

async fn found(controller: &Controller, port: u16, database: &str) -> (LoginId, LoginId) {
    let resources = format!(
        "[resources.orders]\nkind = \"postgres\"\naddress = \"127.0.0.1:{port}\"\ndatabase = \"{database}\"\n\
         tls = \"off\"\ncredential = \"target\"\nlabels = {{ env = \"test\" }}\n"
    );
    let files: BTreeMap<String, String> = [
        ("resources.toml", resources.as_str()),
        ("roles.toml", ROLES),
        ("teams.toml", TEAMS),
        ("system.toml", SYSTEM),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let person = |name: &str| NewPerson {
        person: PersonId::new(name),
        profile: Profile::new(PersonKind::Staff),
        name: name.to_owned(),
        email: String::new(),
        invitation_sha256: Some(hex::encode(Sha256::digest(name))),
    };
    let people = vec![person("bob"), person("alice")];
    controller.submit(Wish::by_system(Ask::Found { people, files })).await.unwrap();
    let mut logins = Vec::new();
    for name in ["bob", "alice"] {
        let invitation_sha256 = hex::encode(Sha256::digest(name));
        let enroll =
            Ask::Enroll { person: PersonId::new(name), invitation_sha256, factors: vec!["totp".into()] };
        controller.submit(Wish::by_system(enroll)).await.unwrap();
        let token_sha256 = hex::encode(Sha256::digest(format!("login of {name}")));
        let login = Ask::OpenLogin {
            person: PersonId::new(name),
            token_sha256: token_sha256.clone(),
            factor_step: Some(1),
        };
        let state = controller.submit(Wish::by_system(login)).await.unwrap().state;
        logins.push(state.authenticate_login(&token_sha256, controller.now()).unwrap().id.clone());
    }
    (logins[0].clone(), logins[1].clone())
}

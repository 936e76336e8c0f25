//! A Daypass in front of a throwaway PostgreSQL: `init`, `serve`, people, policy, secrets, grants and passes, all of it from
//! outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use daypass_api::auth::{EnrollRequest, EnrollResponse, LoginRequest, LoginResponse};
use daypass_api::health::Health;
use daypass_api::hidden::Hidden;
use daypass_api::log::{Record, RecordPage};
use daypass_api::people::{Invitation, NewPerson, PersonKind, PutSecret};
use daypass_api::policy::{PolicyApplied, PolicyFiles};
use daypass_api::requests::{Grant, NewRequest, Pass, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::binary::daypass_binary;
use crate::endpoint::{Endpoint, Tls};
use crate::postgres::{Postgres, free_port};
use crate::process::{Running, inherited};

/// The password of everybody in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// What a test may want different.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Lines for `[postgres]` in daypass.toml.
    pub postgres: Vec<String>,
    /// Resources beside `app`: name and database.
    pub resources: Vec<(String, String)>,
    /// Where to make the installation; the temporary folder, which may be in memory, when absent.
    pub parent: Option<PathBuf>,
}

/// Somebody who logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The API as this person.
    pub api: Api,
}

/// A running Daypass.
#[derive(Debug)]
pub struct Daypass {
    server: Running,
    people: BTreeMap<String, Person>,
    anyone: Api,
    ca: PathBuf,
    folder: TempDir,
}

impl Daypass {
    /// Makes an installation, starts it, and puts people, policy and the target's credential in place.
    pub async fn start(postgres: &Postgres, settings: Settings) -> Self {
        let parent = settings.parent.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("daypass").tempdir_in(parent).unwrap();
        let (api_port, postgres_port) = (free_port(), free_port());
        let home = folder.path().join("installation");
        let printed = init(&home, api_port, postgres_port);
        add_settings(&home.join("daypass.toml"), &settings.postgres);
        let ca = find(&home, "ca.pem").unwrap_or_else(|| panic!("`daypass init` made no ca.pem:\n{printed}"));
        let anyone = Api::new(&format!("https://localhost:{api_port}"), &std::fs::read(&ca).unwrap());
        let server = serve(folder.path());
        let mut started = Self { server, people: BTreeMap::new(), anyone, ca, folder };
        started.wait().await;
        started.people(&invitation(&printed)).await;
        started.govern(postgres, &settings).await;
        started
    }

    /// Waits until the API answers.
    async fn wait(&mut self) {
        let anyone = self.anyone.clone();
        self.server.until_ready(async || anyone.answers().await).await;
    }

    /// Enrolls alice with the code of `init`, then lets her invite the others.
    async fn people(&mut self, code: &str) {
        self.enroll("alice", code).await;
        for id in ["bob", "ada"] {
            let new = NewPerson {
                id: id.to_owned(),
                kind: PersonKind::Staff,
                name: Some(format!("{id} of the tests")),
                email: None,
                manager: None,
                organisation: None,
                sponsor: None,
                tenure_starts_at: None,
                tenure_ends_at: None,
                time_zone: None,
                hours: None,
                alias_of: None,
            };
            let invited: Invitation = self.as_person("alice").post("people", &new).await.unwrap();
            self.enroll(id, invited.code.expose()).await;
        }
    }

    async fn enroll(&mut self, id: &str, code: &str) {
        let body = EnrollRequest {
            person: id.to_owned(),
            code: Hidden(code.to_owned()),
            password: Hidden(PASSWORD.to_owned()),
        };
        let enrolled: EnrollResponse = self.anyone.post("enroll", &body).await.unwrap();
        let body = LoginRequest {
            person: id.to_owned(),
            password: Hidden(PASSWORD.to_owned()),
            totp: Hidden(code_now(enrolled.totp_seed.expose())),
        };
        let login: LoginResponse = self.anyone.post("login", &body).await.unwrap();
        self.people.insert(id.to_owned(), Person { api: self.anyone.with_token(login.token.expose()) });
    }

    async fn govern(&self, postgres: &Postgres, settings: &Settings) {
        let alice = self.as_person("alice");
        let target = postgres.endpoint("app");
        let secret = PutSecret {
            user: target.user.clone(),
            password: Some(Hidden(target.password.clone())),
            client_cert_pem: None,
            client_key_pem: None,
        };
        let _: Value = alice.put("secrets/target", &secret).await.unwrap();
        let files = PolicyFiles { files: policy(target.port, &settings.resources), expected_version: None };
        let _: PolicyApplied = alice.post("policy/apply", &files).await.unwrap();
    }

    /// The API as one of alice, bob, ada.
    #[must_use]
    pub fn as_person(&self, id: &str) -> &Api {
        &self.people.get(id).unwrap_or_else(|| panic!("there is no {id} in these tests")).api
    }

    /// A grant, approved by policy.
    pub async fn grant(&self, person: &str, resource: &str, role: &str, duration_s: Option<u64>) -> Grant {
        let ask = NewRequest {
            resource: resource.to_owned(),
            role: Some(role.to_owned()),
            reason: Some("the tests of today".to_owned()),
            duration_s,
            starts_at: None,
        };
        let api = self.as_person(person);
        let request: Request = api.post("requests", &ask).await.unwrap();
        let id = request.grant.unwrap_or_else(|| panic!("policy did not approve {}", request.id));
        let grants: daypass_api::List<Grant> = api.get("grants").await.unwrap();
        grants.items.into_iter().find(|grant| grant.id == id).unwrap_or_else(|| panic!("{id} is not listed"))
    }

    /// The way through the gateway with a new pass of a grant.
    pub async fn pass(&self, grant: &Grant) -> Endpoint {
        let path = format!("grants/{}/passes", grant.id);
        let pass: Pass = self.as_person(&grant.person).post(&path, &json!({})).await.unwrap();
        Endpoint {
            host: "localhost".to_owned(),
            port: pass.port,
            user: pass.user,
            password: pass.token.expose().to_owned(),
            database: pass.database,
            tls: self.tls(),
        }
    }

    /// How the way through the gateway is protected.
    #[must_use]
    pub fn tls(&self) -> Tls {
        Tls::Verified(self.ca.clone())
    }

    /// The way through the gateway with a new grant of the default duration.
    pub async fn endpoint(&self, person: &str, resource: &str, role: &str) -> Endpoint {
        let grant = self.grant(person, resource, role, None).await;
        self.pass(&grant).await
    }

    /// Every record that the query (`kind=intent&person=bob`) selects, oldest first, read as ada.
    pub async fn records(&self, query: &str) -> Vec<Record> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("log/records?limit=1000&{query}{after}");
            let page: RecordPage = self.as_person("ada").get(&path).await.unwrap();
            let came = page.items.len();
            found.extend(page.items);
            match page.next.filter(|_| !page.end && came > 0) {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    }

    /// How it is doing.
    pub async fn health(&self) -> Health {
        self.as_person("alice").get("health").await.unwrap()
    }

    /// The process that serves.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.server.ended()
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.server.printed()
    }

    /// The folder of the installation: configuration, policy, data.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("installation")
    }

    /// Ends it in good order, so that everything is synced and published.
    pub async fn stop(&mut self) {
        let status = self.server.end("TERM").await;
        assert!(status.success(), "serve ended with {status}:\n{}", self.printed());
    }

    /// Starts it again after it ended.
    pub async fn restart(&mut self) {
        assert!(self.server.ended().is_some(), "it still runs");
        self.server = serve(self.folder.path());
        self.wait().await;
    }

    /// Runs `daypass` with these arguments and says what it printed and whether it ended well.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(daypass_binary());
        command.args(arguments).env("DAYPASS_HOME", self.folder.path().join("home"));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn init(home: &Path, api_port: u16, postgres_port: u16) -> String {
    let mut command = Command::new(daypass_binary());
    command.arg("init").arg(home).args(["--administrator", "alice", "--host", "localhost"]);
    command.arg("--api-listen").arg(format!("127.0.0.1:{api_port}"));
    command.arg("--postgres-listen").arg(format!("127.0.0.1:{postgres_port}"));
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "daypass init: {printed}");
    printed
}

fn serve(folder: &Path) -> Running {
    let mut command = Command::new(daypass_binary());
    command.env_clear().envs(inherited());
    command.arg("serve").arg("--config").arg(folder.join("installation/daypass.toml"));
    Running::start(command, "daypass serve", &folder.join("serve.log"))
}

/// The invitation code in what `init` printed.
fn invitation(printed: &str) -> String {
    let words = printed.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
    let code = words.into_iter().find(|word| word.starts_with("di_"));
    code.unwrap_or_else(|| panic!("`daypass init` printed no invitation:\n{printed}")).to_owned()
}

fn add_settings(config: &Path, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let text = std::fs::read_to_string(config).unwrap();
    let (before, after) =
        text.split_once("[postgres]").unwrap_or_else(|| panic!("no [postgres] in:\n{text}"));
    std::fs::write(config, format!("{before}[postgres]\n{}{after}", lines.join("\n"))).unwrap();
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|n| n == name)).cloned();
    here.or_else(|| entries.iter().find_map(|path| find(path, name)))
}

fn policy(port: u16, more: &[(String, String)]) -> BTreeMap<String, String> {
    let mut resources = String::new();
    let own = ("app".to_owned(), "app".to_owned());
    for (name, database) in std::iter::once(&own).chain(more) {
        resources.push_str(&format!(
            "[resources.{name}]\nkind = \"postgres\"\naddress = \"127.0.0.1:{port}\"\ndatabase = \"{database}\"\n\
             tls = \"off\"\ncredential = \"target\"\nlabels = {{ env = \"test\" }}\n\n"
        ));
    }
    let texts = [
        ("resources.toml", resources.as_str()),
        ("roles.toml", ROLES),
        ("teams.toml", TEAMS),
        ("system.toml", SYSTEM),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

const ROLES: &str = r#"
[roles.everything]
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

[teams.auditors]
members = ["ada"]
"#;

const SYSTEM: &str = r#"
[system]
administrators = ["admins"]
auditors = ["auditors"]
may_kill = ["admins"]
may_release = ["admins"]
"#;

/// The code that an authenticator with this seed shows now.
fn code_now(seed: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(seed).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
    let totp =
        totp_rs::Builder::new().with_secret(secret).build().unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
    totp.generate(now_s()).to_string()
}

#[expect(clippy::disallowed_methods, reason = "an authenticator has a clock")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

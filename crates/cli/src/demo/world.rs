//! The demo's world: a PostgreSQL, a gateway in front of it, five people, a policy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daypass_access::time::Micros;
use serde_json::Value;

use super::postgres::{Postgres, free_port};
use super::process::{Daypass, Running};
use crate::commands::Context;
use crate::home::write_private;
use crate::trouble::Trouble;
use crate::{random, when};

/// Everything that runs, and where it lies.
#[derive(Debug, Default)]
pub(crate) struct World {
    folder: PathBuf,
    program: PathBuf,
    url: String,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) server: Option<Running>,
}

/// Everybody but the administrator: who they are to `daypass person add`.
const PEOPLE: [(&str, &[&str]); 5] = [
    ("alice", &["--name", "Alice Okafor", "--email", "alice@shop.example"]),
    (
        "bob",
        &[
            "--name",
            "Bob Lindqvist",
            "--email",
            "bob@agency.example",
            "--kind",
            "contractor",
            "--organisation",
            "Northwind Agency",
            "--sponsor",
            "alice",
            "--time-zone",
            "Europe/Stockholm",
            "--hours",
            "mon-fri 08:00-18:00",
        ],
    ),
    ("carol", &["--name", "Carol Mensah", "--email", "carol@shop.example", "--manager", "alice"]),
    ("ada", &["--name", "Ada Petrova", "--email", "ada@audit.example"]),
    // Bob's second account, with more power: it helps him nothing.
    ("bob-admin", &["--name", "Bob Lindqvist", "--manager", "alice", "--alias-of", "bob"]),
];

const TEAMS: &str = r#"[teams.administrators]
members = ["pia"]

[teams.leads]
members = ["alice", "bob-admin"]

[teams.contractors]
members = ["bob"]

[teams.on-call]
members = ["carol"]

[teams.auditors]
members = ["ada"]
"#;

const SYSTEM: &str = r#"[system]
administrators = ["administrators"]
auditors = ["auditors"]
may_kill = ["leads", "on-call"]
may_release = ["leads"]
"#;

const ROLES: &str = r#"# Contractors fix orders; a lead has to agree.
[roles.orders-fix]
select = { system = "orders" }
who_may_ask = ["contractors"]
allow = ["read", "write"]
default_duration = "1h"
max_duration = "8h"
contractor_max = "4h"
extend = { by = "30m", times = 1, approval = "none" }

[[roles.orders-fix.steps]]
any_of = ["leads"]
count = 1

# Whoever is on call looks at once.
[roles.orders-look]
select = { system = "orders" }
who_may_ask = ["on-call"]
allow = ["read"]
default_duration = "1h"
max_duration = "8h"
extend = { by = "30m", times = 4, approval = "none" }
"#;

impl World {
    /// Builds everything, saying what it does. `usual_ports`: take the ports of the documentation when they are free.
    pub(crate) async fn build(
        &mut self,
        c: &Context,
        folder: &Path,
        usual_ports: bool,
    ) -> Result<(), Trouble> {
        self.folder = folder.to_owned();
        self.program = std::env::current_exe().map_err(Trouble::file("daypass", "find our own program"))?;
        c.out.note("· a throwaway PostgreSQL with a shop of 5,000 customers and 20,000 orders")?;
        let postgres = Postgres::start(&folder.join("postgres")).await?;
        let (target_port, target_password) = (postgres.port, postgres.gateway_password.clone());
        self.postgres = Some(postgres);
        c.out.note("· a gateway and a control plane, founded by `daypass init`")?;
        let invitation = self.found(usual_ports).await?;
        self.serve().await?;
        c.out.note(
            "· people: Alice (lead), Bob (contractor), Carol (on call), Ada (auditor), Pia (platform)",
        )?;
        self.enrol("pia", &invitation).await?;
        for (person, rest) in PEOPLE {
            let mut arguments = vec!["person", "add", person];
            arguments.extend(rest);
            if person == "bob" {
                arguments.extend(["--tenure-end", "2099-06-30"]);
            }
            let invited = self.daypass("pia").json(&arguments, "").await?;
            self.enrol(person, text(&invited, "code")?).await?;
        }
        c.out.note("· policy, and the credential of the database in the vault")?;
        self.daypass("pia")
            .run_with(
                &["secret", "set", "prod-orders", "--user", "orders_gateway", "--password-stdin"],
                &format!("{target_password}\n"),
            )
            .await?
            .ok("daypass secret set")?;
        let policy = self.write_policy(target_port)?;
        let policy = policy.display().to_string();
        self.daypass("pia").run(&["policy", "check", &policy]).await?.ok("daypass policy check")?;
        self.daypass("pia").run(&["policy", "apply", &policy]).await?.ok("daypass policy apply")?;
        Ok(())
    }

    /// `daypass init`; gives the invitation of the administrator.
    async fn found(&mut self, usual_ports: bool) -> Result<String, Trouble> {
        let port = |usual: u16| -> Result<u16, Trouble> {
            let free = usual_ports && std::net::TcpListener::bind(("127.0.0.1", usual)).is_ok();
            if free { Ok(usual) } else { free_port() }
        };
        let (api, gateway) = (port(8440)?, port(5440)?);
        self.url = format!("https://127.0.0.1:{api}");
        let folder = self.gateway().display().to_string();
        let (api, gateway) = (format!("127.0.0.1:{api}"), format!("127.0.0.1:{gateway}"));
        let arguments = [
            "init",
            &folder,
            "--administrator",
            "pia",
            "--name",
            "Pia Berg",
            "--api-listen",
            &api,
            "--postgres-listen",
            &gateway,
        ];
        let founded = self.daypass("pia").json(&arguments, "").await?;
        Ok(text(&founded, "invitation")?.to_owned())
    }

    async fn serve(&mut self) -> Result<(), Trouble> {
        let config = self.gateway().join("daypass.toml").display().to_string();
        let command = self.daypass("pia").command(&["serve", "--config", &config]);
        let mut server = Running::start("daypass serve", command)?;
        server.until_said("ready", Duration::from_secs(30)).await?;
        self.server = Some(server);
        Ok(())
    }

    /// Chooses a password, sets up the second factor, logs in.
    async fn enrol(&self, person: &str, invitation: &str) -> Result<(), Trouble> {
        let daypass = self.daypass(person);
        let password = format!("{}-{}", random::hex(4), random::hex(4));
        let authority = self.data().join("ca.pem").display().to_string();
        let trusted = ["--url", &self.url, "--ca", &authority, "--password-stdin"];
        let enroll: Vec<&str> = ["enroll", person, invitation].into_iter().chain(trusted).collect();
        let enrolled = daypass.json(&enroll, &format!("{password}\n")).await?;
        let seed = text(&enrolled, "totp_seed")?;
        write_private(&daypass.home().join("totp"), seed.as_bytes())?;
        write_private(&daypass.home().join("password"), password.as_bytes())?;
        let code = totp(seed, when::now())?;
        let login = ["login", &self.url, "--person", person, "--password-stdin", "--code", &code];
        daypass.run_with(&login, &format!("{password}\n")).await?.ok("daypass login")?;
        Ok(())
    }

    fn write_policy(&self, target_port: u16) -> Result<PathBuf, Trouble> {
        let folder = self.gateway().join("policy");
        let resources = format!(
            "[resources.prod-orders]\nkind = \"postgres\"\naddress = \"127.0.0.1:{target_port}\"\ndatabase = \"orders\"\n\
             tls = \"off\"                         # the same machine\ncredential = \"prod-orders\"\n\
             labels = {{ env = \"prod\", system = \"orders\" }}\n"
        );
        let files = [
            ("resources.toml", resources.as_str()),
            ("roles.toml", ROLES),
            ("teams.toml", TEAMS),
            ("system.toml", SYSTEM),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Trouble::file(&path, "write"))?;
        }
        Ok(folder)
    }

    pub(crate) fn daypass(&self, person: &str) -> Daypass {
        Daypass::of(&self.program, &self.home(person))
    }

    pub(crate) fn home(&self, person: &str) -> PathBuf {
        home(&self.folder, person)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The installation's folder.
    pub(crate) fn gateway(&self) -> PathBuf {
        self.folder.join("gateway")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.gateway().join("data")
    }

    pub(crate) async fn stop_server(&mut self) -> Result<(), Trouble> {
        match self.server.take() {
            Some(mut server) => server.stop("TERM").await,
            None => Ok(()),
        }
    }

    pub(crate) async fn stop_postgres(&mut self) -> Result<(), Trouble> {
        match self.postgres.take() {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }

    /// Ends every process.
    pub(crate) async fn stop(&mut self) -> Result<(), Trouble> {
        let server = self.stop_server().await;
        let postgres = self.stop_postgres().await;
        server.and(postgres)
    }
}

/// Where a person's own files are.
pub(crate) fn home(folder: &Path, person: &str) -> PathBuf {
    folder.join(person)
}

/// The code that an authenticator with this base32 seed shows.
pub(crate) fn totp(seed: &str, now_us: u64) -> Result<String, Trouble> {
    let bytes = base32(seed);
    bytes
        .and_then(|bytes| daypass_server::login::totp::code(&bytes, Micros(now_us)))
        .ok_or_else(|| Trouble::input("the seed of the second factor cannot be read", "it is base32 text"))
}

fn base32(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut bytes) = (0_u32, 0_u32, Vec::new());
    for symbol in text.trim_end_matches('=').chars() {
        let value = u32::try_from(ALPHABET.find(symbol)?).ok()?;
        bits = (bits << 5 | value) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// A text member of a JSON answer.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Trouble> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| {
        Trouble::program(
            format!("an answer has no `{name}`: {value}"),
            "both programs should be of the same version",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1: the 8-digit code at 59 s is 94287082; authenticators show the last six.
        assert_eq!(totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59_000_000).unwrap(), "287082");
        assert!(totp("not base32!", 0).is_err());
    }
}

//! A whole installation in a temporary folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use daypass_api::hidden::Hidden;
use daypass_server::config::Config;
use daypass_server::{Founding, Running, clock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::house::people::{PASSWORD, Visitor};

/// A server that runs, and its founder's invitation.
pub(crate) struct House {
    dir: TempDir,
    running: Running,
    invitation: Hidden,
}

impl House {
    /// Founds an installation and starts it.
    pub(crate) async fn found() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let founding = Founding {
            dir: dir.path().to_owned(),
            administrator: "alice".to_owned(),
            administrator_name: "Alice Example".to_owned(),
            host_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            api_listen: free,
            postgres_listen: free,
            log_name: "daypass.test".to_owned(),
            policy: None,
        };
        let founded =
            tokio::task::spawn_blocking(move || daypass_server::init(&founding)).await.unwrap().unwrap();
        let running = start(dir.path()).await;
        Self { dir, running, invitation: founded.invitation }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.running.api.port())
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Somebody without a login.
    pub(crate) fn stranger(&self) -> Visitor {
        let ca = std::fs::read(self.dir.path().join("data/ca.pem")).unwrap();
        Visitor::new(self.url(), &ca)
    }

    /// Alice, enrolled and logged in.
    pub(crate) async fn administrator(&self) -> Visitor {
        self.enroll("alice", self.invitation.expose()).await
    }

    pub(crate) fn contractor_body(&self, id: &str) -> Value {
        json!({
            "id": id, "kind": "contractor", "name": "Somebody Else", "organisation": "Elsewhere", "sponsor": "alice",
            "tenure_ends_at": clock::now().plus_s(30 * 86_400).0,
        })
    }

    /// A contractor, invited, enrolled and logged in.
    pub(crate) async fn contractor(&self, by: &Visitor, id: &str) -> Visitor {
        let invitation = by.post("/v1/people", self.contractor_body(id)).await;
        self.enroll(id, invitation["code"].as_str().unwrap()).await
    }

    async fn enroll(&self, person: &str, code: &str) -> Visitor {
        let mut visitor = self.stranger();
        let body = json!({"person": person, "code": code, "password": PASSWORD});
        let enrolled = visitor.post("/v1/enroll", body).await;
        visitor.login(person, enrolled["totp_seed"].as_str().unwrap()).await;
        visitor
    }

    /// A policy with one resource that one team may ask for and another approves.
    pub(crate) async fn apply_policy(&self, by: &Visitor) {
        self.apply_policy_with(by, "", "").await;
    }

    /// The same, with more teams and more of the system.
    pub(crate) async fn apply_policy_with(&self, by: &Visitor, teams: &str, system: &str) {
        let files = json!({
            "resources.toml": "[resources.prod-orders]\nkind = \"postgres\"\naddress = \"127.0.0.1:1\"\ndatabase = \"orders\"\n\
                tls = \"off\"\ncredential = \"prod-orders\"\nlabels = { system = \"orders\" }\n",
            "roles.toml": "[roles.orders-fix]\nselect = { system = \"orders\" }\nwho_may_ask = [\"contractors\"]\n\
                allow = [\"read\", \"write\"]\ndefault_duration = \"1h\"\nmax_duration = \"4h\"\n\
                [[roles.orders-fix.steps]]\nany_of = [\"leads\"]\ncount = 1\n",
            "teams.toml": format!("[teams.administrators]\nmembers = [\"alice\"]\n[teams.leads]\nmembers = [\"alice\"]\n\
                [teams.contractors]\nmembers = [\"bob\"]\n{teams}"),
            "system.toml": format!("[system]\nadministrators = [\"administrators\"]\n{system}"),
        });
        by.post("/v1/policy/apply", json!({"files": files})).await;
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.running.stop().await.unwrap();
        self.dir
    }

    pub(crate) async fn restart(self) -> Self {
        let invitation = self.invitation.clone();
        let dir = self.stop().await;
        let running = start(dir.path()).await;
        Self { dir, running, invitation }
    }
}

async fn start(dir: &Path) -> Running {
    daypass_server::serve(Config::read(&dir.join("daypass.toml")).unwrap()).await.unwrap()
}

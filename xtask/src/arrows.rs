//! The arrows between crates, from `cargo metadata`. Everything not in the table is forbidden.

use serde_json::Value;

use crate::step::{self, Broken};

/// Which of our crates a crate may use. A crate that is not here may not exist.
const ARROWS: [(&str, &[&str]); 15] = [
    ("daypass-ledger", &[]),
    ("daypass-access", &["ledger"]),
    ("daypass-pg", &["access", "ledger"]),
    ("daypass-api", &["access", "ledger"]),
    ("daypass-journal", &["ledger"]),
    ("daypass-vault", &["ledger"]),
    ("daypass-control", &["access", "journal", "ledger", "vault"]),
    ("daypass-gateway", &["access", "control", "journal", "ledger", "pg", "vault"]),
    ("daypass-server", &["access", "api", "control", "gateway", "journal", "ledger", "pg", "vault"]),
    ("daypass-cli", &["access", "api", "control", "gateway", "journal", "ledger", "pg", "server", "vault"]),
    ("daypass-testkit", &["access", "ledger", "pg"]),
    ("daypass-bench", &["api", "e2e", "journal", "ledger"]),
    ("daypass-e2e", &["api"]),
    ("daypass-fuzz", &["pg"]),
    ("xtask", &[]),
];

/// Crates that hold no socket, clock, randomness, file or task.
const PURE: [&str; 4] = ["daypass-ledger", "daypass-access", "daypass-pg", "daypass-api"];

/// What would make them impure.
const RIM: [&str; 14] = [
    "tokio",
    "mio",
    "socket2",
    "libc",
    "nix",
    "rustix",
    "rand",
    "getrandom",
    "axum",
    "hyper",
    "reqwest",
    "rustls",
    "tokio-rustls",
    "tracing",
];

/// Reads the workspace's packages and their direct dependencies.
pub(crate) fn metadata() -> Result<Value, Broken> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--locked"];
    let text = step::output_of(&step::cargo(), &arguments)
        .ok_or_else(|| Broken("`cargo metadata --locked` fails; is Cargo.lock up to date?".to_owned()))?;
    serde_json::from_str(&text).map_err(|e| Broken(format!("cannot read cargo metadata: {e}")))
}

/// Direct dependencies in the workspace: (package, dependency, kind), kind being `normal`, `dev` or `build`.
pub(crate) fn dependencies(metadata: &Value) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            found.push((name, dependency["name"].as_str().unwrap_or_default(), kind));
        }
    }
    found
}

/// Every arrow that is not drawn.
pub(crate) fn faults(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if allowed(name).is_none() {
            faults.push(format!(
                "crate `{name}` has no arrows: draw them in xtask/src/arrows.rs and ARCHITECTURE.md"
            ));
        }
    }
    for (from, to, kind) in dependencies(metadata) {
        let Some(arrows) = allowed(from) else { continue };
        if let Some(ours) = to.strip_prefix("daypass-") {
            let drawn = arrows.contains(&ours) || (kind == "dev" && ours == "testkit");
            if !drawn {
                faults.push(format!("`{from}` may not use `{to}`: that arrow is not drawn"));
            }
        } else if kind != "dev" && PURE.contains(&from) && RIM.contains(&to) {
            faults.push(format!("`{from}` is pure and may not use `{to}`: take it as a value"));
        }
    }
    faults
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        faults(&json!({"packages": [{"name": from, "dependencies": [{"name": to, "kind": kind}]}]}))
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_a_fault() {
        assert_eq!(with("daypass-access", "daypass-ledger", None), Vec::<String>::new());
        assert_eq!(with("daypass-ledger", "daypass-access", None).len(), 1);
        assert_eq!(with("daypass-pg", "daypass-gateway", Some("dev")).len(), 1);
        assert_eq!(with("daypass-gateway", "daypass-testkit", Some("dev")), Vec::<String>::new());
        assert_eq!(with("daypass-gateway", "daypass-testkit", None).len(), 1);
    }

    #[test]
    fn a_pure_crate_may_not_reach_the_rim() {
        assert_eq!(with("daypass-pg", "tokio", None).len(), 1);
        assert_eq!(with("daypass-pg", "rand", Some("dev")), Vec::<String>::new());
        assert_eq!(with("daypass-gateway", "tokio", None), Vec::<String>::new());
    }

    #[test]
    fn a_crate_without_arrows_is_a_fault() {
        assert_eq!(with("daypass-common", "serde", None).len(), 1);
    }

    #[test]
    fn the_table_has_no_circle() {
        fn reaches(from: &str, to: &str) -> bool {
            let next = allowed(&format!("daypass-{from}")).unwrap_or_default();
            next.iter().any(|step| *step == to || reaches(step, to))
        }
        for (name, _) in ARROWS {
            let short = name.trim_start_matches("daypass-");
            assert!(!reaches(short, short), "{name} reaches itself");
        }
    }
}

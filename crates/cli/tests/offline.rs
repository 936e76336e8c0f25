//! The real binary, without a control plane: what it prints, and how it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// How a run ended.
struct Ran {
    exit: i32,
    out: String,
    err: String,
}

fn daypass(folder: &TempDir, args: &[&str]) -> Ran {
    let ran = Command::new(env!("CARGO_BIN_EXE_daypass"))
        .args(args)
        .current_dir(folder.path())
        .env("DAYPASS_HOME", folder.path().join("home"))
        .env_remove("DAYPASS_SERVER")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { exit: ran.status.code().unwrap(), out: text(ran.stdout), err: text(ran.stderr) }
}

fn policy(folder: &Path, roles: &str) {
    let policy = folder.join("policy");
    fs::create_dir_all(&policy).unwrap();
    let resources = "[resources.prod-orders]\nkind = \"postgres\"\naddress = \"127.0.0.1:5432\"\ndatabase = \"orders\"\n\
        tls = \"off\"\ncredential = \"prod-orders\"\nlabels = { system = \"orders\" }\n";
    let teams = "[teams.leads]\nmembers = [\"alice\"]\n[teams.contractors]\nmembers = [\"bob\"]\n";
    for (name, text) in [
        ("resources.toml", resources),
        ("roles.toml", roles),
        ("teams.toml", teams),
        ("system.toml", "[system]\nadministrators = [\"leads\"]\n"),
    ] {
        fs::write(policy.join(name), text).unwrap();
    }
}

const ROLES: &str = "[roles.orders-fix]\nselect = { system = \"orders\" }\nwho_may_ask = [\"contractors\"]\n\
    allow = [\"read\", \"write\"]\ndefault_duration = \"1h\"\nmax_duration = \"4h\"\n\
    [[roles.orders-fix.steps]]\nany_of = [\"leads\"]\ncount = 1\n";

#[test]
fn completions_know_every_shell_and_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = daypass(&folder, &["completions", shell]);
        assert_eq!(ran.exit, 0, "{shell}: {}", ran.err);
        for word in ["who-had-access", "withdraw", "evidence"] {
            assert!(ran.out.contains(word), "{shell} does not complete `{word}`");
        }
    }
    assert_eq!(daypass(&folder, &["completions", "cmd.exe"]).exit, 2);
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let ran = daypass(&folder, &["man"]);
    assert!(ran.exit == 0 && ran.out.contains(".TH"), "{}", ran.err);
    let ran = daypass(&folder, &["man", "--dir", "pages"]);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let page = |name: &str| fs::read_to_string(folder.path().join("pages").join(name)).unwrap();
    assert!(page("daypass.1").contains("connect"));
    assert!(page("daypass-log-show.1").contains("activity/17"));
    let pages = fs::read_dir(folder.path().join("pages")).unwrap().count();
    assert!(ran.out.contains(&format!("wrote {pages} pages")), "{}", ran.out);
}

#[test]
fn a_policy_is_checked_here_and_planned_by_the_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    policy(folder.path(), ROLES);
    let ran = daypass(&folder, &["policy", "check"]);
    assert_eq!((ran.exit, ran.err.trim_end()), (0, "✓ 4 files, no mistakes"));
    policy(folder.path(), &ROLES.replace("\"read\"", "\"reed\""));
    let ran = daypass(&folder, &["policy", "check"]);
    assert_ne!(ran.exit, 0);
    assert!(ran.out.contains("policy/roles.toml:4: ") && ran.out.contains("reed"), "{}", ran.out);
    assert!(ran.err.contains("1 mistake") && ran.err.contains("hint: "), "{}", ran.err);
    let ran = daypass(&folder, &["--json", "policy", "check"]);
    let problems: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(problems.pointer("/0/line"), Some(&serde_json::json!(4)));
    let ran = daypass(&folder, &["policy", "plan"]);
    assert_eq!(ran.exit, 4, "{}", ran.err);
    assert!(ran.err.contains("hint: ") && ran.err.contains("daypass login"), "{}", ran.err);
}

#[test]
fn a_record_is_named_by_its_log_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let ran = daypass(&folder, &["log", "show", "seventeen"]);
    assert_eq!(ran.exit, 2, "{}", ran.err);
    assert!(
        ran.err.contains("`seventeen` names no record") && ran.err.contains("activity/17"),
        "{}",
        ran.err
    );
    assert_eq!(daypass(&folder, &["log", "show", "activity/17"]).exit, 4, "not logged in");
}

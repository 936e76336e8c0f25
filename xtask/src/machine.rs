//! What a task needs of the machine, and how to get it.
//!
//! On Debian and Ubuntu as root, what is missing is installed with one line that says so. Elsewhere the exact command is
//! printed and the task does not begin: it never half-works.

use std::path::Path;

use crate::step::{self, Broken};

/// Something a task needs beside cargo.
pub(crate) struct Need {
    what: &'static str,
    apt: &'static [&'static str],
    elsewhere: &'static str,
    present: fn() -> bool,
}

/// The C compiler, for the cryptography and the SQL grammar.
pub(crate) const COMPILER: Need = Need {
    what: "a C compiler",
    apt: &["build-essential"],
    elsewhere: "a C compiler and make (dnf install gcc make; xcode-select --install)",
    present: || step::works("cc", &["--version"]),
};

/// libclang, with which bindgen reads the header of PostgreSQL's own SQL grammar.
pub(crate) const LIBCLANG: Need = Need {
    what: "libclang",
    apt: &["libclang-dev"],
    elsewhere: "libclang (dnf install clang-devel; brew install llvm)",
    present: has_libclang,
};

/// A PostgreSQL server and its programs (`initdb`, `psql`, `pgbench`, `pg_dump`).
pub(crate) const POSTGRES: Need = Need {
    what: "a PostgreSQL server with psql and pgbench",
    apt: &["postgresql", "postgresql-contrib"],
    elsewhere: "PostgreSQL 13 or later, server and contrib (dnf install postgresql-server postgresql-contrib; brew install postgresql@17)",
    present: || !postgres_folders().is_empty() && step::works("psql", &["--version"]),
};

/// The pooler that the benchmark measures beside Daypass.
pub(crate) const PGBOUNCER: Need = Need {
    what: "PgBouncer and openssl",
    apt: &["pgbouncer", "openssl"],
    elsewhere: "PgBouncer and openssl (dnf install pgbouncer openssl; brew install pgbouncer openssl)",
    present: || step::works("openssl", &["version"]) && step::works("pgbouncer", &["--version"]),
};

/// Python with venv, for psycopg.
pub(crate) const PYTHON: Need = Need {
    what: "Python 3 with venv",
    apt: &["python3", "python3-venv"],
    elsewhere: "Python 3.9 or later with venv (dnf install python3; brew install python)",
    present: || step::works("python3", &["-c", "import venv, ensurepip"]),
};

/// Node.js with npm, for node-postgres.
pub(crate) const NODE: Need = Need {
    what: "Node.js with npm",
    apt: &["nodejs", "npm"],
    elsewhere: "Node.js 18 or later with npm (dnf install nodejs npm; brew install node)",
    present: || step::works("node", &["--version"]) && step::works("npm", &["--version"]),
};

/// Makes sure that everything a task needs is there before it begins.
pub(crate) fn ensure(needs: &[&Need]) -> Result<(), Broken> {
    let missing: Vec<&&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = list(missing.iter().map(|need| need.what));
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.apt.iter().copied()).collect();
    if !is_debian() {
        let hints = list(missing.iter().map(|need| need.elsewhere));
        return Err(Broken(format!("this machine lacks {what}\n  install {hints}, then run this again")));
    }
    let install = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_root() {
        return Err(Broken(format!(
            "this machine lacks {what}; run\n  sudo apt-get update && sudo {install}\nthen run this again"
        )));
    }
    println!("xtask installs {what}: {install}");
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    step::run_with("apt-get", &["update", "-qq"], &quiet)?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&packages);
    step::run_with("apt-get", &arguments, &quiet)?;
    match missing.iter().find(|need| !(need.present)()) {
        None => Ok(()),
        Some(need) => Err(Broken(format!(
            "apt-get installed {}, but {} still does not work",
            packages.join(" "),
            need.what
        ))),
    }
}

/// Makes sure that rustfmt and clippy are there.
pub(crate) fn ensure_components() -> Result<(), Broken> {
    let cargo = step::cargo();
    let parts = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let missing = parts.iter().filter(|(command, _)| !step::works(&cargo, &[command, "--version"]));
    let names: Vec<&str> = missing.map(|(_, component)| *component).collect();
    if names.is_empty() {
        return Ok(());
    }
    println!("xtask installs {}: rustup component add {}", names.join(" and "), names.join(" "));
    let mut arguments = vec!["component", "add"];
    arguments.extend(&names);
    step::run("rustup", &arguments)
}

fn is_root() -> bool {
    step::output_of("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let family = |line: &str| {
        (line.starts_with("ID=") || line.starts_with("ID_LIKE="))
            && (line.contains("debian") || line.contains("ubuntu"))
    };
    release.lines().any(family) && step::works("apt-get", &["--version"])
}

fn has_libclang() -> bool {
    let mut folders: Vec<String> =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib"].map(str::to_owned).into();
    folders.extend(std::env::var("LIBCLANG_PATH"));
    folders.extend(step::output_of("llvm-config", &["--libdir"]).map(|dir| dir.trim().to_owned()));
    folders.extend(entries("/usr/lib", "llvm").into_iter().map(|dir| format!("{dir}/lib")));
    folders.extend(entries("/usr/lib", "-linux-gnu"));
    folders.iter().any(|folder| !entries(folder, "libclang").is_empty())
}

fn postgres_folders() -> Vec<String> {
    let mut folders = entries("/usr/lib/postgresql", "");
    folders.retain(|folder| Path::new(folder).join("bin/initdb").exists());
    if let Some(bin) = step::output_of("pg_config", &["--bindir"])
        && Path::new(bin.trim()).join("initdb").exists()
    {
        folders.push(bin.trim().to_owned());
    }
    folders
}

/// Paths of a folder's entries whose names contain `part`; none when there is no such folder.
fn entries(folder: &str, part: &str) -> Vec<String> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = read.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(part));
    named.map(|entry| entry.path().to_string_lossy().into_owned()).collect()
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" and ")
}

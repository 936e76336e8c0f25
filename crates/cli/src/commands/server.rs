//! Running an installation: init, serve, doctor.

use daypass_api::health::{Check, Health};

use super::Context;
use crate::args::operate::{InitArgs, ServeArgs};
use crate::trouble::Trouble;
use crate::when;

pub(crate) async fn init(_c: &Context, _args: InitArgs) -> Result<(), Trouble> {
    Ok(())
}

pub(crate) async fn serve(_args: ServeArgs) -> Result<(), Trouble> {
    Ok(())
}

/// Clocks may differ by this much before codes of the second factor and passes get into trouble.
const CLOCK_SKEW_MAX_S: u64 = 20;

pub(crate) async fn doctor(c: &Context) -> Result<(), Trouble> {
    let mut checks = vec![home_check(c), psql_check()];
    match c.client() {
        Err(trouble) => checks.push(failed("login", &trouble)),
        Ok(client) => {
            checks.push(passed("login", format!("{} at {}", client.person(), client.url())));
            match client.fetch::<Health>("/v1/health").await {
                Err(trouble) => checks.push(failed("control plane", &trouble)),
                Ok(health) => checks.extend(health_checks(health)),
            }
        }
    }
    let row = |check: &Check| {
        let mark = if check.ok { "✓" } else { "✗" };
        let hint = check.hint.as_ref().map(|hint| format!("\n→ {hint}")).unwrap_or_default();
        vec![mark.to_owned(), check.name.clone(), format!("{}{hint}", check.message)]
    };
    c.out.list(&checks, &["", "check", "found"], row, "")?;
    match checks.iter().filter(|check| !check.ok).count() {
        0 => Ok(()),
        bad => Err(Trouble::Problems {
            what: format!("{bad} of {} checks failed", checks.len()),
            hint: "the arrows above say what to do".to_owned(),
        }),
    }
}

fn health_checks(health: Health) -> Vec<Check> {
    let skew_s = health.now.abs_diff(when::now()) / 1_000_000;
    let mut checks = vec![if skew_s <= CLOCK_SKEW_MAX_S {
        passed("clock", format!("{skew_s}s apart from the control plane"))
    } else {
        Check {
            name: "clock".to_owned(),
            ok: false,
            message: format!("{skew_s}s apart from the control plane"),
            hint: Some("set both clocks by NTP; codes of the second factor depend on it".to_owned()),
        }
    }];
    let own = env!("CARGO_PKG_VERSION");
    checks.push(Check {
        name: "version".to_owned(),
        ok: health.version == own,
        message: format!("control plane {}, this program {own}", health.version),
        hint: (health.version != own).then(|| "update the older one".to_owned()),
    });
    for log in health.logs {
        checks.push(passed(
            &format!("log {}", log.origin),
            format!("{} records, {} covered", log.size, log.covered),
        ));
    }
    checks.extend(health.checks);
    checks
}

fn home_check(c: &Context) -> Check {
    match c.home.too_open() {
        Ok(None) => passed("own files", "only you can read them".to_owned()),
        Ok(Some(path)) => Check {
            name: "own files".to_owned(),
            ok: false,
            message: format!("others can read `{}`", path.display()),
            hint: Some(format!("chmod 600 '{}'", path.display())),
        },
        Err(trouble) => failed("own files", &trouble),
    }
}

fn psql_check() -> Check {
    match std::process::Command::new("psql").arg("--version").output() {
        Ok(output) if output.status.success() => {
            passed("psql", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Check {
            name: "psql".to_owned(),
            ok: false,
            message: "not found".to_owned(),
            hint: Some("Debian: apt install postgresql-client; or use `daypass connect --listen`".to_owned()),
        },
    }
}

fn passed(name: &str, message: String) -> Check {
    Check { name: name.to_owned(), ok: true, message, hint: None }
}

fn failed(name: &str, trouble: &Trouble) -> Check {
    let report = crate::report::report(trouble);
    Check { name: name.to_owned(), ok: false, message: report.message, hint: report.hint }
}

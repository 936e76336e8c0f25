//! Running an installation: init, serve, doctor.

use std::error::Error;

use daypass_api::health::{Check, Health};

use daypass_server::Founding;
use daypass_server::config::Config;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::args::operate::{InitArgs, ServeArgs};
use crate::trouble::Trouble;
use crate::{trust, when};

pub(crate) async fn init(c: &Context, args: InitArgs) -> Result<(), Trouble> {
    let mut host_names: Vec<String> = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    host_names.extend(args.host);
    let founding = Founding {
        dir: args.folder,
        administrator: args.administrator,
        administrator_name: args.name,
        host_names,
        api_listen: args.api_listen,
        postgres_listen: args.postgres_listen,
        log_name: args.log_name,
        policy: None,
    };
    let url = format!("https://{}", founding.api_listen);
    let founded = tokio::task::spawn_blocking(move || daypass_server::init(&founding)).await;
    let founded =
        founded.map_err(|error| Trouble::program(error.to_string(), "this is a mistake of ours"))?;
    let founded = founded.map_err(|error| {
        Trouble::program(
            with_causes(&error),
            "choose another folder, or correct what it says; see `daypass init --help`",
        )
    })?;
    let authority = std::fs::read(&founded.ca_pem).map_err(Trouble::file(&founded.ca_pem, "read"))?;
    let fingerprint = trust::fingerprint(&authority)?;
    if c.out.is_json() {
        return c.out.json(&json!({
            "config": founded.config, "master_key": founded.master_key, "ca_pem": founded.ca_pem,
            "policy": founded.policy, "fingerprint": fingerprint, "administrator": founded.administrator,
            "invitation": founded.invitation,
        }));
    }
    c.out.facts(&[
        ("configuration", founded.config.display().to_string()),
        ("policy", founded.policy.display().to_string()),
        (
            "master key",
            format!("{}: keep a copy elsewhere, without it the vault is lost", founded.master_key.display()),
        ),
        ("authority", founded.ca_pem.display().to_string()),
        ("fingerprint", fingerprint.clone()),
    ])?;
    c.out.line("\nNext:")?;
    c.out.line(format!("  daypass serve --config {}", founded.config.display()))?;
    c.out.line(format!(
        "  daypass enroll {} {} --url {url} --fingerprint {fingerprint}",
        founded.administrator,
        founded.invitation.expose()
    ))
}

pub(crate) async fn serve(c: &Context, args: ServeArgs) -> Result<(), Trouble> {
    let config = Config::read(&args.config).map_err(|error| {
        Trouble::input(with_causes(&error), "`daypass init` writes a configuration to start from")
    })?;
    let running = daypass_server::serve(config).await.map_err(|error| {
        Trouble::program(with_causes(&error), "put right what it says, then start it again; nothing runs now")
    })?;
    c.out.line(format!("ready: API on https://{}, PostgreSQL on {}", running.api, running.postgres))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match running.reload().await {
                Ok(()) => tracing::info!("the certificate was loaded again"),
                Err(error) => tracing::error!(%error, "the certificate was not loaded again; the old one stays"),
            },
        }
    }
    c.out.note("stopping: sessions are closed, logs are finished")?;
    running
        .stop()
        .await
        .map_err(|error| Trouble::program(error.to_string(), "the logs themselves are closed and whole"))
}

/// An error with everything below it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = inner.source();
    }
    words
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

//! Steps 1 to 5: asking, approving, working, holding, ending.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::super::process::{Ended, Running, run};
use super::super::world::{World, text};
use super::{PATIENCE, Teller};
use crate::trouble::Trouble;
use crate::when;

/// How long Bob's first access lasts: long enough for the steps, short enough to watch its end.
const BOB_S: u64 = 60;
/// How long Carol's access lasts before she extends it.
const CAROL_S: u64 = 60;
/// A cut counts as on time within this much of the end.
const CUT_WITHIN_US: u64 = 1_000_000;

/// Bob at work.
#[derive(Debug)]
pub(crate) struct Bob {
    connect: Running,
    request: String,
    /// When his access ends, microseconds.
    ends_at: u64,
}

/// What Bob kept for later.
#[derive(Debug)]
pub(crate) struct Kept {
    /// A pass, as `psql` takes it from the environment.
    environment: Vec<(String, String)>,
    token: String,
}

impl Bob {
    pub(crate) async fn asks(t: &Teller<'_>, world: &World) -> Result<Self, Trouble> {
        t.chapter(1, "Bob, a contractor, runs `daypass connect prod-orders`")?;
        let bob = world.daypass("bob");
        let refused = bob.run(&["connect", "prod-orders", "--no-request"]).await?;
        t.check(refused.code == 3, "he has no access, and is told how to ask for it", || said(&refused))?;
        let span = format!("{BOB_S}s");
        let psql = world.postgres.as_ref().map(|postgres| postgres.bin().join("psql").display().to_string());
        let psql = psql.unwrap_or_else(|| "psql".to_owned());
        let arguments = [
            "connect",
            "prod-orders",
            "--reason",
            "order 4711 was shipped twice, its status has to be set back",
            "--for",
            &span,
            "--psql",
            &psql,
            "--",
            "-X",
            "-A",
            "-t",
        ];
        let mut connect = Running::start("bob's daypass connect", bob.command(&arguments))?;
        let heard = connect.until_said("waiting for", PATIENCE).await?;
        let request = heard
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-'))
            .find(|word| word.starts_with("R-"))
            .unwrap_or("R-1")
            .to_owned();
        t.check(
            heard.contains("alice"),
            &format!("it files {request} and waits for Alice in the terminal"),
            || heard.clone(),
        )?;
        Ok(Self { connect, request, ends_at: 0 })
    }

    pub(crate) async fn gets_approval(&mut self, t: &Teller<'_>, world: &World) -> Result<Kept, Trouble> {
        t.chapter(
            2,
            "Alice, his sponsor and a lead, sees who, what, why, how long, and what it could break",
        )?;
        let listed = world.daypass("alice").run(&["requests"]).await?;
        let whole = listed.code == 0 && listed.stdout.contains("bob") && listed.stdout.contains("4711");
        t.check(whole, "the request is on her screen", || said(&listed))?;
        let own = world.daypass("bob").run(&["approve", &self.request]).await?;
        t.check(own.code == 3, "Bob cannot approve it himself", || said(&own))?;
        let alias = world.daypass("bob-admin").run(&["approve", &self.request]).await?;
        t.check(alias.code == 3, "nor can his second account, though it is in the team of leads", || {
            said(&alias)
        })?;
        let approved =
            world.daypass("alice").run(&["approve", &self.request, "--comment", "go ahead"]).await?;
        t.check(approved.code == 0, "Alice approves; her second factor is minutes old", || said(&approved))?;
        let grants = world.daypass("bob").json(&["status"], "").await?;
        let grant = grants.pointer("/grants/0").cloned().unwrap_or_default();
        self.ends_at = grant.get("ends_at").and_then(Value::as_u64).unwrap_or(0);
        let left = self.ends_at.saturating_sub(when::now()) / 1_000_000;
        t.check(
            left + 10 > BOB_S && left <= BOB_S,
            "his time began with the approval, not with the request",
            || format!("{left}s left: {grant}"),
        )?;
        let pass = world
            .daypass("bob")
            .run(&["pass", "prod-orders", "--format", "env"])
            .await?
            .ok("daypass pass")?;
        Ok(kept(&pass))
    }

    pub(crate) async fn works(&mut self, t: &Teller<'_>, world: &World) -> Result<(), Trouble> {
        t.chapter(3, "Bob's own psql opens, by itself")?;
        self.types("select 'orders: ' || count(*) from orders;").await?;
        let heard = self.connect.until_said("orders: 20000", PATIENCE).await?;
        t.check(!heard.contains("dp_"), "it answers, and no password was shown", || heard.clone())?;
        t.check(
            !processes_hold("dp_")?,
            "nor is one in any command line or environment of this machine",
            String::new,
        )?;
        self.types("update orders set status = 'paid' where id = 4711;").await?;
        self.connect.until_said("UPDATE 1", PATIENCE).await?;
        let found =
            world.daypass("ada").json(&["log", "search", "id = 4711", "--kind", "intent"], "").await?;
        let recorded = found.as_array().is_some_and(|records| !records.is_empty());
        t.check(recorded, "what he does is in the log, as Ada can see", || found.to_string())?;
        let names = world.target("select string_agg(application_name, ',') from pg_stat_activity where usename = 'orders_gateway'").await?;
        t.check(names.contains("daypass:S-"), "the database itself names his session", || names.clone())?;
        self.types("drop table order_items;").await?;
        let denied = self.connect.until_said("ERROR", PATIENCE).await?;
        t.check(
            denied.contains("denied") || denied.contains("daypass"),
            "a DROP is denied: his role does not hold it",
            || denied.clone(),
        )?;
        self.types("select 'still ' || 'here';").await?;
        self.connect.until_said("still here", PATIENCE).await?;
        t.done("and his session goes on")
    }

    pub(crate) async fn forgets_a_where(&mut self, t: &Teller<'_>, world: &World) -> Result<(), Trouble> {
        t.chapter(4, "He forgets a WHERE")?;
        let shipped = "select count(*) from orders where status = 'shipped'";
        let before = world.target(shipped).await?;
        self.types("update orders set status = 'shipped';").await?;
        let hold = waiting_hold(world).await?;
        let rows = hold.get("rows").and_then(Value::as_u64).unwrap_or(0);
        t.check(true, "the UPDATE is held; Alice sees it within seconds", String::new)?;
        t.check_and_go_on(rows > 10_000, &format!("and how many rows it would touch (about {rows})"))?;
        t.check(world.target(shipped).await? == before, "nothing has reached the database", String::new)?;
        let live = world.daypass("alice").run(&["sessions"]).await?;
        t.check(live.stdout.contains("held"), "his session is on her screen, as held", || said(&live))?;
        let own = world.daypass("bob").run(&["hold", "release", text(&hold, "id")?]).await?;
        t.check(own.code != 0, "Bob cannot release it himself", || said(&own))?;
        let refused = world
            .daypass("alice")
            .run(&["hold", "refuse", text(&hold, "id")?, "--reason", "there is no WHERE"])
            .await?;
        refused.ok("daypass hold refuse")?;
        self.types("select 'after ' || 'refusal';").await?;
        self.connect.until_said("after refusal", PATIENCE).await?;
        t.check(
            world.target(shipped).await? == before,
            "she refuses it: he gets an error, the table is as it was",
            String::new,
        )?;
        self.types("update orders set note = 'checked';").await?;
        let hold = waiting_hold(world).await?;
        world
            .daypass("alice")
            .run(&["hold", "release", text(&hold, "id")?])
            .await?
            .ok("daypass hold release")?;
        self.connect.until_said("UPDATE 20000", PATIENCE).await?;
        t.check(true, "another one she lets through, and it runs", String::new)
    }

    pub(crate) async fn meets_his_end(
        mut self,
        t: &Teller<'_>,
        world: &World,
        kept: &Kept,
    ) -> Result<(), Trouble> {
        t.chapter(5, "His time ends while a query runs")?;
        self.types("select pg_sleep(600);").await?;
        let left = Duration::from_micros(self.ends_at.saturating_sub(when::now()));
        t.done(&format!("waiting for the end, {}s", left.as_secs()))?;
        // Until nobody of ours is at the target: that is the cut, seen from the other side.
        let backends = "select count(*) from pg_stat_activity where usename = 'orders_gateway'";
        let give_up = self.ends_at.saturating_add(20_000_000);
        let mut early = false;
        while world.target(backends).await? != "0" && when::now() < give_up {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let gone_at = when::now();
        early |= gone_at + 1_000_000 < self.ends_at;
        let late = gone_at.saturating_sub(self.ends_at);
        t.check(
            !early && late <= CUT_WITHIN_US + 500_000,
            &format!(
                "the query is cancelled and the connection closed {} after the end",
                when::duration_us(late)
            ),
            || format!("ended {} after its time, before its time: {early}", when::duration_us(late)),
        )?;
        self.connect.hang_up();
        let code = self.connect.until_ended(PATIENCE).await?;
        let heard = self.connect.said();
        t.check(code != 0 && heard.contains("FATAL"), "psql says why it ended", || heard.clone())?;
        let again = world.daypass("bob").run(&["connect", "prod-orders", "--no-request"]).await?;
        t.check(again.code == 3, "there is no way in any more", || said(&again))?;
        let direct = psql_with(world, kept).await?;
        t.check(
            direct.code != 0 && !direct.stdout.contains("still"),
            "the pass he kept is worth nothing",
            || said(&direct),
        )?;
        t.check(!said(&direct).contains(&kept.token), "and no error repeats it", || {
            "the pass is in the error".to_owned()
        })
    }

    async fn types(&mut self, sql: &str) -> Result<(), Trouble> {
        self.connect.type_line(sql).await
    }
}

/// `daypass extend` would have kept it: Carol shows it.
pub(crate) async fn carol_extends(t: &Teller<'_>, world: &World) -> Result<(), Trouble> {
    t.done("Carol, who is on call, gets in without waiting, and extends in time")?;
    let carol = world.daypass("carol");
    let span = format!("{CAROL_S}s");
    let arguments = [
        "connect",
        "prod-orders",
        "--reason",
        "page: checkout is slow",
        "--for",
        &span,
        "--",
        "-X",
        "-A",
        "-t",
        "-q",
    ];
    let mut connect = Running::start("carol's daypass connect", carol.command(&arguments))?;
    connect.type_line("select 'carol ' || 'in';").await?;
    connect.until_said("carol in", PATIENCE).await?;
    let status = carol.json(&["status"], "").await?;
    let old_end = status.pointer("/grants/0/ends_at").and_then(Value::as_u64).unwrap_or(0);
    // The way she would do it in psql: `:e` at the prompt.
    connect.type_line(":e").await?;
    connect.until_said("goes on until", PATIENCE).await?;
    while when::now() < old_end.saturating_add(1_500_000) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    connect.type_line("select 'carol ' || 'stays';").await?;
    let stays = connect.until_said("carol stays", PATIENCE).await;
    t.check(
        stays.is_ok(),
        "with `:e` in psql her session went on past its old end, without a break",
        || connect.said(),
    )?;
    carol.run(&["done", "prod-orders"]).await?.ok("daypass done")?;
    connect.type_line("select 'carol ' || 'again';").await.ok();
    connect.hang_up();
    let code = connect.until_ended(PATIENCE).await?;
    let heard = connect.said();
    t.check(
        code != 0 && !heard.contains("carol again"),
        "`daypass done` hands it back, and closes her session",
        || heard.clone(),
    )
}

impl World {
    /// Asks the database past the gateway.
    pub(crate) async fn target(&self, sql: &str) -> Result<String, Trouble> {
        match &self.postgres {
            Some(postgres) => postgres.query("orders", sql).await,
            None => Err(Trouble::program("the database is stopped already", "this is a mistake of ours")),
        }
    }
}

/// The action that waits for Alice; alerted within seconds, or the step does not hold.
async fn waiting_hold(world: &World) -> Result<Value, Trouble> {
    let give_up = when::now().saturating_add(10_000_000);
    loop {
        let holds = world.daypass("alice").json(&["hold", "list"], "").await?;
        if let Some(hold) = holds.get(0) {
            return Ok(hold.clone());
        }
        if when::now() > give_up {
            return Err(Trouble::program(
                "no held action came to Alice within ten seconds",
                "this step does not hold",
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kept(environment: &str) -> Kept {
    let environment: Vec<(String, String)> = environment
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect();
    let token = environment.iter().find(|(name, _)| name == "PGPASSWORD").map(|(_, value)| value.clone());
    Kept { environment, token: token.unwrap_or_default() }
}

async fn psql_with(world: &World, kept: &Kept) -> Result<Ended, Trouble> {
    let psql = world.postgres.as_ref().map(|postgres| postgres.bin().join("psql"));
    let mut psql = Command::new(psql.unwrap_or_else(|| "psql".into()));
    psql.args(["-X", "-A", "-t", "-w", "-c", "select 'still in'"]);
    psql.envs(kept.environment.iter().map(|(name, value)| (name, value)));
    run(psql, "").await
}

/// Whether any process shows `secret` in its command line or environment.
fn processes_hold(secret: &str) -> Result<bool, Trouble> {
    let own = std::process::id().to_string();
    let needle = secret.as_bytes();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let is_psql = fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == "psql");
        for file in ["cmdline", "environ"] {
            // Processes end while we look.
            let Ok(bytes) = fs::read(entry.path().join(file)) else { continue };
            let shown = bytes.windows(needle.len()).any(|window| window == needle);
            if shown && (is_psql || file == "cmdline") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn said(ended: &Ended) -> String {
    format!("exit code {}: {}{}", ended.code, ended.stdout, ended.stderr)
}

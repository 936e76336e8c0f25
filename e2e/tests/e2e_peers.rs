//! What a measured peer got wrong, each a test here: bursts lost, Ctrl-C not passed on, sessions that outlive their grant,
//! passwords in clear, one flush a message, memory without bound, queries served while the log cannot be written.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod peers {
    pub(crate) mod counting;
    pub(crate) mod watch;
}

use std::collections::BTreeMap;
use std::time::Duration;

use daypass_api::requests::Grant;
use daypass_e2e::{Daypass, Endpoint, World, run, until};
use peers::counting::CountingRelay;
use peers::watch::{Backends, Stopwatch, rss_kib, within};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

/// The texts of the intents of a person, and how often each was recorded.
async fn intents(daypass: &Daypass, person: &str) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    for record in daypass.records(&format!("kind=intent&person={person}")).await {
        let text = record.opened.get("text").unwrap_or_else(|| panic!("no text in {record:?}"));
        *texts.entry(text.clone()).or_default() += 1;
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_of_20_000_statements_is_kept_whole() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    let lanes = (0..4).map(async |lane| {
        let client = through.connect().await.unwrap();
        for chunk in 0..50 {
            // One hundred statements in one message, and no breath between the messages.
            let numbers = (0..100).map(|n| lane * 5000 + chunk * 100 + n);
            let texts: Vec<String> = numbers.map(|n| format!("SELECT {n} AS burst;\n")).collect();
            let sent = texts.iter().map(|text| client.simple_query(text));
            futures_util::future::join_all(sent).await.into_iter().for_each(|answer| drop(answer.unwrap()));
        }
    });
    futures_util::future::join_all(lanes).await;
    let texts = intents(&world.daypass, "bob").await;
    let missing: Vec<i32> =
        (0..20_000).filter(|n| texts.get(&format!("SELECT {n} AS burst;\n")) != Some(&1)).take(10).collect();
    assert!(missing.is_empty(), "not recorded exactly once, among others: {missing:?}");

    let again = world.daypass.endpoint("bob", "app", "everything").await;
    again.connect().await.unwrap().simple_query("SELECT 'a session after the burst'").await.unwrap();
    assert!(intents(&world.daypass, "bob").await.contains_key("SELECT 'a session after the burst'"));
}

#[tokio::test]
async fn ctrl_c_is_passed_on_and_recorded() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    let backends = Backends::of(&world.postgres).await;
    let mut psql = tokio::process::Command::new("psql");
    psql.args(["-X", "-c", "SELECT pg_sleep(600)"]).envs(through.environment());
    psql.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let child = psql.spawn().unwrap();
    until("the query runs at the target", async || (backends.running("pg_sleep").await == 1).then_some(()))
        .await;
    let pressed = Stopwatch::start();
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = within(Duration::from_secs(10), "psql ends", child.wait_with_output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert!(pressed.elapsed() < Duration::from_secs(5), "{:?}", pressed.elapsed());
    assert_eq!(backends.running("pg_sleep").await, 0);
    until("the cancel is recorded", async || {
        let cancels = world.daypass.records("kind=cancel").await;
        cancels.iter().any(|record| record.body["forwarded"] == json!(true)).then_some(())
    })
    .await;
}

/// A session that sleeps at the target, and how it ended.
async fn sleeper(through: &Endpoint) -> tokio::task::JoinHandle<tokio_postgres::Error> {
    let client = through.connect().await.unwrap();
    tokio::spawn(async move { client.simple_query("SELECT pg_sleep(600)").await.unwrap_err() })
}

/// Asserts that everything of a cut session ends within a second of `cut`, on both sides.
async fn assert_cut(
    ended: tokio::task::JoinHandle<tokio_postgres::Error>,
    backends: &Backends,
    cut: Stopwatch,
) {
    let error = within(Duration::from_secs(10), "the client hears of it", ended).await.unwrap();
    let heard = cut.elapsed();
    let told = error.as_db_error().unwrap_or_else(|| panic!("no reason was given: {error:?}"));
    assert_eq!(told.code(), &SqlState::ADMIN_SHUTDOWN, "{told:?}");
    assert!(told.hint().is_some_and(|hint| !hint.is_empty()), "no way on was told: {told:?}");
    until("the target's session is gone", async || (backends.count().await == 0).then_some(())).await;
    assert!(heard < Duration::from_secs(1), "the client heard after {heard:?}");
    assert!(
        cut.elapsed() < Duration::from_millis(1500),
        "the target was rid of it after {:?}",
        cut.elapsed()
    );
}

async fn closed_because(daypass: &Daypass) -> Vec<String> {
    let records = until("the end of the session is recorded", async || {
        let records = daypass.records("kind=session-closed").await;
        (!records.is_empty()).then_some(records)
    })
    .await;
    records.iter().map(|record| record.body["because"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn session_is_cut_when_its_grant_ends() {
    let world = World::start().await;
    let backends = Backends::of(&world.postgres).await;
    let grant = world.daypass.grant("bob", "app", "everything", Some(60)).await;
    let ended = sleeper(&world.daypass.pass(&grant).await).await;
    until("the query runs at the target", async || (backends.running("pg_sleep").await == 1).then_some(()))
        .await;
    let end = Stopwatch::at_micros(grant.ends_at);
    until("the grant ends", async || (!end.elapsed().is_zero()).then_some(())).await;
    assert_cut(ended, &backends, end).await;
    assert_eq!(closed_because(&world.daypass).await, ["grant-ended"]);
}

#[tokio::test]
async fn session_is_cut_when_its_grant_is_revoked() {
    let world = World::start().await;
    let backends = Backends::of(&world.postgres).await;
    let grant = world.daypass.grant("bob", "app", "everything", None).await;
    let through = world.daypass.pass(&grant).await;
    let ended = sleeper(&through).await;
    until("the query runs at the target", async || (backends.running("pg_sleep").await == 1).then_some(()))
        .await;
    let asked = Stopwatch::start();
    let path = format!("grants/{}/revoke", grant.id);
    let _: Value = world.daypass.as_person("alice").post(&path, &json!({"reason": "enough"})).await.unwrap();
    assert_cut(ended, &backends, asked).await;
    assert_eq!(closed_because(&world.daypass).await, ["revoked"]);
    let refused = through.connect().await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD), "{refused:?}");
}

#[tokio::test]
async fn session_of_a_client_that_never_reads_is_cut_as_well() {
    let world = World::start().await;
    let backends = Backends::of(&world.postgres).await;
    let grant = world.daypass.grant("bob", "app", "everything", None).await;
    let through = world.daypass.pass(&grant).await;
    let (client, connection) = through.config().connect(through.rustls()).await.unwrap();
    let mut connection = Box::pin(connection);
    // The query leaves, then nobody reads any more: the target blocks on a full pipe.
    let query = client.simple_query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)");
    let sent = async {
        tokio::select! { _ = &mut connection => {}, _ = query => {}, () = backends.until_running("generate_series") => {} }
    };
    within(Duration::from_secs(20), "the query starts", sent).await;
    let before = rss_kib(world.daypass.pid());
    until("the target waits for us", async || (backends.waiting_for_client().await == 1).then_some(())).await;
    let grown = rss_kib(world.daypass.pid()).saturating_sub(before);
    assert!(grown < 16 * 1024, "the gateway grew by {grown} KiB for a client that does not read");
    let asked = Stopwatch::start();
    let path = format!("grants/{}/revoke", grant.id);
    let _: Value = world.daypass.as_person("alice").post(&path, &json!({"reason": "enough"})).await.unwrap();
    until("the target's session is gone", async || (backends.count().await == 0).then_some(())).await;
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn session_is_cut_when_it_is_killed() {
    let world = World::start().await;
    let backends = Backends::of(&world.postgres).await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    let ended = sleeper(&through).await;
    until("the query runs at the target", async || (backends.running("pg_sleep").await == 1).then_some(()))
        .await;
    let alice = world.daypass.as_person("alice");
    let live: Value = alice.get("sessions").await.unwrap();
    let session =
        live["items"][0]["id"].as_str().unwrap_or_else(|| panic!("no session in {live}")).to_owned();
    let asked = Stopwatch::start();
    let _: Value =
        alice.post(&format!("sessions/{session}/kill"), &json!({"reason": "enough"})).await.unwrap();
    assert_cut(ended, &backends, asked).await;
    assert_eq!(closed_because(&world.daypass).await, ["killed"]);
    through.connect().await.unwrap();
}

#[tokio::test]
async fn passwords_in_statements_are_kept_nowhere() {
    let world = World::start().await;
    let grant: Grant = world.daypass.grant("bob", "app", "everything", None).await;
    let through = world.daypass.pass(&grant).await;
    let client = through.connect().await.unwrap();
    let secrets = ["first-Secret-4711", "second-Secret-4711", "third-Secret-4711", "fourth-Secret-4711"];
    let [first, second, third, fourth] = secrets;
    client.simple_query(&format!("CREATE ROLE carl LOGIN PASSWORD '{first}'")).await.unwrap();
    client.simple_query(&format!("ALTER ROLE carl PASSWORD '{second}'; SELECT 1")).await.unwrap();
    client.simple_query(&format!("ALTER USER carl WITH ENCRYPTED PASSWORD E'{third}'")).await.unwrap();
    // Not even when it does not parse.
    client
        .simple_query(&format!("ALTER ROLE carl PASSWORD '{fourth}' NONSENSE OF ITS OWN"))
        .await
        .unwrap_err();
    let verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$1111111111111111111111111111111111111111111=:2222222222222222222222222222222222222222222=";
    client.simple_query(&format!("ALTER ROLE carl PASSWORD '{verifier}'")).await.unwrap();

    let opened: Vec<String> = intents(&world.daypass, "bob").await.into_keys().collect();
    assert!(opened.iter().any(|text| text.contains("ALTER ROLE carl PASSWORD")), "{opened:?}");
    let target = world.postgres.endpoint("app").password;
    let kept: Vec<&str> =
        secrets.into_iter().chain([verifier, target.as_str(), through.password.as_str()]).collect();
    for secret in &kept {
        assert!(!opened.iter().any(|text| text.contains(secret)), "`{secret}` can be read in the log");
        let files = peers::watch::files_with(&world.daypass.folder(), secret.as_bytes());
        assert!(files.is_empty(), "`{secret}` is in {files:?}");
        assert!(!world.daypass.printed().contains(secret), "`{secret}` was printed by serve");
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", world.daypass.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(&target), "the process list shows the credential");
}

#[tokio::test]
async fn rows_are_not_flushed_one_by_one() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    let relay = CountingRelay::start(through.port).await;
    let client = Endpoint { port: relay.port(), ..through }.connect().await.unwrap();
    let before = relay.records_to_client();
    let rows = client.query("SELECT g, md5(g::text) FROM generate_series(1, 10000) g", &[]).await.unwrap();
    assert_eq!(rows.len(), 10_000);
    let records = relay.records_to_client() - before;
    assert!(records < 1_000, "10,000 rows came in {records} TLS records");
}

#[tokio::test]
async fn memory_stays_bounded_under_large_results() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    run(&through, "psql", &["-Xqc", "SELECT 1"]).await.well();
    let before = rss_kib(world.daypass.pid());
    let mut highest = before;
    // 1 GB in rows of 100 kB, and one field of 200 MB.
    let results = [
        "COPY (SELECT repeat('x', 100000) FROM generate_series(1, 10000)) TO STDOUT",
        "COPY (SELECT repeat('x', 200000000)) TO STDOUT",
    ];
    for query in results {
        let line = format!("exec psql -Xqc \"{query}\" | wc -c");
        let arguments = ["-c", line.as_str()];
        let mut copying = Box::pin(run(&through, "sh", &arguments));
        let ended = loop {
            tokio::select! {
                ended = &mut copying => break ended,
                () = tokio::time::sleep(Duration::from_millis(50)) => highest = highest.max(rss_kib(world.daypass.pid())),
            }
        };
        let len: u64 = ended.well().stdout.trim().parse().unwrap();
        assert!(len >= 200_000_000, "{len}");
    }
    let grown = highest - before;
    assert!(grown < 32 * 1024, "the gateway grew by {grown} KiB");
}

#[tokio::test]
async fn nothing_is_served_while_the_log_cannot_be_written() {
    let mut world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    world
        .postgres
        .endpoint("app")
        .connect()
        .await
        .unwrap()
        .batch_execute("CREATE TABLE kept (n int)")
        .await
        .unwrap();
    let client = through.connect().await.unwrap();
    client.simple_query("INSERT INTO kept VALUES (0)").await.unwrap();
    // From here on no file may grow or be written past its first 4 KiB: whatever the log writes next fails.
    let pid = world.daypass.pid().to_string();
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid, "--fsize=4096:4096"]).status();
    assert!(limited.unwrap().success());
    let mut acknowledged = vec![0];
    for n in 1..200 {
        let insert = format!("INSERT INTO kept VALUES ({n})");
        match tokio::time::timeout(Duration::from_secs(10), client.simple_query(&insert)).await {
            Ok(Ok(_)) => acknowledged.push(n),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    assert!(acknowledged.len() < 199, "everything was served although nothing could be written");
    let read = tokio::time::timeout(Duration::from_secs(5), client.simple_query("SELECT * FROM kept")).await;
    assert!(!matches!(read, Ok(Ok(_))), "a read was served although its record cannot be written");
    drop(client);

    if world.daypass.ended().is_none() {
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        until("the process is gone", async || world.daypass.ended().map(drop)).await;
    }
    world.daypass.restart().await;
    let target = world.postgres.endpoint("app").connect().await.unwrap();
    let done: Vec<i32> =
        target.query("SELECT n FROM kept", &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let recorded = intents(&world.daypass, "bob").await;
    for n in &done {
        let text = format!("INSERT INTO kept VALUES ({n})");
        assert!(recorded.contains_key(&text), "`{text}` reached the target and is not in the log");
    }
    for n in &acknowledged {
        assert!(done.contains(n), "{n} was acknowledged and is not in the target");
    }
}

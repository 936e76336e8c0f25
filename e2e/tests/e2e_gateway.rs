//! What only a gateway does: refusing alike, denying with a way on, holding, and not being held up.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use daypass_e2e::{Daypass, Endpoint, Tls, World, run, until};
use serde_json::{Value, json};
use tokio_postgres::error::{DbError, SqlState};

fn database_error(error: &tokio_postgres::Error) -> DbError {
    error.as_db_error().cloned().unwrap_or_else(|| panic!("not an answer of the gateway: {error:?}"))
}

#[tokio::test]
async fn whoever_may_not_in_gets_the_same_answer() {
    let world = World::start().await;
    let good = world.daypass.endpoint("bob", "app", "reader").await;
    let ended = world.daypass.grant("bob", "app", "everything", None).await;
    let dead = world.daypass.pass(&ended).await;
    let path = format!("grants/{}/revoke", ended.id);
    let _: Value = world.daypass.as_person("alice").post(&path, &json!({"reason": "over"})).await.unwrap();
    let ways = [
        Endpoint { password: "dp_wrong".to_owned(), ..good.clone() },
        Endpoint { password: String::from("not even a pass"), ..good.clone() },
        dead,
        Endpoint { user: "no-such-resource".to_owned(), ..good.clone() },
        Endpoint { user: "app/everything".to_owned(), ..good.clone() },
    ];
    let mut answers = Vec::new();
    for way in &ways {
        let error = database_error(&way.connect().await.unwrap_err());
        assert_eq!(error.code(), &SqlState::INVALID_PASSWORD, "{error:?}");
        answers.push((
            error.message().replace(&way.user, "<user>"),
            error.detail().map(str::to_owned),
            error.hint().map(str::to_owned),
        ));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "these differ: {answers:?}");
    until("every refusal is recorded", async || {
        (world.daypass.records("kind=refused").await.len() == ways.len()).then_some(())
    })
    .await;
    good.connect().await.unwrap();
}

#[tokio::test]
async fn plaintext_is_refused_with_words() {
    let world = World::start().await;
    let through = Endpoint { tls: Tls::Off, ..world.daypass.endpoint("bob", "app", "reader").await };
    let ended = run(&through, "psql", &["-Xc", "SELECT 1"]).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("TLS") && ended.stderr.contains("sslmode"), "{}", ended.stderr);
}

#[tokio::test]
async fn silent_clients_delay_nobody() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "reader").await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(("127.0.0.1", through.port)).await.unwrap());
    }
    let connected = tokio::time::timeout(Duration::from_secs(2), through.connect()).await;
    connected.expect("a login waits for silent clients").unwrap();
}

#[tokio::test]
async fn denied_statement_says_why_and_what_to_type_and_the_session_goes_on() {
    let world = World::start().await;
    let owner = world.postgres.endpoint("app").connect().await.unwrap();
    owner.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.unwrap();
    let client = world.daypass.endpoint("bob", "app", "reader").await.connect().await.unwrap();
    let denied = [
        "INSERT INTO t VALUES (2)",
        "DROP TABLE t",
        "COPY t FROM STDIN",
        "WITH x AS (DELETE FROM t RETURNING n) SELECT n FROM x",
        "this is not SQL",
    ];
    for text in denied {
        let simple = database_error(&client.simple_query(text).await.unwrap_err());
        assert_eq!(simple.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{text}: {simple:?}");
        let hint = simple.hint().unwrap_or_default();
        assert!(hint.contains("daypass "), "{text}: no command in `{hint}`");
        let extended = database_error(&client.query(text, &[]).await.unwrap_err());
        assert_eq!(extended.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{text}: {extended:?}");
        let rows = client.query("SELECT n FROM t", &[]).await.unwrap();
        assert_eq!(rows.len(), 1, "after {text}");
    }
    let count = world.daypass.records("kind=denied&person=bob").await.len();
    assert_eq!(count, denied.len() * 2);
}

#[tokio::test]
async fn denial_in_a_transaction_aborts_it_as_an_error_would() {
    let world = World::start().await;
    let client = world.daypass.endpoint("bob", "app", "reader").await.connect().await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("CREATE TABLE never (n int)").await.unwrap_err();
    let aborted = database_error(&client.batch_execute("SELECT 1").await.unwrap_err());
    assert_eq!(aborted.code(), &SqlState::IN_FAILED_SQL_TRANSACTION);
    client.batch_execute("ROLLBACK; SELECT 1").await.unwrap();
    let both =
        database_error(&client.batch_execute("SELECT 1; CREATE TABLE never (n int)").await.unwrap_err());
    assert_eq!(both.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
}

/// The hold that waits.
async fn hold(daypass: &Daypass) -> Value {
    until("the action is held", async || {
        let holds: Value = daypass.as_person("alice").get("holds").await.unwrap();
        holds["items"].as_array()?.iter().find(|hold| hold["status"] == "waiting").cloned()
    })
    .await
}

#[tokio::test]
async fn held_update_goes_on_when_released_and_not_when_refused() {
    let world = World::start().await;
    let owner = world.postgres.endpoint("app").connect().await.unwrap();
    owner
        .batch_execute("CREATE TABLE t AS SELECT 0 AS n FROM generate_series(1, 50); ANALYZE t")
        .await
        .unwrap();
    let client = world.daypass.endpoint("bob", "app", "careful").await.connect().await.unwrap();
    let alice = world.daypass.as_person("alice");
    for (decision, changed) in [("release", 50_i64), ("refuse", 0)] {
        let held = async { client.simple_query("UPDATE t SET n = n + 1").await };
        let decided = async {
            let hold = hold(&world.daypass).await;
            assert!(hold["text"].as_str().is_some_and(|text| text.contains("UPDATE t")), "{hold}");
            let before: i64 =
                owner.query_one("SELECT count(*) FROM t WHERE n > 0", &[]).await.unwrap().get(0);
            let path = format!("holds/{}/{decision}", hold["id"].as_str().unwrap());
            let _: Value = alice.post(&path, &json!({})).await.unwrap();
            before
        };
        let (outcome, before) = tokio::join!(held, decided);
        assert_eq!(outcome.is_ok(), decision == "release", "{decision}: {outcome:?}");
        let after: i64 = owner.query_one("SELECT count(*) FROM t WHERE n > 0", &[]).await.unwrap().get(0);
        assert_eq!(after - before, changed, "{decision}");
        client.simple_query("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn held_update_shows_how_many_rows_it_would_touch() {
    let world = World::start().await;
    let owner = world.postgres.endpoint("app").connect().await.unwrap();
    owner
        .batch_execute("CREATE TABLE t AS SELECT 0 AS n FROM generate_series(1, 50); ANALYZE t")
        .await
        .unwrap();
    let client = world.daypass.endpoint("bob", "app", "careful").await.connect().await.unwrap();
    let held = client.simple_query("UPDATE t SET n = n + 1");
    let shown = async {
        let hold = hold(&world.daypass).await;
        let path = format!("holds/{}/refuse", hold["id"].as_str().unwrap());
        let _: Value = world.daypass.as_person("alice").post(&path, &json!({})).await.unwrap();
        hold
    };
    let (outcome, hold) = tokio::join!(held, shown);
    outcome.unwrap_err();
    assert_eq!(hold["rows"], json!(50), "{hold}");
}

#[tokio::test]
async fn held_update_can_be_cancelled() {
    let world = World::start().await;
    world
        .postgres
        .endpoint("app")
        .connect()
        .await
        .unwrap()
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let through = world.daypass.endpoint("bob", "app", "careful").await;
    let client = through.connect().await.unwrap();
    let held = client.simple_query("DELETE FROM t");
    let cancelled = async {
        hold(&world.daypass).await;
        client.cancel_token().cancel_query(through.rustls()).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(held, cancelled);
    assert_eq!(database_error(&outcome.unwrap_err()).code(), &SqlState::QUERY_CANCELED);
    client.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn nobody_releases_their_own_hold() {
    let world = World::start().await;
    world
        .postgres
        .endpoint("app")
        .connect()
        .await
        .unwrap()
        .batch_execute("CREATE TABLE t (n int)")
        .await
        .unwrap();
    let client = world.daypass.endpoint("bob", "app", "careful").await.connect().await.unwrap();
    let held = client.simple_query("DELETE FROM t");
    let decided = async {
        let id = hold(&world.daypass).await["id"].as_str().unwrap().to_owned();
        let own: Result<Value, _> =
            world.daypass.as_person("bob").post(&format!("holds/{id}/release"), &json!({})).await;
        let refusal = own.unwrap_err();
        assert_eq!(refusal.status / 100, 4, "{refusal:?}");
        let _: Value =
            world.daypass.as_person("alice").post(&format!("holds/{id}/refuse"), &json!({})).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(held, decided);
    outcome.unwrap_err();
}

#[tokio::test]
async fn replication_is_a_class_of_its_own_and_denied() {
    let world = World::start().await;
    let through = world.daypass.endpoint("bob", "app", "everything").await;
    let ended = run(&through, "psql", &["-X", "replication=database", "-c", "IDENTIFY_SYSTEM"]).await;
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    let direct = world.postgres.endpoint("app");
    run(&direct, "psql", &["-X", "replication=database", "-c", "IDENTIFY_SYSTEM"]).await.well();
}

#[tokio::test]
async fn session_is_found_in_the_log_and_at_the_target_by_one_id() {
    let world = World::start().await;
    let client = world.daypass.endpoint("bob", "app", "everything").await.connect().await.unwrap();
    let row = client
        .query_one("SELECT pg_backend_pid()::int8, current_setting('application_name')", &[])
        .await
        .unwrap();
    let (pid, name): (i64, String) = (row.get(0), row.get(1));
    let reached = world.daypass.records("kind=target-reached").await;
    let record = reached.iter().find(|record| record.body["backend"] == json!(pid)).unwrap();
    let session = record.body["session"].as_str().unwrap();
    assert!(name.contains(session), "`{name}` does not carry `{session}`");
}

#[tokio::test]
async fn i15_reading_the_log_is_recorded() {
    let world = World::start().await;
    let before = world.daypass.records("log=control&kind=log-read").await.len();
    world.daypass.records("kind=intent&person=bob").await;
    let reads = world.daypass.records("log=control&kind=log-read").await;
    assert!(reads.len() > before, "{reads:?}");
    assert!(reads.iter().all(|record| record.body["by"] == json!("ada")), "{reads:?}");
    // Who is no auditor reads what is about them, and that is recorded as well.
    let own: Value = world.daypass.as_person("bob").get("log/records?limit=1000").await.unwrap();
    let records = own["items"].as_array().unwrap();
    let about = |record: &Value| [&record["body"]["person"], &record["body"]["by"]].contains(&&json!("bob"));
    assert!(records.iter().all(about), "{own}");
    let others: Result<Value, _> = world.daypass.as_person("bob").get("log/records?person=alice").await;
    assert_eq!(others.unwrap_err().status, 403);
}

//! Drivers in real use, direct and through the gateway: tokio-postgres, sqlx, psycopg 3, node-postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suites {
    pub(crate) mod sqlx;
    pub(crate) mod tokio_postgres;
}

use daypass_e2e::{Ended, Endpoint, World, assert_same, run, tools_folder};

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_in_real_use() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let expected = suites::tokio_postgres::transcript(&direct).await;
    assert_same("tokio-postgres", &expected, &suites::tokio_postgres::transcript(&through).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlx_in_real_use() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let expected = suites::sqlx::transcript(&direct).await;
    assert_same("sqlx", &expected, &suites::sqlx::transcript(&through).await);
}

async fn psycopg(endpoint: &Endpoint, task: &str, ways: &str) -> Ended {
    let python = tools_folder().join("python/bin/python");
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/psycopg_suite.py");
    let line = format!("DAYPASS_WAYS='{ways}' exec '{}' '{suite}' {task}", python.display());
    run(endpoint, "sh", &["-c", &line]).await
}

#[tokio::test]
async fn psycopg_in_real_use() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let expected = psycopg(&direct, "suite", "").await.well();
    assert!(expected.stdout.contains("after cancel ('well',)"), "{}", expected.stdout);
    let got = psycopg(&through, "suite", "").await;
    assert_same(&format!("psycopg\n{}", got.stderr), &expected.stdout, &got.stdout);
    got.well();
}

#[tokio::test]
async fn libpq_by_direct_tls_and_protocol_3_2() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let version: u32 = psycopg(&direct, "version", "").await.well().stdout.trim().parse().unwrap();
    assert!(version >= 180_000, "psycopg[binary] should bring libpq 18, not {version}");
    let ways = [
        ("sslnegotiation=postgres max_protocol_version=3.0", "1 30000"),
        ("sslnegotiation=direct max_protocol_version=3.0", "1 30000"),
        ("sslnegotiation=postgres max_protocol_version=3.2", "1 30002"),
        ("sslnegotiation=direct min_protocol_version=3.0 max_protocol_version=latest", "1 30002"),
        ("gssencmode=prefer", "1 30000"),
        ("channel_binding=disable", "1 30000"),
    ];
    for (options, outcome) in ways {
        let got = psycopg(&through, "ways", options).await;
        // A server of version 15 speaks 3.0 only; what the client gets is between the client and the gateway.
        assert_eq!(got.well().stdout.trim(), format!("{options} {outcome}"));
    }
}

async fn node(endpoint: &Endpoint) -> Ended {
    let tools = tools_folder().join("node");
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/node_suite.js");
    let line = format!("NODE_TOOLS='{}' exec node '{suite}'", tools.display());
    run(endpoint, "sh", &["-c", &line]).await
}

#[tokio::test]
async fn node_postgres_in_real_use() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let expected = node(&direct).await.well();
    assert!(expected.stdout.contains("notification node payload"), "{}", expected.stdout);
    let got = node(&through).await;
    assert_same(&format!("node-postgres\n{}", got.stderr), &expected.stdout, &got.stdout);
    got.well();
}

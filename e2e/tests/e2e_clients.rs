//! PostgreSQL's own clients, direct and through the gateway: psql, pgbench, pg_dump and pg_restore.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use daypass_e2e::{Ended, Endpoint, Settings, World, assert_same, run};

/// Runs one of the scripts with psql and gives what a person would see.
async fn script(endpoint: &Endpoint, name: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let path = format!("{}/scripts/{name}.sql", env!("CARGO_MANIFEST_DIR"));
    let command = format!(
        "SCRATCH='{}' exec psql --no-psqlrc --echo-all --file '{path}' 2>&1",
        scratch.path().display()
    );
    without_pids(&run(endpoint, "sh", &["-c", &command]).await.transcript()).replace(&path, name)
}

/// Leaves out the process id in `received from server process with PID 123.`
fn without_pids(text: &str) -> String {
    let mut parts = text.split("with PID ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("with PID …");
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    plain
}

async fn same_script(name: &str, proof: &str) {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    let expected = script(&direct, name).await;
    assert!(expected.contains(proof), "the script does not do what it should:\n{expected}");
    assert_same(name, &expected, &script(&through, name).await);
}

#[tokio::test]
async fn psql_simple_statements() {
    same_script("simple", "naïve – ünïcode 🦀").await;
}

#[tokio::test]
async fn psql_multi_statement_strings() {
    same_script("multi", "still_three").await;
}

#[tokio::test]
async fn psql_copy_in_and_out() {
    same_script("copy", "bulk").await;
}

#[tokio::test]
async fn psql_sql_level_prepare() {
    same_script("prepared", "it's a nut").await;
}

#[tokio::test]
async fn psql_cursors() {
    same_script("cursors", "FETCH ABSOLUTE 100").await;
}

#[tokio::test]
async fn psql_errors_in_every_field() {
    same_script("errors", "DP001").await;
}

#[tokio::test]
async fn psql_listen_and_notify() {
    same_script("notify", "with payload \"first\"").await;
}

#[tokio::test]
async fn psql_large_objects() {
    same_script("large_objects", "the FIRST bytes of it").await;
}

#[tokio::test]
async fn psql_functions_procedures_and_ddl() {
    same_script("code", "BOOK 2!").await;
}

#[tokio::test]
async fn psql_its_own_queries_and_encodings() {
    same_script("catalogue", "people_pkey").await;
}

/// What of pgbench's report does not depend on the time it took.
fn outcome(ended: &Ended) -> String {
    let kept =
        ["query mode:", "number of transactions actually processed:", "number of failed transactions:"];
    let lines = ended.stdout.lines().filter(|line| kept.iter().any(|start| line.starts_with(start)));
    format!("exit {:?}\n{}", ended.code, lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn pgbench_in_all_three_query_modes() {
    let world = World::start().await;
    let (direct, through) = world.both().await;
    for endpoint in [&direct, &through] {
        run(endpoint, "pgbench", &["--initialize", "--scale=1", "--quiet"]).await.well();
    }
    for mode in ["simple", "extended", "prepared"] {
        for (script, transactions) in [("select-only", "200"), ("tpcb-like", "50")] {
            let arguments = ["-M", mode, "-b", script, "-t", transactions, "-c", "4", "-n"];
            let expected = run(&direct, "pgbench", &arguments).await.well();
            assert!(expected.stdout.contains("actually processed"), "{}", expected.stdout);
            let got = run(&through, "pgbench", &arguments).await;
            assert_same(
                &format!("pgbench {mode} {script}\n{}", got.stderr),
                &outcome(&expected),
                &outcome(&got),
            );
        }
    }
    let sums =
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)";
    assert_eq!(run(&direct, "psql", &["-XAtc", sums]).await.well().stdout, "t\n");
}

/// A dump without the key that newer versions draw at random.
async fn dump(endpoint: &Endpoint) -> String {
    let text = run(endpoint, "pg_dump", &["--no-sync"]).await.well().stdout;
    let lines =
        text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn pg_dump_and_pg_restore_of_every_common_type() {
    let databases = ["types", "restored"].map(|name| (name.to_owned(), name.to_owned()));
    let world = World::start_with(Settings { resources: databases.into(), ..Settings::default() }).await;
    let owner = world.postgres.endpoint("app");
    for database in ["types", "restored"] {
        run(&owner, "createdb", &[database]).await.well();
    }
    let source = world.postgres.endpoint("types");
    let script = format!("{}/scripts/types.sql", env!("CARGO_MANIFEST_DIR"));
    run(&source, "psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &script]).await.well();
    let expected = dump(&source).await;
    assert!(expected.contains("COPY public.every") && expected.contains("lo_create"), "{expected}");

    let through = world.daypass.endpoint("bob", "types", "everything").await;
    assert_same("pg_dump", &expected, &dump(&through).await);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("types.dump").to_string_lossy().into_owned();
    run(&through, "pg_dump", &["--format=custom", "--file", &file]).await.well();
    let empty = world.daypass.endpoint("bob", "restored", "everything").await;
    run(&empty, "pg_restore", &["--exit-on-error", "--dbname=restored", &file]).await.well();
    assert_same("the restored database", &expected, &dump(&world.postgres.endpoint("restored")).await);

    let parallel = folder.path().join("parallel").to_string_lossy().into_owned();
    run(&through, "pg_dump", &["--format=directory", "--jobs=3", "--file", &parallel]).await.well();
    let clean = ["--clean", "--if-exists", "--exit-on-error", "--jobs=3", "--dbname=restored", &parallel];
    run(&empty, "pg_restore", &clean).await.well();
    assert_same("restored in parallel", &expected, &dump(&world.postgres.endpoint("restored")).await);
}

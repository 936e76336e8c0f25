//! The classification against a real PostgreSQL: what it says of its own catalog, what it refuses in a read-only
//! transaction, and what its own programs send.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daypass_access::action::{Class, ClassSet};
use daypass_pg::classify::{Classified, Dialect, classify};
use daypass_pg::estimate;
use tempfile::TempDir;

struct Server {
    child: Child,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[expect(clippy::expect_used, reason = "part of tests")]
fn program(name: &str) -> PathBuf {
    let folders =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed: `cargo xtask test` does it");
    let mut found: Vec<PathBuf> = folders.flatten().map(|f| f.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().expect("a server")
}

/// The server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Server {
    #[expect(clippy::unwrap_used, reason = "part of tests")]
    #[expect(clippy::disallowed_methods, reason = "waits for a server with a deadline")]
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("daypass-pg").tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let data = folder.path().join("data");
        let made = unprivileged(&program("initdb"))
            .args(["--auth=trust", "--username=owner", "--no-sync", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        // A socket in its own folder and no port: nothing to collide with.
        let child = unprivileged(&program("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "log_statement=all",
                "-c",
                "log_line_prefix=@",
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !server.psql(&["-c", "SELECT 1"]).status.success() {
            assert!(Instant::now() < deadline, "the server did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.arg("-h").arg(self.folder.path()).args(["-U", "owner"]);
        command
    }

    #[expect(clippy::unwrap_used, reason = "part of tests")]
    fn psql(&self, args: &[&str]) -> std::process::Output {
        self.client("psql").args(["-X", "-A", "-t", "-d", "postgres"]).args(args).output().unwrap()
    }

    fn lines(&self, sql: &str) -> Vec<String> {
        let output = self.psql(&["-v", "ON_ERROR_STOP=1", "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Every statement logged, in order.
    #[expect(clippy::unwrap_used, reason = "part of tests")]
    fn statements(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        let mut statements: Vec<String> = Vec::new();
        let mut going = false;
        for line in log.lines() {
            if let Some(entry) = line.strip_prefix('@') {
                let text = entry.strip_prefix("LOG:  statement: ");
                going = text.is_some();
                statements.extend(text.map(str::to_owned));
            } else if let (true, Some(last)) = (going, statements.last_mut()) {
                last.push('\n');
                last.push_str(line.trim_start_matches('\t'));
            }
        }
        statements
    }
}

fn of(sql: &str) -> Classified {
    classify(sql.as_bytes(), Dialect::default())
}

/// Volatile by the catalog, and let through: they read clocks, dice, sizes and states.
const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "timeofday",
    "random",
    "setseed",
    "gen_random_uuid",
    "current_query",
    "currval",
    "lastval",
    "bernoulli",
    "system",
    "random_normal",
    "uuidv4",
    "uuidv7",
    "array_sample",
    "array_shuffle",
    "pg_blocking_pids",
    "pg_safe_snapshot_blocking_pids",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_current_wal_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_flush_lsn",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_get_wal_replay_pause_state",
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_lock_status",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_sequence_last_value",
    "pg_notification_queue_usage",
    "pg_jit_available",
    "pg_xact_status",
    "txid_status",
    "pg_xact_commit_timestamp",
    "pg_last_committed_xact",
    "pg_isolation_test_session_is_blocked",
];

#[test]
fn no_volatile_function_of_the_catalog_is_a_pure_read() {
    let server = Server::start();
    let volatile = server.lines(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'",
    );
    assert!(volatile.len() > 150, "{}", volatile.len());
    for name in &volatile {
        let harmless = HARMLESS.contains(&name.as_str()) || name.starts_with("pg_stat_get_xact_");
        let pure = of(&format!("SELECT pg_catalog.\"{name}\"()")).action.pure_read;
        assert_eq!(pure, harmless, "{name}");
    }
    let stable = server.lines(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'
         GROUP BY 1 HAVING bool_and(provolatile <> 'v') ORDER BY 1",
    );
    let known = stable.iter().filter(|name| of(&format!("SELECT \"{name}\"()")).action.pure_read).count();
    assert!(known * 100 > stable.len() * 75, "{known} of {}: the rest takes internal types", stable.len());
    let operators = server.lines(
        "SELECT DISTINCT oprname FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode WHERE p.provolatile = 'v'",
    );
    assert_eq!(operators, Vec::<String>::new());
}

/// What stands around an expression.
const AROUND: &[&str] = &[
    "SELECT @",
    "SELECT 1 WHERE @ IS NULL",
    "SELECT a FROM t ORDER BY @",
    "SELECT a FROM t LIMIT @",
    "SELECT a FROM t OFFSET @",
    "SELECT count(*) FROM t GROUP BY @",
    "SELECT max(a) FROM t HAVING @ > 0",
    "SELECT count(*) FILTER (WHERE @ > 0) FROM t",
    "SELECT sum(a) OVER (ORDER BY @) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY @)",
    "SELECT CASE WHEN @ > 0 THEN 1 END",
    "SELECT ARRAY[@]",
    "SELECT (ARRAY[1])[@]",
    "SELECT ROW(@)",
    "SELECT COALESCE(NULL, @)",
    "SELECT GREATEST(1, @)",
    "SELECT NULLIF(1, @)",
    "SELECT @ BETWEEN 0 AND 1",
    "SELECT 1 IN (2, @)",
    "SELECT EXISTS (SELECT @)",
    "SELECT 1 = ANY (SELECT @)",
    "SELECT (SELECT @)",
    "VALUES (1), (@)",
    "SELECT 1 UNION ALL SELECT @",
    "WITH x AS MATERIALIZED (SELECT @) TABLE x",
    "SELECT * FROM (SELECT @) x",
    "SELECT * FROM t, LATERAL (SELECT @) x",
    "SELECT * FROM t JOIN t u ON @ > t.a",
    "SELECT * FROM generate_series(1, @)",
    "SELECT DISTINCT ON (@) a FROM t",
    "SELECT @::text COLLATE \"C\"",
    "SELECT string_agg('a', 'b' ORDER BY @) FROM t",
    "SELECT xmlforest(@ AS a)",
    "SELECT * FROM ROWS FROM (generate_series(1, @), generate_series(1, 2))",
    "EXPLAIN ANALYZE SELECT @",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY @) FROM t",
    "SELECT format('%s', VARIADIC ARRAY[@])",
];

#[test]
fn what_the_server_refuses_to_a_reader_is_no_pure_read() {
    let server = Server::start();
    server.lines("CREATE TABLE t (a int, b text); CREATE SEQUENCE s; INSERT INTO t VALUES (1, 'x')");
    let acts = [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1 WHERE a = 1",
        "DELETE FROM t",
        "TRUNCATE t",
        "DROP TABLE t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * INTO u FROM t",
        "CREATE TABLE u AS SELECT 1",
        "CREATE TEMP TABLE x (a int)",
        "WITH d AS (DELETE FROM t RETURNING a) SELECT * FROM d",
        "COMMENT ON TABLE t IS 'x'",
        "ALTER TABLE t ADD c int",
        "CREATE VIEW v AS SELECT 1",
        "GRANT SELECT ON t TO PUBLIC",
        "NOTIFY x",
        "REINDEX TABLE t",
        "LOCK TABLE t",
        "COPY t FROM '/dev/null'",
        "SELECT lo_creat(1)",
        "SELECT setval('s', 1)",
        "CREATE ROLE x",
        "ANALYZE t",
        "EXPLAIN ANALYZE DELETE FROM t",
        "MERGE INTO t USING t u ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
    ];
    let around = AROUND.iter().map(|shape| shape.replace('@', "nextval('s')::int"));
    let mut refused = 0;
    for sql in acts.into_iter().map(str::to_owned).chain(around) {
        let script = format!("BEGIN READ ONLY; {sql}; ROLLBACK;");
        let output = server.psql(&["-v", "VERBOSITY=sqlstate", "-c", &script]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let classified = of(&sql);
        assert_eq!(classified.trouble, None, "{sql}");
        assert!(!classified.action.pure_read, "{sql}");
        refused += usize::from(said.contains("25006"));
    }
    assert!(refused > 50, "the server refused {refused}: these statements do act");
    // And the other way: what is called a pure read runs in a read-only transaction, and takes no transaction id.
    for sql in
        AROUND.iter().map(|shape| shape.replace('@', "length('s')")).filter(|sql| !sql.starts_with("EXPLAIN"))
    {
        assert!(of(&sql).action.pure_read, "{sql}");
        let script = format!(
            "BEGIN; {sql}; SELECT 'xid:' || coalesce(pg_current_xact_id_if_assigned()::text, 'none'); ROLLBACK;"
        );
        let output = server.psql(&["-v", "ON_ERROR_STOP=1", "-c", &script]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("xid:none"), "{sql}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// PostgreSQL calls `f(x)` when told `x.f`; a reader is refused what the function does.
#[test]
fn functional_notation_is_a_call_where_the_server_calls() {
    let server = Server::start();
    server.lines("CREATE SEQUENCE s; CREATE TYPE pair AS (a int, b int)");
    for (name, argument) in [
        ("wipe", "int"),
        ("status", "int"),
        ("f", "int"),
        ("value", "json"),
        ("p", "pair"),
        ("ordinality", "int"),
    ] {
        server.lines(&format!(
            "CREATE FUNCTION {name}({argument}) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('s') $$"
        ));
    }
    for (sql, calls) in [
        ("SELECT s.wipe FROM generate_series(1,1) s", true),
        ("SELECT f.wipe FROM abs(1) f", true),
        ("SELECT abs.wipe FROM abs(1)", true),
        ("SELECT f.f FROM abs(1) f(x)", true),
        ("SELECT f.status FROM abs(1) f", true),
        ("SELECT f.wipe FROM ROWS FROM (abs(1)) f", true),
        ("SELECT f.ordinality FROM abs(1) f", true),
        ("SELECT f.wipe FROM CAST(1 AS int) f", true),
        ("SELECT int4.wipe FROM CAST(1 AS int)", true),
        ("SELECT f.wipe FROM unnest(ARRAY[1]) f", true),
        ("SELECT e.value FROM json_array_elements('[1]') e(x)", true),
        ("SELECT p.p FROM unnest(ARRAY[ROW(1,2)::pair]) p", true),
        ("SELECT p.p FROM json_populate_record(NULL::pair, '{}') p", true),
        ("SELECT f.f FROM abs(1) f", false),
        ("SELECT a.x, g.ordinality FROM abs(2) a(x), abs(3) WITH ORDINALITY g", false),
        ("SELECT e.value FROM json_array_elements('[1]') e", false),
        ("SELECT r.a FROM json_to_record('{}') r(a int)", false),
        ("SELECT x.a, x.abs FROM ROWS FROM (json_to_record('{}') AS (a int), abs(1)) x", false),
    ] {
        let script = format!("BEGIN READ ONLY; {sql}; ROLLBACK;");
        let output = server.psql(&["-v", "VERBOSITY=sqlstate", "-c", &script]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.contains("25006"), calls, "{sql}: {said}");
        assert_eq!(said.is_empty(), !calls, "{sql}: {said}");
        let action = of(sql).action;
        assert_eq!((action.pure_read, action.classes.contains(Class::Call)), (!calls, calls), "{sql}");
    }
}

#[test]
fn the_server_s_own_programs_need_what_people_expect() {
    let server = Server::start();
    server.lines(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id serial PRIMARY KEY, a mood, b int[] DEFAULT '{}', c text);
         CREATE VIEW v AS SELECT * FROM t; CREATE INDEX i ON t (lower(c)); CREATE MATERIALIZED VIEW m AS SELECT 1 AS x;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMENT ON TABLE t IS 'x';
         CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (2)",
    );
    server.lines("CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader");
    let already = server.statements().len();
    // A superuser's dump reads the passwords of subscriptions, unless told not to; nobody else's does.
    for arguments in [&["--no-subscriptions"][..], &[], &["-U", "reader"]] {
        let dumped = server.client("pg_dump").args(["-d", "postgres"]).args(arguments).output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    }
    for command in [
        "\\d t", "\\d+ v", "\\df f", "\\l", "\\du", "\\dn+", "\\dt+", "\\di", "\\dT+", "\\sf f", "\\dp",
        "\\d p",
    ] {
        assert!(server.psql(&["-c", command]).status.success(), "{command}");
    }
    let statements = server.statements().split_off(already);
    assert!(statements.len() > 60, "{}", statements.len());
    let reader: ClassSet = [Class::Session, Class::Read, Class::CopyOut].into_iter().collect();
    let prepared = of("SELECT 1").action;
    let secret = statements.iter().filter(|sql| sql.contains("subconninfo")).count();
    assert_eq!(secret, 1, "the superuser's dump of subscriptions");
    for sql in statements {
        let action = of(&sql).resolve(|_| Some(prepared));
        if sql.contains("subconninfo") {
            assert!(action.classes.contains(Class::Admin), "{sql}");
            continue;
        }
        assert!(
            action.classes.minus(reader).is_empty(),
            "{:?}: {sql}",
            action.classes.iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_planner_s_estimate_is_read() {
    let server = Server::start();
    server.lines("CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 5000) g");
    server.lines("ANALYZE t");
    let asked = estimate::explain(b"UPDATE t SET a = 1").unwrap();
    let answer = server.lines(std::str::from_utf8(&asked).unwrap()).join("\n");
    assert_eq!(estimate::rows(answer.as_bytes()), Some(5000));
    let asked = estimate::explain(b"DELETE FROM t WHERE a <= 500").unwrap();
    let answer = server.lines(std::str::from_utf8(&asked).unwrap()).join("\n");
    let rows = estimate::rows(answer.as_bytes()).unwrap();
    assert!((400..600).contains(&rows), "{rows}");
    assert_eq!(server.lines("SELECT count(*) FROM t"), ["5000"], "nothing was changed");
}

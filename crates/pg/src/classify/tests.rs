use proptest::prelude::*;

use super::*;

fn of(sql: &str) -> Classified {
    classify(sql.as_bytes(), Dialect::default())
}

/// `class,class !risk ~` where `~` marks a pure read.
fn short(sql: &str) -> String {
    let classified = of(sql);
    let action = classified.resolve(|_| None);
    let classes: Vec<&str> = action.classes.iter().map(Class::name).collect();
    let risks: String = action.risks.iter().map(|r| format!(" !{}", r.name())).collect();
    format!("{}{risks}{}", classes.join(","), if action.pure_read { " ~" } else { "" })
}

fn table(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(sql, expected)| short(sql) != *expected)
        .map(|(sql, expected)| {
            format!("{sql}\n    expected {expected}\n    was      {} {:?}", short(sql), of(sql).trouble)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_reads() {
    table(&[
        ("SELECT abalance FROM pgbench_accounts WHERE aid = 5", "read ~"),
        ("SELECT 1", "read ~"),
        ("VALUES (1), (2)", "read ~"),
        ("TABLE t", "read ~"),
        ("SHOW search_path", "session ~"),
        (
            "SELECT count(*), max(a) OVER (PARTITION BY b ORDER BY lower(c)) FROM t GROUP BY ROLLUP (d)",
            "read ~",
        ),
        ("WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT * FROM x", "read ~"),
        ("SELECT pg_catalog.now(), current_user, CURRENT_TIMESTAMP, extract(year FROM d) FROM t", "read ~"),
        ("SELECT * FROM generate_series(1, 10) g, LATERAL (SELECT g) s", "read ~"),
        ("SELECT a->>'b', c @> '{}', d ~* 'x', e LIKE 'y', f BETWEEN 1 AND 2, g IN (1, 2) FROM t", "read ~"),
        ("SELECT CASE WHEN a THEN b ELSE c END, COALESCE(d, e), a::int, ARRAY[1], ROW(1) FROM t", "read ~"),
        ("EXPLAIN SELECT * FROM t", "read ~"),
        ("SELECT * FROM t TABLESAMPLE system (1)", "read ~"),
        ("SELECT xmlelement(name a), json_object('a': 1)", "read ~"),
        ("SELECT 1; SELECT 2", "read ~"),
        ("SELECT information_schema._pg_expandarray(i.indkey) FROM pg_index i", "read ~"),
        ("", "session ~"),
        ("-- nothing", "session ~"),
    ]);
}

#[test]
fn reads_that_act() {
    table(&[
        ("SELECT nextval('s')", "read,write"),
        ("SELECT pg_catalog.setval('s', 1)", "read,write"),
        ("SELECT my_function(1)", "read,call"),
        ("SELECT public.lower('A')", "read,call"),
        ("SELECT * FROM my_function(1)", "read,call"),
        ("SELECT * FROM t ORDER BY my_function(a)", "read,call"),
        ("SELECT * FROM t LIMIT my_function()", "read,call"),
        ("SELECT * FROM t WINDOW w AS (ORDER BY f(a))", "read,call"),
        ("SELECT count(*) FILTER (WHERE f(a)) FROM t", "read,call"),
        ("SELECT string_agg(a, b ORDER BY f(c)) FROM t", "read,call"),
        ("SELECT a FROM t GROUP BY GROUPING SETS ((f(a)), ())", "read,call"),
        ("SELECT a OPERATOR(public.+) b FROM t", "read,call"),
        ("SELECT * FROM t ORDER BY a USING OPERATOR(evil.<)", "read,call"),
        ("SELECT a = ANY (SELECT b FROM t WHERE c <!> d)", "read,call"),
        ("SELECT a OPERATOR(x.=) ANY (SELECT b FROM t)", "read,call"),
        ("SELECT * FROM t TABLESAMPLE evil (1)", "read,call"),
        ("SELECT * FROM a JOIN b ON f(a.x) = b.x", "read,call"),
        ("SELECT (SELECT f())", "read,call"),
        ("VALUES (f())", "read,call"),
        ("SELECT DISTINCT ON (f(a)) a FROM t", "read,call"),
        ("SELECT a[f()] FROM t", "read,call"),
        ("SELECT * FROM XMLTABLE('/x' PASSING f() COLUMNS a int)", "read,call"),
        ("SELECT * FROM JSON_TABLE(f(), '$' COLUMNS (a int PATH '$'))", "read,call"),
        ("SELECT * FROM ROWS FROM (f(1), generate_series(1, 2))", "read,call"),
        ("WITH x AS (SELECT f()) SELECT 1", "read,call"),
        ("SELECT pg_advisory_lock(1)", "read,call"),
        ("SELECT lo_unlink(1)", "read,call"),
        ("SELECT pg_sleep(1)", "read"),
        ("SELECT txid_current()", "read"),
        ("SELECT pg_notify('a', 'b')", "session,read"),
        ("SELECT * FROM t FOR UPDATE", "read,write"),
        ("SELECT * FROM (SELECT * FROM t FOR SHARE) x", "read,write"),
        ("SELECT * INTO x FROM t", "read,write,ddl"),
        ("WITH d AS (DELETE FROM t WHERE a = 1 RETURNING *) SELECT * FROM d", "read,write"),
        ("WITH d AS (UPDATE t SET a = 1) SELECT 1", "read,write !update-without-where"),
        ("EXPLAIN ANALYZE DELETE FROM t", "read,write !delete-without-where"),
        ("EXPLAIN (ANALYZE off, VERBOSE) DELETE FROM t", "read,write !delete-without-where"),
        ("EXPLAIN DELETE FROM t", "read"),
        ("EXPLAIN SELECT f()", "read,call"),
        ("EXPLAIN EXECUTE x", "session,read,admin"),
        ("SELECT 1; DELETE FROM t WHERE a = 1", "read,write"),
    ]);
}

/// Each of these ran on a real server: PostgreSQL calls `f(x)` when told `(x).f`.
#[test]
fn fields_that_are_calls() {
    table(&[
        ("SELECT ('/etc/passwd'::text).pg_read_file", "read,admin"),
        ("SELECT (42).pg_terminate_backend", "read,admin"),
        ("SELECT ('s'::regclass).nextval", "read,write"),
        ("SELECT (16384::oid).lo_unlink", "read,call"),
        ("SELECT (42).delete_customer", "read,call"),
        ("SELECT (t.id).delete_customer FROM t", "read,call"),
        ("SELECT f.pg_read_file FROM lower('/etc/passwd') AS f", "read,admin"),
        ("SELECT f.nextval FROM to_regclass('s') AS f", "read,write"),
        ("SELECT f.lo_unlink FROM abs(1) AS f", "read,call"),
        ("SELECT t.a, s.t.b, e.key, e.* FROM t, jsonb_each('{}') e", "read ~"),
        ("SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i", "read ~"),
        ("SELECT (ARRAY[1])[length('s')], a[b.pg], prattrs[s] FROM t s", "read ~"),
        ("SELECT (ARRAY[1])[nextval('s')]", "read,write"),
        ("SELECT (r.keys).x, (jsonb_each(j)).*, (a[1]).value FROM r", "read ~"),
    ]);
}

/// Each of these ran on a real server, with `wipe(int)` and `status(int)`: see `real_server.rs`.
#[test]
fn columns_of_functions_that_are_calls() {
    table(&[
        ("SELECT s.wipe FROM generate_series(1,1) s", "read,call"),
        ("SELECT f.wipe FROM abs(1) f", "read,call"),
        ("SELECT abs.wipe FROM abs(1)", "read,call"),
        ("SELECT abs.wipe FROM pg_catalog.abs(1)", "read,call"),
        ("SELECT 1 FROM abs(1) f ORDER BY f.wipe", "read,call"),
        ("SELECT f.f FROM abs(1) f(x)", "read,call"),
        ("SELECT f.status FROM abs(1) f", "read,call"),
        ("SELECT (SELECT f.wipe) FROM abs(1) f", "read,call"),
        ("SELECT f.wipe FROM ROWS FROM (abs(1)) f", "read,call"),
        ("SELECT f.wipe FROM abs(1) WITH ORDINALITY f", "read,call"),
        ("SELECT f.ordinality FROM abs(1) f", "read,call"),
        ("SELECT f.wipe FROM CAST(1 AS int) f", "read,call"),
        ("SELECT int4.wipe FROM CAST(1 AS int)", "read,call"),
        ("SELECT f.a FROM unnest(ARRAY[1]) f", "read,call"),
        ("SELECT f.f FROM unnest(ARRAY[1]) f", "read,call"),
        ("SELECT f.a FROM jsonb_populate_record(NULL::t, '{}') f", "read,call"),
        ("SELECT e.value FROM json_array_elements('[1]') e(x)", "read,call"),
        ("SELECT f.f FROM nextval('s') f", "read,write"),
        ("SELECT f.wipe FROM nextval('s') f", "read,write,call"),
        ("WITH f AS (SELECT 1 AS a) SELECT f.a FROM f, (SELECT f.a FROM abs(1) f(a)) x", "read ~"),
        ("UPDATE t SET a = s.wipe FROM generate_series(1,1) s WHERE t.b = 1", "read,write,call"),
        ("EXPLAIN SELECT s.wipe FROM generate_series(1,1) s", "read,call"),
        ("SELECT f.f, f.lower FROM abs(1) f", "read ~"),
        ("SELECT abs.abs, a.x, g.ordinality FROM abs(1), abs(2) a(x), abs(3) WITH ORDINALITY g", "read ~"),
        ("SELECT u.a, u.n FROM unnest(ARRAY[1]) WITH ORDINALITY u(a, n)", "read ~"),
        ("SELECT r.a FROM json_to_record('{}') r(a int)", "read ~"),
        ("SELECT x.a FROM ROWS FROM (json_to_record('{}') AS (a int), abs(1)) x", "read ~"),
        ("SELECT e.value FROM json_array_elements('[1]') e", "read ~"),
        ("SELECT e.key, e.value, e.* FROM jsonb_each('{}') e", "read ~"),
        ("SELECT s.name, s.setting FROM pg_show_all_settings() s", "read ~"),
        ("SELECT t.wipe FROM t", "read ~"),
    ]);
}

#[test]
fn secrets_of_the_catalog_need_admin() {
    table(&[
        ("SELECT subconninfo FROM pg_subscription", "read,admin"),
        ("SELECT s.subconninfo FROM pg_catalog.pg_subscription s", "read,admin"),
        ("SELECT pg_catalog.pg_subscription.subconninfo FROM pg_catalog.pg_subscription", "read,admin"),
        ("SELECT * FROM pg_subscription", "read,admin"),
        ("TABLE pg_subscription", "read,admin"),
        ("SELECT s.* FROM pg_subscription s", "read,admin"),
        ("SELECT s FROM pg_subscription s", "read,admin"),
        ("SELECT pg_subscription::text FROM pg_subscription", "read,admin"),
        ("SELECT to_json(s) FROM pg_subscription s", "read,admin"),
        ("SELECT s.to_json FROM pg_subscription s", "read,admin"),
        ("SELECT (s).to_json FROM pg_subscription s", "read,admin"),
        ("SELECT (s).subconninfo FROM (TABLE pg_subscription) s", "read,call,admin"),
        ("SELECT s.f FROM pg_subscription s(a,b,c,d,e,f)", "read,admin"),
        ("SELECT e FROM pg_subscription AS s(a,b,c,d,e,f,g)", "read,admin"),
        ("SELECT j FROM (pg_subscription s JOIN t ON true) j", "read,admin"),
        ("SELECT to_json(j) FROM (pg_subscription s CROSS JOIN t) AS j", "read,admin"),
        ("SELECT 1 FROM pg_subscription WHERE subconninfo LIKE '%a%'", "read,admin"),
        ("COPY pg_subscription TO STDOUT", "read,copy-out,admin"),
        ("COPY pg_subscription (subconninfo) TO STDOUT", "read,copy-out,admin"),
        ("COPY (SELECT subconninfo FROM pg_subscription) TO STDOUT", "read,copy-out,admin"),
        ("DECLARE c CURSOR FOR TABLE pg_subscription", "session,read,admin"),
        ("SELECT count(*) FROM pg_subscription WHERE subdbid = 1", "read ~"),
        ("SELECT s.tableoid, s.oid, s.subname, subowner, subslotname FROM pg_subscription s", "read ~"),
        ("COPY (SELECT subname FROM pg_subscription) TO STDOUT", "read,copy-out"),
        ("SELECT * FROM information_schema.user_mapping_options", "read,admin"),
        ("SELECT option_value FROM user_mapping_options", "read,admin"),
        ("SELECT * FROM information_schema._pg_user_mappings", "read,admin"),
        ("SELECT * FROM app.user_mapping_options", "read ~"),
    ]);
}

#[test]
fn catalogs_are_seen_behind_many_tables() {
    let many: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let sql =
        format!("WITH x AS (UPDATE pg_proc SET prosrc = 'y' WHERE oid = 1) SELECT FROM {}", many.join(","));
    assert_eq!(short(&sql), "read,write,admin");
    assert_eq!(short("COPY pg_catalog.pg_proc FROM STDIN"), "write,copy-in,admin");
}

#[test]
fn conditions_that_restrict_nothing() {
    table(&[
        ("UPDATE t SET a = 1 WHERE (SELECT true)", "read,write !update-without-where"),
        ("DELETE FROM t WHERE EXISTS (SELECT 1)", "read,write !delete-without-where"),
        ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM b WHERE b.id = t.id)", "read,write"),
        (
            "MERGE INTO t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
            "read,write !update-without-where",
        ),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "read,write"),
    ]);
}

#[test]
fn writes() {
    table(&[
        ("INSERT INTO t VALUES (1, 2)", "write"),
        ("INSERT INTO t DEFAULT VALUES", "write"),
        ("INSERT INTO t VALUES (1) RETURNING a", "read,write"),
        ("INSERT INTO t SELECT * FROM u", "read,write"),
        ("INSERT INTO t VALUES ((SELECT secret FROM u))", "read,write"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = f(1)", "write,call"),
        ("UPDATE t SET a = 1 WHERE b = 2", "write"),
        ("UPDATE t SET a = 1", "write !update-without-where"),
        ("UPDATE t SET a = 1 WHERE true", "write !update-without-where"),
        ("UPDATE t SET a = 1 WHERE 1 = 1", "write !update-without-where"),
        ("UPDATE t SET a = u.a FROM u WHERE t.b = u.b", "read,write"),
        ("DELETE FROM t WHERE a = 1", "write"),
        ("DELETE FROM t", "write !delete-without-where"),
        ("DELETE FROM t WHERE CURRENT OF c", "write"),
        ("DELETE FROM t USING u WHERE t.a = u.a RETURNING *", "read,write"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "read,write"),
        ("UPDATE pg_class SET relname = 'x' WHERE oid = 1", "write,admin"),
        ("INSERT INTO pg_catalog.pg_proc SELECT 1", "read,write,admin"),
        ("REFRESH MATERIALIZED VIEW v", "write"),
        ("LOCK TABLE t IN ACCESS SHARE MODE", "read"),
        ("LOCK TABLE t", "read,write"),
        ("PREPARE TRANSACTION 'x'", "session,write"),
        ("COPY t TO STDOUT", "read,copy-out"),
        ("COPY (SELECT f() FROM t) TO STDOUT", "read,copy-out,call"),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "read,write,copy-out !delete-without-where"),
        ("COPY t FROM STDIN", "write,copy-in"),
        ("COPY t FROM STDIN WHERE f(a)", "write,copy-in,call"),
        ("COPY t TO '/tmp/x'", "admin"),
        ("COPY t FROM PROGRAM 'id'", "admin"),
        ("COPY t TO PROGRAM 'id'", "admin"),
        ("COPY pg_authid TO STDOUT", "read,copy-out,admin"),
    ]);
}

#[test]
fn session_and_settings() {
    table(&[
        ("BEGIN", "session ~"),
        ("ROLLBACK", "session ~"),
        ("COMMIT", "session"),
        ("SET statement_timeout = 0", "session"),
        ("SET LOCAL search_path = public", "session"),
        ("SET search_path = evil, pg_catalog", "session,call"),
        ("SELECT pg_catalog.set_config('search_path', '', false)", "session,read"),
        ("SELECT set_config('role', 'postgres', false)", "read,admin"),
        ("SELECT set_config('ro' || 'le', 'postgres', false)", "read,admin"),
        ("SELECT set_config(a, b, false) FROM t", "read,admin"),
        ("SET ROLE postgres", "session,admin"),
        ("SET SESSION AUTHORIZATION postgres", "session,admin"),
        ("RESET ROLE", "session,admin"),
        ("SET standard_conforming_strings = off", "session,admin"),
        ("SET standard_conforming_strings = 1", "session,admin"),
        ("SET NAMES 'SJIS'", "session,admin"),
        ("SET NAMES 'UTF8'", "session"),
        ("SET client_encoding TO 'UTF8'", "session"),
        ("LISTEN x", "session"),
        ("NOTIFY x, 'y'", "session"),
        ("DISCARD ALL", "session"),
        ("DECLARE c CURSOR FOR SELECT * FROM t", "session,read"),
        ("DECLARE c CURSOR FOR SELECT f()", "session,read,call"),
        ("FETCH 10 FROM c", "read"),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "session"),
        ("RESET ALL", "session"),
        ("SET application_name = 'PostgreSQL JDBC Driver'", "session"),
        ("RESET application_name", "session"),
        ("SET application_name TO DEFAULT", "session"),
        ("SET application_name = 'daypass:S-1'", "session,admin"),
        ("SELECT set_config('application_name', 'daypass:S-1', false)", "read,admin"),
    ]);
}

#[test]
fn shape_and_administration() {
    table(&[
        ("CREATE TABLE t (a int DEFAULT 1, b timestamptz DEFAULT now())", "ddl"),
        ("CREATE TABLE t (a int DEFAULT f())", "ddl,call"),
        ("CREATE TABLE t AS SELECT * FROM u", "read,write,ddl"),
        ("CREATE VIEW v AS SELECT nextval('s')", "read,write,ddl"),
        ("CREATE INDEX CONCURRENTLY i ON t (lower(a)) WHERE b > 1", "ddl"),
        ("CREATE INDEX i ON t (f(a))", "ddl,call"),
        ("ALTER TABLE t ADD COLUMN a int, DROP COLUMN b", "ddl !drop"),
        ("ALTER TABLE t ALTER a TYPE int USING 0", "write,ddl"),
        ("ALTER TABLE t OWNER TO x", "ddl,admin"),
        ("ALTER TABLE t DISABLE ROW LEVEL SECURITY", "ddl,admin"),
        ("ALTER TABLE t RENAME TO u", "ddl"),
        ("ALTER ROLE x RENAME TO y", "ddl,admin"),
        ("DROP TABLE t", "ddl !drop"),
        ("DROP POLICY p ON t", "ddl,admin !drop"),
        ("TRUNCATE t", "write,ddl !truncate"),
        ("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "ddl,call"),
        ("COMMENT ON TABLE t IS 'x'", "ddl"),
        ("VACUUM t", "ddl"),
        ("CREATE TABLE p PARTITION OF t FOR VALUES FROM (1) TO (2)", "ddl"),
        ("CREATE TYPE mood AS ENUM ('a')", "ddl"),
        ("CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO x", "ddl,admin !grant"),
        ("CALL p()", "call"),
        ("DO $$ BEGIN END $$", "admin"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "admin"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", "admin"),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u", "write,admin !delete-without-where"),
        ("CREATE OPERATOR + (FUNCTION = f, LEFTARG = int, RIGHTARG = int)", "admin"),
        ("CREATE CAST (int AS text) WITH FUNCTION f(int)", "admin"),
        ("CREATE ROLE x PASSWORD 'y'", "admin !grant"),
        ("GRANT SELECT ON t TO x", "admin !grant"),
        ("REVOKE a FROM b", "admin !grant"),
        ("ALTER SYSTEM SET fsync = off", "session,admin"),
        ("CREATE EXTENSION x", "admin"),
        ("DROP DATABASE x", "admin !drop"),
        ("SELECT * FROM pg_authid", "read,admin"),
        ("SELECT * FROM pg_catalog.pg_shadow", "read,admin"),
        ("SELECT pg_read_file('/etc/passwd')", "read,admin"),
        ("SELECT * FROM dblink('x', 'y') AS t(a int)", "read,admin"),
        ("SELECT pg_terminate_backend(1)", "read,admin"),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", "read,admin"),
        ("SELECT lo_export(1, 'x')", "read,admin"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "admin"),
        ("SELEC 1", "admin"),
        ("START_REPLICATION SLOT x LOGICAL 0/0", "admin"),
    ]);
}

#[test]
fn executing_needs_what_was_prepared() {
    table(&[
        ("PREPARE a AS SELECT 1", "session,read"),
        ("PREPARE a AS DELETE FROM t", "session,write !delete-without-where"),
        ("EXECUTE a", "session,admin"),
        ("PREPARE a AS SELECT 1; EXECUTE a", "session,read"),
        ("CREATE TABLE t AS EXECUTE a", "session,write,ddl,admin"),
    ]);
    let known = of("SELECT 1").action;
    let action = of("EXECUTE a(1, f())").resolve(|name| (name == "a").then_some(known));
    let expected: ClassSet = [Class::Session, Class::Read, Class::Call].into_iter().collect();
    assert_eq!(action.classes, expected);
    // The name may be taken: then the old one runs.
    let delete = of("DELETE FROM t").action;
    let action = of("PREPARE a AS SELECT 1; EXECUTE a").resolve(|_| Some(delete));
    assert!(action.classes.contains(Class::Write) && !action.pure_read);
    let plans = of("DEALLOCATE a; DEALLOCATE ALL").plans;
    assert_eq!(*plans, [Plan::Deallocate { name: "a".into() }, Plan::DeallocateAll]);
}

#[test]
fn what_is_shown_to_people() {
    let classified = of("WITH x AS (SELECT 1) UPDATE app.orders SET a = 1 FROM x, items; DROP TABLE z");
    assert_eq!(*classified.verbs, ["UPDATE", "DROP"]);
    assert_eq!(*classified.tables, ["app.orders", "items"]);
    assert!(of("ALTER ROLE x PASSWORD 'y'").secret);
    assert!(!of("SELECT 1").secret);
}

#[test]
fn what_cannot_be_read_is_not_understood() {
    let trouble = |text: &[u8], dialect| {
        let classified = classify(text, dialect);
        assert_eq!(classified.action, NOT_UNDERSTOOD);
        classified.trouble.unwrap()
    };
    let plain = Dialect::default();
    assert_eq!(trouble(b"SELECT '\xff'", plain), Trouble::Encoding);
    assert_eq!(trouble(b"SELECT \0", plain), Trouble::Syntax);
    let long = format!("SELECT '{}'", "a".repeat(TEXT_LEN_MAX));
    assert_eq!(trouble(long.as_bytes(), plain), Trouble::Long);
    let mut hidden = plain;
    hidden.announced(b"client_encoding", b"BIG5");
    assert_eq!(trouble("SELECT 'é'".as_bytes(), hidden), Trouble::Encoding);
}

#[test]
fn backslashes_are_read_as_the_session_reads_them() {
    let sql = br"SELECT '\'; DELETE FROM t; --'";
    assert!(classify(sql, Dialect::default()).action.classes.contains(Class::Write));
    let mut backslash = Dialect::default();
    backslash.announced(b"standard_conforming_strings", b"off");
    assert!(!classify(sql, backslash).action.classes.contains(Class::Write));
}

/// The stack of a test thread is 2 MiB: deep and long texts end, one way or the other.
#[test]
fn deep_texts_are_survived() {
    let n = 100_000;
    for sql in [
        format!("SELECT {}1", "1 + ".repeat(n)),
        format!("SELECT {}", "(".repeat(n)),
        format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("SELECT 1 WHERE {}true", "NOT ".repeat(n)),
        format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
        format!("{}SELECT 1", "SELECT 1 UNION ALL ".repeat(n / 2)),
        format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
        format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(n / 2), ") x".repeat(n / 2)),
        format!("SELECT {}", "-".repeat(2)) + &"- ".repeat(n) + "1",
        format!("SELECT a FROM t {}", "JOIN t USING (a) ".repeat(n / 2)),
    ] {
        let classified = of(&sql);
        assert!(!classified.action.classes.contains(Class::Write));
        if classified.trouble.is_some() {
            assert_eq!(classified.action, NOT_UNDERSTOOD);
        }
    }
    let flat = format!("SELECT 1 WHERE {}true", "a = 1 OR ".repeat(n / 2));
    assert_eq!(of(&flat).trouble, None, "a flat chain is no deep tree");
}

#[test]
fn remembered_texts_are_the_same() {
    let mut classifier = Classifier::new();
    let first = classifier.classify(b"SELECT a FROM t WHERE b = 1");
    let second = classifier.classify(b"SELECT a FROM t WHERE b = 22");
    assert!(Arc::ptr_eq(&first, &second), "one key for both");
    let third = classifier.classify(b"SELECT a FROM t WHERE b = '1'");
    assert!(!Arc::ptr_eq(&first, &third));
    assert!(Arc::ptr_eq(&third, &classifier.classify(b"SELECT a FROM t WHERE b = 'it''s'")));
    // A secret in one string is no secret in another.
    assert!(!classifier.classify(b"UPDATE t SET a = 'x' WHERE b = 'y'").secret);
    assert!(classifier.classify(b"UPDATE t SET a = 'p://u:v@w' WHERE b = 'y'").secret);
    assert!(!classifier.classify(b"UPDATE t SET a = 'x' WHERE b = 'y'").secret);
    // What looks at a string stands for itself.
    assert!(
        !classifier.classify(b"SELECT set_config('a.b', 'x', false)").action.classes.contains(Class::Admin)
    );
    assert!(
        classifier.classify(b"SELECT set_config('role', 'x', false)").action.classes.contains(Class::Admin)
    );
    assert!(!classifier.classify(b"SET client_encoding = 'UTF8'").action.classes.contains(Class::Admin));
    assert!(classifier.classify(b"SET client_encoding = 'SJIS'").action.classes.contains(Class::Admin));
    // A text that does not parse because of its number says nothing of others.
    assert!(classifier.classify(b"SELECT CAST(1 AS float(0))").trouble.is_some());
    assert!(classifier.classify(b"SELECT CAST(1 AS float(1))").trouble.is_none());
    // A zero byte cannot be mistaken for the mark.
    assert!(classifier.classify(b"SELECT a FROM t WHERE b = \0").trouble.is_some());
    for n in 0..10_000 {
        classifier.classify(format!("SELECT 1 AS \"c{n}\"").as_bytes());
    }
    assert!(classifier.young.texts.len() <= GENERATION_MAX && classifier.old.texts.len() <= GENERATION_MAX);
}

/// Texts with holes for numbers.
const SHAPES: &[&str] = &[
    "SELECT a FROM t WHERE b = # AND c < #",
    "SELECT a FROM t ORDER BY # LIMIT # OFFSET #",
    "UPDATE t SET a = # WHERE #=#",
    "DELETE FROM t WHERE a IN (#, #, #)",
    "EXPLAIN (ANALYZE #) DELETE FROM t",
    "SET standard_conforming_strings = #",
    "SET statement_timeout = #",
    "SET client_encoding = #",
    "SET search_path = #",
    "SELECT setval(#, #)",
    "SELECT set_config(#, #, true)",
    "SELECT pg_sleep(#)",
    "FETCH # FROM c",
    "SELECT f(#), lower(#)",
    "INSERT INTO t VALUES (#), (#)",
    "SELECT a[#:#] FROM t TABLESAMPLE system (#)",
    "SELECT -#, +#, #+#, #::int, # - -#",
    "LOCK TABLE t; SELECT #",
    "COPY (SELECT #) TO STDOUT",
    "EXECUTE a(#)",
    "SELECT x#, t#.y FROM t# WHERE a.# = #.",
    "VACUUM (PARALLEL #) t",
    "ALTER SEQUENCE s RESTART WITH #",
    "SELECT #a#",
];

/// Texts with holes inside of strings.
const STRINGS: &[&str] = &[
    "SELECT a FROM t WHERE b = '#' AND c LIKE '#%'",
    "SELECT set_config('#', '#', false)",
    "SELECT 1 WHERE set_config('#', 'x', true) = '#'",
    "SET client_encoding = '#'",
    "SET search_path = '#', pg_catalog",
    "SET standard_conforming_strings = '#'",
    "UPDATE u SET password = '#' WHERE name = '#'",
    "ALTER ROLE x PASSWORD '#'",
    "COPY t TO '#'",
    "COPY t TO STDOUT (DELIMITER '#')",
    "EXPLAIN (FORMAT '#') DELETE FROM t",
    "INSERT INTO t VALUES ('#', '#'); SELECT '#'",
    "PREPARE a AS SELECT set_config('#', '#', false); EXECUTE a('#')",
    "SELECT '#'::regclass, CAST('#' AS text), interval '#'",
    "SELECT f('#'), E'#', U&'#', '#'\n'#'",
    "DELETE FROM t WHERE '#' = '#'",
    "DO '#'",
];

proptest! {
    /// The shortcut for numbers is sound: the classification of a text is that of the text it shares its key with.
    #[test]
    fn changing_numbers_never_changes_the_class(
        shape in 0..SHAPES.len(),
        a in "0|1|[0-9]{1,12}",
        b in "0|1|[0-9]{1,12}",
    ) {
        let text = |n: &str| SHAPES[shape].replace('#', n);
        let (one, two) = (text(&a), text(&b));
        let mut classifier = Classifier::new();
        classifier.classify(one.as_bytes());
        let remembered = classifier.classify(two.as_bytes());
        let fresh = of(&two);
        if fresh.trouble.is_none() {
            prop_assert_eq!(&*remembered, &fresh, "{} after {}", two, one);
        }
    }

    /// The same for strings: what one text leaves behind never decides about another.
    #[test]
    fn changing_strings_never_changes_the_class(
        shape in 0..STRINGS.len(),
        values in proptest::collection::vec("role|search_path|a.b|on|off|UTF8|SJIS|p://a:b@c|password=x|[a-zA-Z0-9 ';$-]{0,9}", 2..5),
    ) {
        let mut classifier = Classifier::new();
        for value in &values {
            let text = STRINGS[shape].replace('#', &value.replace('\'', "''"));
            prop_assert_eq!(&*classifier.classify(text.as_bytes()), &of(&text), "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_classified(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let classified = classify(&text, Dialect::default());
        prop_assert!(!classified.action.classes.is_empty());
        prop_assert!(classified.trouble.is_none() || classified.action == NOT_UNDERSTOOD);
    }

    /// A pure read never holds what acts, however deep it is put.
    #[test]
    fn an_act_shows_through_everything_around_it(layers in proptest::collection::vec(0..8_usize, 0..6), act in 0..6_usize) {
        let acts = ["nextval('s')", "f(1)", "public.now()", "lo_creat(1)", "(SELECT a FROM t FOR UPDATE)", "1 OPERATOR(x.+) 1"];
        let mut expression = acts[act].to_owned();
        for layer in layers {
            expression = match layer {
                0 => format!("lower({expression})"),
                1 => format!("(SELECT {expression})"),
                2 => format!("CASE WHEN true THEN {expression} END"),
                3 => format!("ARRAY[{expression}]"),
                4 => format!("(WITH x AS (SELECT {expression}) TABLE x)"),
                5 => format!("COALESCE({expression}, NULL)"),
                6 => format!("(SELECT a FROM t ORDER BY {expression} LIMIT 1)"),
                _ => format!("(SELECT count(*) FROM t WHERE {expression} IS NULL)"),
            };
        }
        let classified = of(&format!("SELECT {expression}"));
        prop_assert_eq!(classified.trouble, None);
        prop_assert!(!classified.action.pure_read, "{}", expression);
        prop_assert!(classified.action.classes.contains(Class::Call) || classified.action.classes.contains(Class::Write));
    }
}

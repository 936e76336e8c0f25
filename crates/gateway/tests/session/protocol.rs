//! The corners of the protocol, against the real server: each as it would be without a gateway in between.

use daypass_pg::startup::{CancelKey, Version};
use daypass_pg::write;

use crate::house::{House, until};
use crate::wire::{Wire, cancel};

async fn both<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(task).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_errors_portals_and_prepared_statements() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let house = both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.send(|o| {
            write::parse(o, b"one", b"SELECT $1::int", &[]);
            write::bind(o, b"", b"one", &[Some(b"7")]);
            write::execute(o, b"", 0);
            write::parse(o, b"", b"SELECT 1/0", &[]);
            write::bind(o, b"", b"", &[]);
            write::execute(o, b"", 0);
            write::parse(o, b"two", b"SELECT 2", &[]);
            write::sync(o);
            write::bind(o, b"", b"one", &[Some(b"8")]);
            write::describe(o, b'P', b"");
            write::execute(o, b"", 0);
            write::bind(o, b"", b"two", &[]);
            write::sync(o);
        });
        // 1/0 is folded when the portal is planned, so the Bind fails.
        assert_eq!(wire.until('Z') + &wire.until('Z'), "12DC1EZ2TDCEZ");
        assert_eq!(wire.errors()[0].0, "22012");
        assert_eq!(wire.errors()[1].0, "26000", "`two` was skipped");
        // A named portal in parts, inside of a transaction.
        assert_eq!(wire.query("BEGIN"), "CZ");
        wire.send(|o| {
            write::parse(o, b"", b"SELECT generate_series(1, 5)", &[]);
            write::bind(o, b"p", b"", &[]);
            write::execute(o, b"p", 2);
            write::execute(o, b"p", 2);
            write::execute(o, b"p", 2);
            write::close(o, b'P', b"p");
            write::sync(o);
        });
        assert_eq!(wire.until('Z'), "12DDsDDsDC3Z");
        assert_eq!(wire.query("COMMIT"), "CZ");
        // SQL's own PREPARE and EXECUTE, several statements in one string, an empty one, a cursor.
        assert_eq!(wire.query("PREPARE a AS SELECT 1; EXECUTE a"), "CTDCZ");
        assert_eq!(wire.query("EXECUTE a; SELECT 2;"), "TDCTDCZ");
        assert_eq!(wire.query(""), "IZ");
        assert_eq!(wire.query("SELECT 1; SELECT x FROM nowhere; SELECT 3"), "TDCEZ");
        assert_eq!(
            wire.query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1,9); FETCH 2 FROM c; COMMIT"),
            "CCTDDCCZ"
        );
        wire.send(write::terminate);
        assert_eq!(wire.read_to_the_end(), "");
        house
    })
    .await;
    until("it is closed", || house.log_of("session-closed").len() == 1);
    let log = house.log();
    assert!(log.contains(&"intent 2 SELECT params=[\"7\"] text=SELECT $1::int".to_owned()), "{log:#?}");
    assert!(log.contains(&"outcome 4 error  0 22012".to_owned()), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_listen_and_function_calls() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let house = both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.query("CREATE TABLE t (a int, b text)");
        wire.send(|o| write::query(o, b"COPY t FROM STDIN"));
        wire.until('G');
        wire.send(|o| {
            write::copy_data(o, b"1\tone\n2\t");
            write::copy_data(o, b"two\n");
            write::copy_done(o);
        });
        assert_eq!(wire.until('Z'), "CZ");
        assert_eq!(wire.query("COPY t TO STDOUT"), "HddcCZ");
        // Through the extended protocol, with the Sync ahead, and one that fails.
        wire.send(|o| {
            write::parse(o, b"", b"COPY t FROM STDIN", &[]);
            write::bind(o, b"", b"", &[]);
            write::execute(o, b"", 0);
            write::sync(o);
        });
        assert_eq!(wire.until('G'), "12G");
        wire.send(|o| {
            write::copy_data(o, b"x\tno number\n");
            write::copy_done(o);
            write::sync(o);
        });
        assert_eq!(wire.until('Z'), "EZ");
        wire.send(|o| write::query(o, b"COPY t FROM STDIN"));
        wire.until('G');
        wire.send(|o| write::copy_fail(o, b"never mind"));
        assert_eq!(wire.until('Z'), "EZ");
        assert_eq!(wire.query("SELECT count(*) FROM t"), "TDCZ");
        // A notification of another session arrives while nothing is asked.
        assert_eq!(wire.query("LISTEN news"), "CZ");
        house.direct("NOTIFY news, 'hello'");
        assert_eq!(wire.until('A'), "A");
        // The function-call message: int4abs.
        wire.send(|o| {
            write::frame(o, b'F', |b| {
                use bytes::BufMut;
                b.put_u32(1397);
                b.put_u16(0);
                b.put_u16(1);
                b.put_u32(2);
                b.put_slice(b"-7");
                b.put_u16(0);
            });
        });
        assert_eq!(wire.until('Z'), "VZ");
        assert_eq!(wire.seen.iter().find(|m| m.tag == 'V').unwrap().body[4..], *b"7");
        house
    })
    .await;
    let outcomes = house.log_of("outcome");
    assert!(outcomes.contains(&"outcome 2 ok COPY 2 2".to_owned()), "{outcomes:#?}");
    assert!(
        house.log().contains(&"intent 9 function call params=[\"-7\"] text=function call 1397".to_owned()),
        "{:#?}",
        house.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_reaches_what_runs_with_short_and_long_secrets() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let house = both(move || {
        for (version, secret_len) in [(Version::V3_0, 4), (Version::V3_2, 32), (Version { major: 3, minor: 9 }, 32)] {
            let mut wire = Wire::connect(&house, version == Version::V3_2);
            wire.start(&pass, version);
            wire.until('Z');
            let key = wire.key.clone().unwrap();
            assert_eq!(key.secret.len(), secret_len);
            wire.send(|o| write::query(o, b"SELECT pg_sleep(60)"));
            until("it runs", || house.direct("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND datname = current_database()") == "1");
            cancel(&house, &CancelKey { process: key.process, secret: vec![0; secret_len] });
            cancel(&house, &key);
            wire.until('Z');
            assert_eq!(wire.errors()[0].0, "57014");
            assert_eq!(wire.query("SELECT 1"), "TDCZ");
        }
        house
    })
    .await;
    let cancels = house.log_of("cancel");
    assert_eq!(cancels.iter().filter(|line| *line == "cancel true origin=127.0.0.1").count(), 3);
    assert_eq!(cancels.iter().filter(|line| *line == "cancel false of=unknown origin=127.0.0.1").count(), 3);
    assert_eq!(house.log_of("outcome")[0], "outcome 1 cancelled  0 57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_never_reaches_the_target_in_any_form() {
    let house = House::new().await;
    house.direct("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let pass = house.pass("reader").await;
    let house = both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.send(|o| {
            write::parse(o, b"w", b"UPDATE t SET a = 2 WHERE a = 1", &[]);
            write::bind(o, b"", b"w", &[]);
            write::execute(o, b"", 0);
            write::sync(o);
        });
        assert_eq!(wire.until('Z'), "EZ");
        assert_eq!(wire.query("SELECT 1; UPDATE t SET a = 2 WHERE a = 1"), "EZ");
        assert_eq!(wire.query("PREPARE w AS UPDATE t SET a = 2 WHERE a = 1"), "EZ");
        assert_eq!(wire.query("EXECUTE w"), "EZ");
        assert_eq!(wire.query("WITH x AS (DELETE FROM t WHERE a = 1 RETURNING a) SELECT * FROM x"), "EZ");
        assert_eq!(wire.query("COPY t TO STDOUT"), "EZ");
        assert_eq!(wire.query("SELECT lo_creat(-1)"), "EZ");
        assert_eq!(wire.query("this is no sql"), "EZ");
        // In a transaction the target's own rules for errors hold.
        assert_eq!(wire.query("BEGIN"), "CZ");
        assert_eq!(wire.query("DROP TABLE t"), "EZ");
        assert_eq!(wire.query("SELECT 1"), "EZ");
        assert_eq!(wire.errors().last().unwrap().0, "25P02");
        assert_eq!(wire.query("ROLLBACK"), "CZ");
        assert_eq!(wire.query("SELECT a FROM t"), "TDCZ");
        let denied = wire.errors().iter().filter(|(code, _)| code == "42501").count();
        assert_eq!(denied, 8, "{:#?}", wire.errors());
        house
    })
    .await;
    assert_eq!(house.direct("SELECT a FROM t"), "1");
}

//! What everybody does: connect, ask, be refused, go on.

use crate::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn psql_works_and_everything_is_recorded() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let said =
        house.psql(&pass, &["SELECT 6 * 7", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (2)"]).await;
    assert!(said.ok, "{said:?}");
    assert_eq!(said.out, "42\nCREATE TABLE\nINSERT 0 2");
    assert_eq!(house.direct("SELECT count(*) FROM t"), "2");
    assert_eq!(
        house.log(),
        [
            "session-opened bob postgres/3.0 client=psql origin=127.0.0.1",
            "target-reached true",
            "intent 1 SELECT text=SELECT 6 * 7",
            "outcome 1 ok SELECT 1 1",
            "intent 2 CREATE TABLE text=CREATE TABLE t (a int)",
            "outcome 2 ok CREATE TABLE 0",
            "intent 3 INSERT text=INSERT INTO t VALUES (1), (2)",
            "outcome 3 ok INSERT 0 2 2",
            "session-closed client 3",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pass_and_an_unknown_resource_get_the_same_answer_and_are_recorded() {
    let house = House::new().await;
    let said = house.psql("dp_wrong", &["SELECT 1"]).await;
    assert!(!said.ok && said.err.contains("no access: the pass is wrong"), "{said:?}");
    let mut command = house.psql_command_as("bob@example.com", "dp_wrong");
    command.args(["-c", "SELECT 1"]);
    let stranger = crate::house::said(command).await;
    assert_eq!((stranger.ok, stranger.err), (false, said.err));
    assert_eq!(
        house.log(),
        [
            "refused orders unknown-pass of=unknown origin=127.0.0.1",
            "refused - unknown-pass of=unknown asked=bob@example.com origin=127.0.0.1",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_shows_where_somebody_is_or_what_they_call_themselves() {
    let house = House::new().await;
    let pass = house.pass("reader").await;
    let said = house.psql(&pass, &["SELECT 1", "DROP TABLE t"]).await;
    assert!(said.out == "1" && said.err.contains("denied"), "{said:?}");
    house.psql("dp_wrong", &["SELECT 1"]).await;
    house.log();
    for stored in house.journal.read(0, usize::MAX).unwrap() {
        let leaf = String::from_utf8(stored.leaf).unwrap();
        // The one address is our own, as the target sees it.
        assert!(!leaf.contains("127.0.0.1") || leaf.contains("\"kind\":\"target-reached\""), "{leaf}");
        assert!(!leaf.contains("psql"), "{leaf}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_statement_says_what_and_the_session_goes_on() {
    let house = House::new().await;
    house.direct("CREATE TABLE t (a int)");
    let pass = house.pass("reader").await;
    let said = house.psql(&pass, &["INSERT INTO t VALUES (1)", "SELECT 7"]).await;
    assert_eq!(said.out, "7");
    assert!(said.err.contains("denied: `write` is not granted to you on `orders`"), "{said:?}");
    assert!(said.err.contains("daypass request orders"), "{said:?}");
    assert_eq!(house.direct("SELECT count(*) FROM t"), "0");
    assert_eq!(house.log_of("denied"), ["denied 1 INSERT not-granted text=INSERT INTO t VALUES (1)"]);
}

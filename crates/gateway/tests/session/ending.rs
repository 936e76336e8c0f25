//! How sessions end, and what they cannot do while they live: deadlines, revocation, kills, limits, failures.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use daypass_access::command::Ask;
use daypass_access::id::SessionId;
use daypass_access::pipeline::Gating;
use daypass_gateway::{Limits, LiveKind, SessionState};
use daypass_pg::startup::Version;
use daypass_pg::write;

use crate::house::{House, Settings, certificate, until};
use crate::wire::{Wire, cancel};

const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND datname = current_database()";

async fn both<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(task).await.unwrap()
}

/// A session that runs a long query.
async fn sleeping(house: House, pass: String) -> (House, Wire) {
    both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.query("BEGIN; CREATE TABLE IF NOT EXISTS never (a int)");
        wire.send(|o| write::query(o, b"SELECT pg_sleep(600)"));
        until("it runs", || house.direct(RUNNING) == "1");
        (house, wire)
    })
    .await
}

/// Reads to the end and checks that it came in time, with a reason, and that nothing is left behind at the target.
async fn ends(house: House, mut wire: Wire, began: Instant, reason: &'static str) -> House {
    both(move || {
        assert_eq!(wire.read_to_the_end(), "E");
        let took = began.elapsed();
        assert!(took < Duration::from_millis(1500), "{took:?} on a busy machine");
        let (code, message) = wire.errors().pop().unwrap();
        assert_eq!(code, "57P01");
        assert!(message.contains(reason), "{message}");
        until("the target stopped", || house.direct(RUNNING) == "0");
        until("it is rolled back", || {
            house.direct("SELECT count(*) FROM pg_tables WHERE tablename = 'never'") == "0"
        });
        house
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_a_running_query_is_cut_when_the_grant_ends() {
    let house = House::new().await;
    let (_, pass) = house.grant("all", 600).await;
    let (house, wire) = sleeping(house, pass).await;
    house.ahead.store(600_000_000, Ordering::Relaxed);
    // The clock jumped; it is looked at every few seconds, so a sweep of the control log tells at once.
    house.controller.submit(daypass_access::command::Command::by_system(Ask::Sweep)).await.unwrap();
    let house = ends(house, wire, Instant::now(), "your access has ended").await;
    until("recorded", || house.log_of("session-closed") == ["session-closed grant-ended 2"]);
    assert_eq!(house.log_of("outcome").last().unwrap(), "outcome 2 cut  0");
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_a_deadline_is_kept_by_the_session_itself() {
    let house = House::new().await;
    let (grant, pass) = house.grant("all", 600).await;
    // Make the grant end three seconds from now, by the clock alone.
    let ends_at = house.controller.state().grant(&grant).unwrap().opened.ends.0;
    let ahead = ends_at - crate::house::now() - 3_000_000;
    house.ahead.store(ahead, Ordering::Relaxed);
    let (house, wire) = sleeping(house, pass).await;
    let left = ends_at.saturating_sub(crate::house::now() + ahead);
    ends(house, wire, Instant::now() + Duration::from_micros(left), "your access has ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_revoking_and_killing_cut_a_running_query() {
    let house = House::new().await;
    let (grant, pass) = house.grant("all", 3600).await;
    let (house, wire) = sleeping(house, pass).await;
    let began = Instant::now();
    house.by_alice(Ask::Revoke { grant }).await;
    let house = ends(house, wire, began, "revoked").await;
    let (grant, pass) = house.grant("all", 3600).await;
    let (house, wire) = sleeping(house, pass).await;
    let view = house.gateway.sessions().pop().unwrap();
    assert_eq!((view.state, view.backend_pid > 0), (SessionState::Active, true));
    assert_eq!(&*view.current.unwrap().text, "SELECT pg_sleep(600)");
    let began = Instant::now();
    house.by_alice(kill(view.session, grant)).await;
    let house = ends(house, wire, began, "ended by somebody").await;
    until("recorded", || {
        house.log_of("session-closed") == ["session-closed revoked 2", "session-closed killed 2"]
    });
}

fn kill(session: SessionId, grant: daypass_access::id::GrantId) -> Ask {
    Ask::Kill {
        session,
        person: daypass_access::id::PersonId::new("bob"),
        resource: daypass_access::id::ResourceId::new("orders"),
        grant,
        reason: "a test".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_a_stuck_client_and_a_stuck_target_are_cut_in_time() {
    let house = House::new().await;
    let (grant, pass) = house.grant("all", 3600).await;
    // A client that never reads, and a result that fills every buffer on the way.
    let (house, stuck) = both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.send(|o| write::query(o, b"SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"));
        let shown = || house.gateway.sessions().first().map_or(0, |view| view.bytes_shown);
        let mut before = 0;
        until("nothing moves any more", || {
            let moved = std::mem::replace(&mut before, shown()) != before;
            std::thread::sleep(Duration::from_millis(100));
            before > 0 && !moved
        });
        (house, wire)
    })
    .await;
    let began = Instant::now();
    house.by_alice(Ask::Revoke { grant }).await;
    let house = both(move || {
        until("it is gone", || house.gateway.sessions().is_empty());
        assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
        house
    })
    .await;
    drop(stuck);
    // A target whose server process is stopped.
    let (grant, pass) = house.grant("all", 3600).await;
    let (house, wire) = sleeping(house, pass).await;
    let pid = house.gateway.sessions()[0].backend_pid.to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(signal("-STOP").success());
    let began = Instant::now();
    house.by_alice(Ask::Revoke { grant }).await;
    let mut wire = wire;
    let tags = both(move || wire.read_to_the_end()).await;
    let took = began.elapsed();
    signal("-CONT");
    assert_eq!(tags, "E");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_statement_waits_is_released_refused_or_cancelled() {
    let house = House::new().await;
    house.direct("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); ANALYZE t");
    let pass = house.pass("careful").await;
    let (house, mut wire) = both(move || {
        let wire = Wire::login(&house, &pass, Version::V3_0);
        (house, wire)
    })
    .await;
    let mut live = house.gateway.subscribe();
    for round in 0..3 {
        wire = both(move || {
            wire.send(|o| write::query(o, b"UPDATE t SET a = a + 1"));
            assert_eq!(wire.until('N'), "N");
            wire
        })
        .await;
        let waiting = |house: &House| {
            house
                .controller
                .state()
                .holds()
                .find(|h| h.recorded == daypass_access::state::HoldState::Waiting)
                .cloned()
        };
        until("the hold is open", || waiting(&house).is_some());
        assert_eq!(waiting(&house).unwrap().opened.rows_estimate, Some(2));
        let hold = waiting(&house).unwrap().opened.hold.clone();
        assert_eq!(house.gateway.sessions()[0].state, SessionState::Held);
        assert_eq!(house.direct("SELECT min(a) FROM t"), if round == 0 { "1" } else { "2" });
        match round {
            0 => drop(house.by_alice(Ask::ReleaseHold { hold, comment: "fine".into() }).await),
            1 => drop(house.by_alice(Ask::RefuseHold { hold, comment: "no".into() }).await),
            _ => cancel(&house, wire.key.as_ref().unwrap()),
        }
        wire = both(move || {
            assert_eq!(wire.until('Z'), if round == 0 { "CZ" } else { "EZ" });
            wire
        })
        .await;
    }
    assert_eq!(house.direct("SELECT min(a) FROM t"), "2");
    let errors = wire.errors();
    assert!(errors[0].0 == "42501" && errors[0].1.contains("refused by `alice`"), "{errors:?}");
    assert_eq!(errors[1].0, "57014");
    let held = live.recv().await.unwrap();
    assert_eq!((held.kind, &*held.text), (LiveKind::Held, "UPDATE t SET a = a + 1"));
    assert_eq!(house.log_of("held").len(), 3);
    assert!(house.log().contains(&"outcome 2 not-released  0".to_owned()), "{:#?}", house.log());
    until("the hold is dropped", || {
        !house.controller.state().holds().any(|h| h.recorded == daypass_access::state::HoldState::Waiting)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_has_its_query_cancelled_and_recorded() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let (house, wire) = sleeping(house, pass).await;
    wire.vanish();
    until("the target stopped", || house.direct(RUNNING) == "0");
    until("recorded", || house.log_of("session-closed") == ["session-closed client 2"]);
    assert_eq!(house.log_of("outcome").last().unwrap(), "outcome 2 cancelled  0 57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_sessions_and_of_idleness() {
    let limits = Limits { sessions: 1, idle: Duration::from_millis(1500), ..Limits::default() };
    let house = House::with(Settings { limits, ..Settings::default() }).await;
    let pass = house.pass("all").await;
    let (second, house, mut first) = both(move || {
        let first = Wire::login(&house, &pass, Version::V3_0);
        let mut second = Wire::connect(&house, false);
        second.start(&pass, Version::V3_0);
        second.read_to_the_end();
        (second, house, first)
    })
    .await;
    assert_eq!(second.errors()[0].0, "53300");
    let first = both(move || {
        first.read_to_the_end();
        first
    })
    .await;
    assert_eq!(first.errors()[0].0, "57P05");
    until("recorded", || house.log_of("session-closed") == ["session-closed idle 0"]);
    assert_eq!(house.log_of("refused"), ["refused orders session-limit origin=127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_the_next_and_sessions_stay() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let old = pass.clone();
    let (mut house, mut wire) = both(move || {
        let wire = Wire::login(&house, &old, Version::V3_0);
        (house, wire)
    })
    .await;
    let (ca_pem, chain, key) = certificate();
    house.gateway.reload_tls(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(house.gateway.reload_tls(b"", b"").is_err());
    house.ca_pem = ca_pem;
    both(move || {
        let mut next = Wire::login(&house, &pass, Version::V3_0);
        assert_eq!((next.query("SELECT 1"), wire.query("SELECT 1")), ("TDCZ".into(), "TDCZ".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i09_without_a_log_nothing_goes_on() {
    let house = House::with(Settings { gate: Gating::Always, ..Settings::default() }).await;
    let pass = house.pass("all").await;
    let (house, mut wire) = both(move || {
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        assert_eq!(wire.query("CREATE TABLE t (a int)"), "CZ");
        (house, wire)
    })
    .await;
    house.journal.clone().close();
    let pass = house.pass("all").await;
    both(move || {
        wire.send(|o| write::query(o, b"INSERT INTO t VALUES (1)"));
        assert_eq!(wire.read_to_the_end(), "E");
        assert_eq!(wire.errors()[0].0, "58030");
        assert_eq!(house.direct("SELECT count(*) FROM t"), "0");
        let mut next = Wire::connect(&house, false);
        next.start(&pass, Version::V3_0);
        assert_eq!(next.read_to_the_end(), "E");
        assert_eq!(next.errors()[0].0, "58030");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_refused_with_words_and_a_silent_client_delays_nobody() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let silent: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(house.gateway.local_addr()).unwrap()).collect();
    let mut plain = house.psql_command(&pass);
    plain
        .env("PGSSLMODE", "disable")
        .args(["-d", &format!("host=127.0.0.1 port={} user=orders dbname=x sslmode=disable", house.port())]);
    let said = crate::house::said(plain).await;
    assert!(said.err.contains("TLS") && said.err.contains("sslmode"), "{said:?}");
    assert_eq!(house.psql(&pass, &["SELECT 1"]).await.out, "1");
    drop(silent);
}

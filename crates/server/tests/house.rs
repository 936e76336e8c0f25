//! The real server on a free port, and people who use it over HTTP as the command line does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod house {
    pub(crate) mod people;
    pub(crate) mod server;
}

use daypass_api::requests::{GrantStatus, RequestStatus};
use daypass_server::clock;
use house::people::Visitor;
use house::server::House;
use serde_json::{Value, json};

/// Founding, inviting, enrolling, logging in, asking, approving, using and ending access.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_request() {
    let house = House::found().await;
    let mut alice = house.administrator().await;
    let mut bob = house.contractor(&alice, "bob").await;
    house.apply_policy(&alice).await;

    let resources = bob.get("/v1/resources").await;
    assert_eq!(resources["items"][0]["name"], "prod-orders");
    assert_eq!(resources["items"][0]["roles"][0]["steps"][0], "1 of leads");
    let filed = bob.post("/v1/requests", json!({"resource": "prod-orders", "reason": "fix order 17"})).await;
    let id = filed["id"].as_str().unwrap().to_owned();
    assert_eq!(filed["status"], json!(RequestStatus::Pending));
    assert_eq!(filed["can_approve"], false);

    let refused = bob.try_post(&format!("/v1/requests/{id}/approve"), json!({})).await.unwrap_err();
    assert!(["own-request", "not-allowed"].contains(&refused.code.as_str()), "{refused:?}");

    let seen = alice.get(&format!("/v1/requests/{id}")).await;
    assert_eq!(seen["reason"], "fix order 17");
    assert_eq!(seen["can_approve"], true);
    assert!(seen["could_break"][0].as_str().unwrap().contains("may change data"), "{seen}");

    let waiting = bob.clone();
    let path = format!("/v1/requests/{id}?wait_s=20");
    let wait = tokio::spawn(async move { waiting.get(&path).await });
    let approved = alice.post(&format!("/v1/requests/{id}/approve"), json!({"comment": "go on"})).await;
    assert_eq!(approved["status"], json!(RequestStatus::Approved));
    assert_eq!(wait.await.unwrap()["status"], json!(RequestStatus::Approved), "the long poll woke up");

    let grants = bob.get("/v1/grants").await;
    let grant = grants["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(grants["items"][0]["status"], json!(GrantStatus::Active));
    assert_eq!(grants["items"][0]["approvers"], json!(["alice"]));
    let pass = bob.post(&format!("/v1/grants/{grant}/passes"), json!({})).await;
    assert!(pass["token"].as_str().unwrap().starts_with("dp_"));
    assert!(pass["ca_pem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    alice.try_post(&format!("/v1/grants/{grant}/passes"), json!({})).await.unwrap_err();

    let holders = alice.get("/v1/access?resource=prod-orders").await;
    assert_eq!(holders["people"][0]["person"], "bob");
    let before = seen["filed_at"].as_u64().unwrap();
    let nobody = alice.get(&format!("/v1/access?resource=prod-orders&at={before}")).await;
    assert_eq!(nobody["people"], json!([]));

    let why = alice.get(&format!("/v1/why/{grant}")).await;
    let words: Vec<&str> =
        why["steps"].as_array().unwrap().iter().map(|s| s["words"].as_str().unwrap()).collect();
    assert!(words[0].starts_with("bob asked for orders-fix on prod-orders"), "{words:?}");
    assert!(words[1].starts_with("alice approved step 1 as leads"), "{words:?}");

    let done = bob.post(&format!("/v1/grants/{grant}/done"), json!({})).await;
    assert_eq!(done["status"], json!(GrantStatus::Returned));
    bob.try_post(&format!("/v1/grants/{grant}/passes"), json!({})).await.unwrap_err();
    bob.logout().await;
    alice.logout().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_person_password_and_code_get_one_answer_and_a_record_each() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let mut answers = Vec::new();
    for (person, password, totp) in [
        ("nobody", "correct horse battery", "000000"),
        ("alice", "wrong horse battery", "000000"),
        ("alice", "correct horse battery", "000000"),
    ] {
        let body = json!({"person": person, "password": password, "totp": totp});
        let refused = house.stranger().try_post("/v1/login", body).await.unwrap_err();
        assert_eq!(refused.status, 401);
        answers.push((refused.code, refused.message, refused.hint));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
    let found = alice.get("/v1/log/records?kind=login-refused").await;
    let because: Vec<&Value> =
        found["items"].as_array().unwrap().iter().map(|r| &r["body"]["because"]).collect();
    assert_eq!(because, [&json!("unknown"), &json!("password"), &json!("factor")]);
    for record in found["items"].as_array().unwrap() {
        assert_eq!(record["opened"]["origin"], "127.0.0.1", "{record}");
        assert!(!record["body"].to_string().contains("127.0.0.1"), "{record}");
        let whose = record["body"]["person"].as_str().unwrap_or("unknown");
        assert_eq!(record["body"]["sealed"]["subject"], whose, "{record}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_one_login() {
    let house = House::found().await;
    let mut alice = house.administrator().await;
    let code = alice.last_code.clone();
    let again = json!({"person": "alice", "password": alice.password, "totp": code});
    assert_eq!(house.stranger().try_post("/v1/login", again).await.unwrap_err().code, "login-refused");
    alice.logout().await;
    assert_eq!(alice.try_get("/v1/whoami").await.unwrap_err().status, 401);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_and_a_colleague_at_the_same_address_is_not() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let body = json!({"person": "alice", "password": "guess guess guess", "totp": "000000"});
        statuses.push(house.stranger().try_post("/v1/login", body).await.unwrap_err().status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2, "{statuses:?}");
    let refused = alice.get("/v1/log/records?kind=login-refused").await;
    let refused = refused["items"].as_array().unwrap();
    let throttled = refused.iter().filter(|record| record["body"]["because"] == "throttled");
    assert_eq!(throttled.count(), 1, "one record stands for those turned away in one wait");
    house.contractor(&alice, "bob").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_works_once_and_passwords_have_a_length() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let invitation = alice.post("/v1/people", house.contractor_body("bob")).await;
    let body = |password: &str| json!({"person": "bob", "code": invitation["code"], "password": password});
    let stranger = house.stranger();
    assert_eq!(stranger.try_post("/v1/enroll", body("short")).await.unwrap_err().status, 422);
    stranger.post("/v1/enroll", body("correct horse battery")).await;
    assert_eq!(stranger.try_post("/v1/enroll", body("another horse battery")).await.unwrap_err().status, 401);
    let other = json!({"person": "alice", "code": invitation["code"], "password": "correct horse battery"});
    assert_eq!(stranger.try_post("/v1/enroll", other).await.unwrap_err().status, 401);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contractor_reads_only_their_own_records_and_changes_nothing() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let bob = house.contractor(&alice, "bob").await;
    for path in [
        "/v1/log/records?person=alice",
        "/v1/policy",
        "/v1/secrets",
        "/v1/access?resource=x",
        "/v1/evidence/grants/G-1",
        "/log/control/checkpoint",
    ] {
        assert_eq!(bob.try_get(path).await.unwrap_err().status, 403, "{path}");
    }
    for (path, body) in [
        ("/v1/people", house.contractor_body("eve")),
        ("/v1/people/alice/suspend", json!({"reason": "x"})),
        ("/v1/policy/apply", json!({"files": {}})),
    ] {
        let refused = bob.try_post(path, body).await.unwrap_err();
        assert!([403, 404].contains(&refused.status), "{path}: {refused:?}");
    }
    let own = bob.get("/v1/log/records").await;
    assert!(
        own["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["body"]["person"] == "bob" || r["body"]["by"] == "bob")
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_recorded_and_following_does_not_see_itself() {
    let house = House::found().await;
    let alice = house.administrator().await;
    alice.get("/v1/log/records?kind=person-invited").await;
    let reads = alice.get("/v1/log/records?kind=log-read").await;
    assert_eq!(reads["items"][0]["body"]["what"], "search");
    assert!(reads["items"][0]["opened"]["query"].as_str().unwrap().contains("person-invited"));
    let first = alice.get("/v1/log/records?wait_s=0&limit=1000").await;
    let next = first["next"].as_str().unwrap();
    let quiet = alice.get(&format!("/v1/log/records?wait_s=1&after={next}")).await;
    assert_eq!(quiet["items"], json!([]));
    house.stop().await;
}

/// I15: what others wrote is read with a record, except by those it was written to.
#[tokio::test(flavor = "multi_thread")]
async fn i15_reasons_and_names_of_others_leave_a_record() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let bob = house.contractor(&alice, "bob").await;
    let ada = house.contractor(&alice, "ada").await;
    let auditors = "[teams.auditors]\nmembers = [\"ada\"]\n";
    house.apply_policy_with(&alice, auditors, "auditors = [\"auditors\"]\n").await;
    let filed = bob.post("/v1/requests", json!({"resource": "prod-orders", "reason": "fix order 17"})).await;
    let path = format!("/v1/requests/{}", filed["id"].as_str().unwrap());

    for reader in [&alice, &bob] {
        assert_eq!(reader.get(&path).await["reason"], "fix order 17");
        reader.get("/v1/requests").await;
    }
    bob.get("/v1/people").await;
    assert_eq!(reads(&alice).await, [] as [Value; 0], "alice decides it, bob wrote it");

    assert_eq!(ada.get(&path).await["reason"], "fix order 17");
    ada.get("/v1/requests").await;
    ada.get("/v1/people").await;
    ada.get("/v1/holds").await;
    let read = |what: &str, records: u64, about: Value| json!([what, "ada", records, about]);
    let expected = [
        read("requests", 1, json!("bob")),
        read("requests", 1, json!("bob")),
        read("people", 2, Value::Null),
    ];
    assert_eq!(reads(&alice).await, expected);
    house.stop().await;
}

/// What, by whom, how many, about whom: every reading that is not a search.
async fn reads(auditor: &Visitor) -> Vec<Value> {
    let found = auditor.get("/v1/log/records?kind=log-read").await;
    let bodies = found["items"].as_array().unwrap().iter().map(|record| &record["body"]);
    let bodies = bodies.filter(|body| body["what"] != "search");
    bodies.map(|body| json!([body["what"], body["by"], body["records"], body["about"]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i15_tiles_are_not_read_unrecorded_without_the_checkpoint() {
    let house = House::found().await;
    let alice = house.administrator().await;
    for _ in 0..2 {
        // Whether it is published already does not matter: who asks for it wants to read it.
        drop(alice.try_get("/log/control/tile/entries/000.p/1").await);
    }
    let whats: Vec<Value> = reads(&alice).await.iter().map(|read| read[0].clone()).collect();
    assert_eq!(whats, ["tiles"], "one record an hour");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_too_long_costs_as_much_as_a_wrong_one() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let (mut wrong, mut long) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        for (password, took) in [("x".repeat(20), &mut wrong), ("x".repeat(10_000), &mut long)] {
            let body = json!({"person": "alice", "password": password, "totp": "000000"});
            let before = clock::now().0;
            assert_eq!(house.stranger().try_post("/v1/login", body).await.unwrap_err().code, "login-refused");
            took.push(clock::now().0 - before);
        }
    }
    // A check takes some hundred times what the rest of the answer takes.
    assert!(long.iter().min().unwrap() * 3 > *wrong.iter().min().unwrap(), "{long:?} {wrong:?}");
    let found = alice.get("/v1/log/records?kind=login-refused").await;
    assert!(found["items"].as_array().unwrap().iter().all(|r| r["body"]["because"] == "password"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_in_and_never_come_out() {
    let house = House::found().await;
    let alice = house.administrator().await;
    alice.put("/v1/secrets/prod-orders", json!({"user": "app", "password": "hunter2hunter2"})).await;
    let listed = alice.get("/v1/secrets").await;
    assert_eq!(listed, json!({"items": [{"name": "prod-orders"}]}));
    let records = alice.get("/v1/log/records?limit=1000").await.to_string();
    assert!(records.contains("secret-set") && !records.contains("hunter2"));
    let refused =
        alice.try_put("/v1/secrets/x", json!({"user": "a", "pasword": "hunter2"})).await.unwrap_err();
    assert!(!refused.message.contains("hunter2") && refused.status == 422, "{refused:?}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_served_and_evidence_holds() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let bob = house.contractor(&alice, "bob").await;
    house.apply_policy(&alice).await;
    let filed = bob.post("/v1/requests", json!({"resource": "prod-orders", "reason": "fix order 17"})).await;
    let id = filed["id"].as_str().unwrap();
    let approved = alice.post(&format!("/v1/requests/{id}/approve"), json!({})).await;
    let grant = approved["grant"].as_str().unwrap();
    let zip = alice.bytes(&format!("/v1/evidence/grants/{grant}")).await;
    let evidence = daypass_ledger::evidence::Evidence::read(std::io::Cursor::new(zip)).unwrap();
    let checked = evidence.check(None).unwrap();
    let opened: Vec<String> = checked.logs[0]
        .records
        .values()
        .flat_map(|record| {
            record.opened.iter().map(|field| String::from_utf8_lossy(&field.value).into_owned())
        })
        .collect();
    assert!(opened.contains(&"fix order 17".to_owned()), "{opened:?}");
    let checkpoint = alice.bytes("/log/control/checkpoint").await;
    assert!(checkpoint.starts_with(b"daypass.test/control\n"));
    let size: u64 = String::from_utf8(checkpoint).unwrap().lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(alice.bytes(&format!("/log/control/tile/0/000.p/{size}")).await.len() as u64, size * 32);
    for path in [
        "/log/control/../vault",
        "/log/control/tile/0/..%2f..%2fvault",
        "/log/other/checkpoint",
        "/log/control/wal",
    ] {
        assert_eq!(alice.try_get(path).await.unwrap_err().status, 404, "{path}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let house = House::found().await;
    let alice = house.administrator().await;
    house.contractor(&alice, "bob").await;
    house.apply_policy(&alice).await;
    let size = alice.get("/v1/health").await["logs"][0]["size"].as_u64().unwrap();
    let house = house.restart().await;
    let alice = Visitor { url: house.url(), ..alice };
    let health = alice.get("/v1/health").await;
    assert!(health["logs"][0]["size"].as_u64().unwrap() >= size);
    assert_eq!(
        house.running().start.snapshot_size,
        Some(house.running().start.size),
        "the snapshot was used"
    );
    assert_eq!(alice.get("/v1/whoami").await["person"], "alice", "the login holds");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_or_malformed_is_refused() {
    let house = House::found().await;
    let alice = house.administrator().await;
    let long = json!({"files": {"a.toml": "x".repeat(300 << 10)}});
    assert!([413, 422].contains(&alice.try_post("/v1/policy/plan", long).await.unwrap_err().status));
    let unknown = json!({"person": "a", "password": "hunter2", "totp": "1", "extra": 1});
    let refused = house.stranger().try_post("/v1/login", unknown).await.unwrap_err();
    assert_eq!(refused.status, 422);
    assert!(!refused.message.contains("hunter2"));
    assert_eq!(house.stranger().try_get("/v1/nothing").await.unwrap_err().status, 404);
    house.stop().await;
}

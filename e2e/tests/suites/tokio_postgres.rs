//! tokio-postgres: simple and extended protocol, pipelining, portals, COPY in both formats, cancel, notices, notifications.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use daypass_e2e::{Endpoint, PATIENCE, until};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

/// Runs the suite and gives everything that came back.
pub(crate) async fn transcript(endpoint: &Endpoint) -> String {
    let mut told = String::new();
    let (client, mut connection) = endpoint.config().connect(endpoint.rustls()).await.unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::channel(100);
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            drop(heard.send(message).await);
        }
    });
    let work = async {
        statements(&client, &mut told).await;
        pipelining(&client, &mut told).await;
        copies(&client, &mut told).await;
        cancel(endpoint, &client, &mut told).await;
        client.batch_execute("DO $$ BEGIN RAISE NOTICE 'hello' USING HINT = 'hint'; END $$").await.unwrap();
        client.batch_execute("LISTEN rust; NOTIFY rust, 'payload'; DROP TABLE r").await.unwrap();
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap();
    for _ in 0..2 {
        let message = tokio::time::timeout(Duration::from_secs(20), hears.recv()).await.unwrap().unwrap();
        if let AsyncMessage::Notice(notice) = &message {
            writeln!(told, "notice {} {:?}", notice.message(), notice.hint()).unwrap();
        } else if let AsyncMessage::Notification(heard) = &message {
            writeln!(told, "notified {} {}", heard.channel(), heard.payload()).unwrap();
        }
    }
    told
}

async fn statements(client: &Client, told: &mut String) {
    client.batch_execute("CREATE TABLE r (id int PRIMARY KEY, body text, bin bytea)").await.unwrap();
    let insert = client
        .prepare_typed("INSERT INTO r VALUES ($1, $2, $3)", &[Type::INT4, Type::TEXT, Type::BYTEA])
        .await
        .unwrap();
    for id in 0..10 {
        let body = (id % 3 != 0).then(|| format!("body {id} é🦀"));
        let changed = client.execute(&insert, &[&id, &body, &vec![0_u8, 255, 10]]).await.unwrap();
        assert_eq!(changed, 1);
    }
    for row in client.query("SELECT id, body, bin FROM r WHERE id < $1 ORDER BY id", &[&3]).await.unwrap() {
        let (id, body, bin): (i32, Option<String>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        writeln!(told, "row {id} {body:?} {bin:?}").unwrap();
    }
    for message in client
        .simple_query("SELECT 1; SELECT 'two' AS t; UPDATE r SET body = 'x' WHERE id > 7;")
        .await
        .unwrap()
    {
        if let SimpleQueryMessage::Row(row) = &message {
            writeln!(told, "simple {:?}", row.get(0)).unwrap();
        } else if let SimpleQueryMessage::CommandComplete(rows) = &message {
            writeln!(told, "complete {rows}").unwrap();
        }
    }
    for broken in
        ["SELECT nonsense", "INSERT INTO r VALUES (1)", "SELECT 1/0", "SELEC", "SELECT $1::int, $3::int"]
    {
        let error = client.query(broken, &[]).await.unwrap_err();
        let database =
            error.as_db_error().map(|e| (e.code().clone(), e.message().to_owned(), e.position().cloned()));
        writeln!(told, "error {database:?}").unwrap();
    }
    let statement = client.prepare("SELECT $1::int8 + 1 AS sum, now() IS NULL").await.unwrap();
    writeln!(told, "described {:?} {:?}", statement.params(), statement.columns()).unwrap();
}

async fn pipelining(client: &Client, told: &mut String) {
    let statement = client.prepare("SELECT $1::int * 2").await.unwrap();
    let pending: Vec<_> = (0..200)
        .map(|n: i32| {
            let (client, statement) = (client, &statement);
            async move { client.query_one(statement, &[&n]).await.unwrap().get::<_, i32>(0) }
        })
        .collect();
    writeln!(told, "pipelined {}", join_all(pending).await.into_iter().sum::<i32>()).unwrap();
    let (first, second, third) = tokio::join!(
        client.query("SELECT 1", &[]),
        client.query("SELECT 1 / 0", &[]),
        client.query("SELECT 3", &[])
    );
    writeln!(told, "around an error {} {} {}", first.is_ok(), second.is_err(), third.is_ok()).unwrap();
}

async fn copies(client: &Client, told: &mut String) {
    let sink = client.copy_in::<_, Bytes>("COPY r FROM STDIN").await.unwrap();
    let mut sink = Box::pin(sink);
    for id in 1000..3000 {
        let row = Bytes::from(format!("{id}\tcopied {id}\t\\\\x00ff\n"));
        sink.as_mut().feed(row).await.unwrap();
    }
    writeln!(told, "copied in {}", sink.as_mut().finish().await.unwrap()).unwrap();
    for format in ["text", "binary"] {
        let query = format!("COPY (SELECT * FROM r ORDER BY id) TO STDOUT (FORMAT {format})");
        let mut stream = Box::pin(client.copy_out(&query).await.unwrap());
        let (mut len, mut sum) = (0, 0_u64);
        while let Some(part) = stream.next().await {
            let part = part.unwrap();
            len += part.len();
            sum = part.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        }
        writeln!(told, "copied out {format} {len} {sum}").unwrap();
    }
}

async fn cancel(endpoint: &Endpoint, client: &Client, told: &mut String) {
    let token = client.cancel_token();
    let query = client.batch_execute("SELECT pg_sleep(60)");
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        until("the query is cancelled", async || token.cancel_query(endpoint.rustls()).await.ok()).await;
    };
    let (ended, ()) = tokio::join!(query, cancelled);
    writeln!(told, "cancelled {:?}", ended.unwrap_err().code()).unwrap();
    writeln!(told, "after it {}", client.query_one("SELECT 'well'", &[]).await.unwrap().get::<_, &str>(0))
        .unwrap();
}

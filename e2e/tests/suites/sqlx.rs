//! sqlx: a pool, typed binds and rows, transactions, streams, prepared statements kept per connection.

use std::fmt::Write;

use daypass_e2e::{Endpoint, PATIENCE, Tls};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection, Executor, Row};

/// Runs the suite and gives everything that came back.
pub(crate) async fn transcript(endpoint: &Endpoint) -> String {
    let mut told = String::new();
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options(endpoint)).await.unwrap();
    let work = async {
        statements(&pool, &mut told).await;
        transactions(&pool, &mut told).await;
        concurrency(&pool, &mut told).await;
        pool.execute("DROP TABLE s").await.unwrap();
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap();
    pool.close().await;
    told
}

fn options(endpoint: &Endpoint) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&endpoint.user)
        .password(&endpoint.password)
        .database(&endpoint.database);
    match &endpoint.tls {
        Tls::Off => options.ssl_mode(PgSslMode::Disable),
        Tls::Unverified => options.ssl_mode(PgSslMode::Require),
        Tls::Verified(ca) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca),
    }
}

async fn statements(pool: &PgPool, told: &mut String) {
    pool.execute("CREATE TABLE s (id int PRIMARY KEY, body text, bin bytea, list int8[]); SELECT 1")
        .await
        .unwrap();
    for id in 0..5 {
        let insert = "INSERT INTO s VALUES ($1, $2, $3, $4) RETURNING id";
        let body = (id != 2).then(|| format!("body {id} é🦀"));
        let query =
            sqlx::query(insert).bind(id).bind(body).bind(vec![0_u8, 255]).bind(vec![1_i64, i64::from(id)]);
        let row = query.fetch_one(pool).await.unwrap();
        writeln!(told, "inserted {}", row.get::<i32, _>(0)).unwrap();
    }
    type Whole = (i32, Option<String>, Vec<u8>, Vec<i64>);
    let rows: Vec<Whole> =
        sqlx::query_as("SELECT * FROM s WHERE id >= $1 ORDER BY id").bind(1).fetch_all(pool).await.unwrap();
    writeln!(told, "rows {rows:?}").unwrap();
    let none: Option<(i32,)> =
        sqlx::query_as("SELECT id FROM s WHERE id = $1").bind(99).fetch_optional(pool).await.unwrap();
    writeln!(told, "none {none:?}").unwrap();
    for broken in ["SELECT nonsense", "INSERT INTO s VALUES (1)", "SELECT 1/0", "SELEC"] {
        let error = sqlx::query(broken).execute(pool).await.unwrap_err();
        let database =
            error.as_database_error().map(|e| (e.code().map(|c| c.into_owned()), e.message().to_owned()));
        writeln!(told, "error {database:?}").unwrap();
    }
    let big: (String,) = sqlx::query_as("SELECT repeat('s', 3000000)").fetch_one(pool).await.unwrap();
    writeln!(told, "big {}", big.0.len()).unwrap();
    let many: Vec<(i32, String)> = sqlx::query_as("SELECT g, md5(g::text) FROM generate_series(1, 30000) g")
        .fetch_all(pool)
        .await
        .unwrap();
    writeln!(told, "many {} {:?}", many.len(), many.last()).unwrap();
}

async fn transactions(pool: &PgPool, told: &mut String) {
    let mut outer = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO s (id) VALUES (100)").execute(&mut *outer).await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    sqlx::query("INSERT INTO s (id) VALUES (101)").execute(&mut *inner).await.unwrap();
    inner.rollback().await.unwrap();
    outer.commit().await.unwrap();
    let dropped = pool.begin().await.unwrap();
    drop(dropped);
    let kept: Vec<(i32,)> = sqlx::query_as("SELECT id FROM s WHERE id >= 100").fetch_all(pool).await.unwrap();
    writeln!(told, "kept {kept:?}").unwrap();
}

async fn concurrency(pool: &PgPool, told: &mut String) {
    let tasks: Vec<_> = (0..200)
        .map(|n: i32| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let row: (i32,) = sqlx::query_as("SELECT $1 + 1").bind(n).fetch_one(&pool).await.unwrap();
                row.0
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    writeln!(told, "sum {sum}").unwrap();
    let mut connection = pool.acquire().await.unwrap();
    connection.ping().await.unwrap();
}

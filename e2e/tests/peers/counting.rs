//! A relay on a port of its own that counts the TLS records on their way to the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct CountingRelay {
    port: u16,
    records: Arc<AtomicU64>,
}

impl CountingRelay {
    /// Relays one connection to the gateway at `port`.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let records = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&records);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let gateway = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_gateway, mut to_gateway) = gateway.into_split();
            tokio::spawn(async move { drop(tokio::io::copy(&mut from_client, &mut to_gateway).await) });
            // The answer to SSLRequest is one byte; then come records: type, version (2), length (2), body.
            let answer = from_gateway.read_u8().await.unwrap();
            assert_eq!(answer, b'S', "the gateway refuses TLS");
            to_client.write_u8(answer).await.unwrap();
            let mut record = vec![0; 5];
            loop {
                record.resize(5, 0);
                if from_gateway.read_exact(&mut record).await.is_err() {
                    return;
                }
                let len = u16::from_be_bytes([record[3], record[4]]);
                record.resize(5 + usize::from(len), 0);
                if from_gateway.read_exact(&mut record[5..]).await.is_err() {
                    return;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                if to_client.write_all(&record).await.is_err() {
                    return;
                }
            }
        });
        Self { port: own, records }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn records_to_client(&self) -> u64 {
        self.records.load(Ordering::SeqCst)
    }
}

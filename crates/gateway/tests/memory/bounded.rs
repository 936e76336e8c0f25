//! A gigabyte either way, and clients that never read.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BufMut;
use daypass_pg::startup::Version;
use daypass_pg::write;

use crate::house::{House, until};
use crate::wire::Wire;

/// What this process holds, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_results_huge_parameters_and_a_client_that_never_reads_take_bounded_memory() {
    let house = House::new().await;
    let pass = house.pass("all").await;
    let task = move || {
        let mut warm = Wire::login(&house, &pass, Version::V3_0);
        warm.query("SELECT 1");
        let before = resident();
        let peak = AtomicU64::new(0);
        let look = || peak.fetch_max(resident(), Ordering::Relaxed);
        // One result of a gigabyte, in rows of 256 MiB.
        warm.send(|o| write::query(o, b"SELECT repeat('x', 268435456) FROM generate_series(1, 4)"));
        let read_len = std::thread::scope(|scope| {
            let reading = scope.spawn(|| warm.forget_until(b'Z'));
            while !reading.is_finished() {
                look();
                std::thread::yield_now();
            }
            reading.join().unwrap()
        });
        assert!(read_len > 1 << 30, "{read_len}");
        // One parameter of 256 MiB.
        let mut wire = Wire::login(&house, &pass, Version::V3_0);
        wire.send(|o| write::parse(o, b"", b"SELECT length($1::text)", &[]));
        let value_len: u32 = 256 << 20;
        wire.send(|o| {
            o.put_u8(b'B');
            o.put_u32(4 + 1 + 1 + 2 + 2 + 4 + value_len + 2);
            o.put_slice(&[0, 0, 0, 0, 0, 1]);
            o.put_u32(value_len);
        });
        for _ in 0..256 {
            wire.send(|o| o.put_bytes(b'y', 1 << 20));
            look();
        }
        wire.send(|o| {
            o.put_u16(0);
            write::execute(o, b"", 0);
            write::sync(o);
        });
        assert_eq!(wire.until('Z'), "12DCZ");
        assert_eq!(wire.seen.iter().find(|m| m.tag == 'D').unwrap().body[6..], *b"268435456");
        // Clients that ask and never read.
        let stuck: Vec<Wire> = (0..4)
            .map(|_| {
                let mut wire = Wire::login(&house, &pass, Version::V3_0);
                wire.send(|o| write::query(o, b"SELECT repeat('x', 100000) FROM generate_series(1, 10000)"));
                wire
            })
            .collect();
        let shown = || house.gateway.sessions().iter().map(|view| view.bytes_shown).sum::<u64>();
        let mut last = 0;
        until("nothing moves any more", || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            look();
            std::mem::replace(&mut last, shown()) == last
        });
        let grown = peak.load(Ordering::Relaxed).saturating_sub(before);
        println!("peak growth: {grown} KiB");
        assert!(grown < 48 << 10, "grew by {grown} KiB");
        drop(stuck);
        house
    };
    let house = tokio::task::spawn_blocking(task).await.unwrap();
    assert!(house.log().iter().any(|line| line.contains("\"len\":268435")), "the long parameter is recorded");
}

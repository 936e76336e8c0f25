//! Slowing guessing down without letting anybody lock out somebody else.
//!
//! Failures count for a *pair* of person and origin: guessing Bob's password from the attacker's address never makes
//! Bob wait at his own, and a colleague behind the same address who mistypes makes only herself wait. Everybody who does
//! not exist is one person here, so made-up names neither grow the table nor push real entries out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use daypass_access::time::Micros;

/// Failures that cost nothing.
pub const FREE_FAILURES: u32 = 5;
/// Longest wait, in seconds.
pub const WAIT_S_MAX: u64 = 15 * 60;
/// After so long without a failure a pair starts anew, in seconds.
pub const FORGET_S: u64 = 60 * 60;
/// Most pairs remembered; the ones silent for longest go first.
pub const PAIRS_MAX: usize = 65_536;

/// Where an attempt comes from: an IPv4 address, or the first 64 bits of an IPv6 one (one host owns the rest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(u64, bool);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits()), false),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let prefix = [a, b, c, d].into_iter().fold(0, |bits, part| bits << 16 | u64::from(part));
                Self(prefix, true)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Micros,
}

type Pairs = HashMap<(Option<Box<str>>, Origin), Failures>;

/// The table of failures.
#[derive(Default)]
pub struct Throttle(Mutex<Pairs>);

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Throttle {
    /// Asks for an attempt, and counts it as failed until [`Throttle::succeeded`] says otherwise: many attempts sent at
    /// once cannot all pass before the first failure is known. `person` is `None` when there is no such person.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn attempt(&self, person: Option<&str>, origin: Origin, now: Micros) -> Result<(), u64> {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (person.map(Box::from), origin);
        let failures = pairs.get(&key).copied().filter(|known| now.since_s(known.last) < FORGET_S);
        let failures = failures.unwrap_or(Failures { count: 0, last: now });
        let wait_s = wait_s(failures.count).saturating_sub(now.since_s(failures.last));
        if wait_s > 0 {
            return Err(wait_s);
        }
        if pairs.len() >= PAIRS_MAX && !pairs.contains_key(&key) {
            make_room(&mut pairs, now);
        }
        pairs.insert(key, Failures { count: failures.count.saturating_add(1), last: now });
        Ok(())
    }

    /// Forgets the failures of a pair that proved itself.
    pub fn succeeded(&self, person: &str, origin: Origin) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(Some(Box::from(person)), origin));
    }
}

fn wait_s(failures: u32) -> u64 {
    match failures.checked_sub(FREE_FAILURES) {
        None => 0,
        Some(more) => 1_u64.checked_shl(more).unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX),
    }
}

fn make_room(pairs: &mut Pairs, now: Micros) {
    pairs.retain(|_, known| now.since_s(known.last) < FORGET_S);
    if pairs.len() >= PAIRS_MAX {
        let mut times: Vec<Micros> = pairs.values().map(|known| known.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        pairs.retain(|_, known| known.last > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn guessing_slows_down_and_others_are_not_locked_out() {
        let throttle = Throttle::default();
        let (attacker, home) = (origin("203.0.113.9"), origin("198.51.100.7"));
        let now = Micros(1_000_000_000);
        let passed = (0..100).filter(|_| throttle.attempt(Some("bob"), attacker, now).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(throttle.attempt(Some("bob"), home, now), Ok(()), "bob at home");
        assert_eq!(
            throttle.attempt(Some("alice"), attacker, now),
            Ok(()),
            "a colleague behind the same address"
        );
    }

    #[test]
    fn the_wait_doubles_ends_and_is_forgotten() {
        let throttle = Throttle::default();
        let home = origin("::1");
        let mut now = Micros(0);
        let mut waits = Vec::new();
        for _ in 0..20 {
            if let Err(wait_s) = throttle.attempt(Some("bob"), home, now) {
                waits.push(wait_s);
                now = now.plus_s(wait_s);
                throttle.attempt(Some("bob"), home, now).unwrap();
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900]);
        throttle.succeeded("bob", home);
        for _ in 0..5 {
            throttle.attempt(Some("bob"), home, now).unwrap();
        }
        throttle.attempt(Some("bob"), home, now).unwrap_err();
        throttle.attempt(Some("bob"), home, now.plus_s(FORGET_S)).unwrap();
    }

    #[test]
    fn made_up_people_share_one_entry() {
        let throttle = Throttle::default();
        let passed =
            (0..100).filter(|_| throttle.attempt(None, origin("10.0.0.1"), Micros(0)).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(throttle.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn one_host_with_many_addresses_is_one_origin() {
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff::9"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        assert_ne!(origin("::a00:1"), origin("10.0.0.1"));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_newest() {
        let throttle = Throttle::default();
        let most = u32::try_from(PAIRS_MAX).unwrap();
        for n in 0..most + 10 {
            let address = IpAddr::from(n.to_be_bytes());
            throttle.attempt(Some("bob"), address.into(), Micros(u64::from(n))).unwrap();
        }
        let pairs = throttle.0.lock().unwrap();
        assert!(pairs.len() <= PAIRS_MAX);
        let newest = Origin::from(IpAddr::from((most + 9).to_be_bytes()));
        assert!(pairs.contains_key(&(Some(Box::from("bob")), newest)));
    }
}

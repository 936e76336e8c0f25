//! Slowing guessing down without letting anybody lock out somebody else.
//!
//! Failures count for a *pair* of name and origin: guessing Bob's password from the attacker's address never makes Bob
//! wait at his own, and a colleague behind the same address who mistypes makes only herself wait. SECURITY: a name that
//! nobody has waits exactly as a name that somebody has, else the waiting would tell which is which; made-up names live in
//! a table of their own, so they never push real entries out.
//!
//! An origin as a whole has a budget too, or made-up names would buy work and records without end. Who has proved
//! themselves from there before is not held to it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use daypass_access::time::Micros;

/// Failures that cost nothing.
pub const FREE_FAILURES: u32 = 5;
/// Longest wait, in seconds.
pub const WAIT_S_MAX: u64 = 15 * 60;
/// After so long without a failure a pair starts anew, in seconds.
pub const FORGET_S: u64 = 60 * 60;
/// Most entries remembered in a table; the ones silent for longest go first.
pub const PAIRS_MAX: usize = 65_536;
/// Failures of an origin as a whole that cost nothing.
pub const ORIGIN_FREE: u32 = 100;
/// An origin gets one back every so many seconds.
pub const ORIGIN_REGAIN_S: u64 = 10;

/// Who somebody says they are.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'a> {
    /// The name of a person there is.
    Person(&'a str),
    /// A name that nobody has.
    Nobody(&'a str),
    /// The holder of a login, who shows a second factor: counted wherever they come from, because a stolen token is
    /// used from anywhere.
    Login(&'a str),
}

/// An attempt that is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Seconds to wait.
    pub wait_s: u64,
    /// Whether it is the first one turned away in this wait: that one is recorded.
    pub first: bool,
}

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
    /// Somebody was turned away since.
    told: bool,
}

struct Table<K>(HashMap<K, Failures>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Table<K> {
    fn wait(&mut self, key: &K, now: Micros, wait_s: fn(&Failures, u64) -> u64) -> Result<(), Wait> {
        let Some(known) = self.0.get_mut(key) else { return Ok(()) };
        let wait_s = wait_s(known, now.since_s(known.last));
        if wait_s == 0 {
            return Ok(());
        }
        let first = !std::mem::replace(&mut known.told, true);
        Err(Wait { wait_s, first })
    }

    fn set(&mut self, key: K, count: u32, now: Micros) {
        if self.0.len() >= PAIRS_MAX && !self.0.contains_key(&key) {
            make_room(&mut self.0, now);
        }
        self.0.insert(key, Failures { count, last: now, told: false });
    }

    fn count(&mut self, key: K, now: Micros) {
        let known = self.0.get(&key).filter(|known| now.since_s(known.last) < FORGET_S);
        let count = known.map_or(0, |known| known.count);
        self.set(key, count.saturating_add(1), now);
    }
}

#[derive(Default)]
struct Tables {
    people: Table<(Box<str>, Origin)>,
    nobody: Table<(u64, Origin)>,
    logins: Table<Box<str>>,
    origins: Table<Origin>,
    /// Who proved themselves from where.
    proven: Table<(Box<str>, Origin)>,
    hasher: RandomState,
}

/// The table of failures.
#[derive(Default)]
pub struct Throttle(Mutex<Tables>);

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Throttle {
    /// Asks for an attempt, and counts it as failed until [`Throttle::succeeded`] says otherwise: many attempts sent at
    /// once cannot all pass before the first failure is known.
    ///
    /// # Errors
    /// How long to wait.
    pub fn attempt(&self, claim: Claim<'_>, origin: Origin, now: Micros) -> Result<(), Wait> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Tables { people, nobody, logins, origins, proven, hasher } = &mut *tables;
        match claim {
            Claim::Person(name) => {
                let key = (Box::from(name), origin);
                people.wait(&key, now, pair_wait_s)?;
                if !proven.0.contains_key(&key) {
                    origins.wait(&origin, now, origin_wait_s)?;
                }
                people.count(key, now);
            }
            Claim::Nobody(name) => {
                let key = (hasher.hash_one(name), origin);
                nobody.wait(&key, now, pair_wait_s)?;
                origins.wait(&origin, now, origin_wait_s)?;
                nobody.count(key, now);
            }
            Claim::Login(login) => {
                logins.wait(&Box::from(login), now, pair_wait_s)?;
                logins.count(Box::from(login), now);
                return Ok(());
            }
        }
        let spent = origins.0.get(&origin).map_or(0, |known| spent(known, now.since_s(known.last)));
        origins.set(origin, spent.saturating_add(1), now);
        Ok(())
    }

    /// Forgets the failures of somebody who proved what they claimed.
    pub fn succeeded(&self, claim: Claim<'_>, origin: Origin, now: Micros) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match claim {
            Claim::Person(name) => {
                let key = (Box::from(name), origin);
                tables.people.0.remove(&key);
                tables.proven.set(key, 0, now);
                if let Some(known) = tables.origins.0.get_mut(&origin) {
                    known.count = known.count.saturating_sub(1);
                }
            }
            Claim::Login(login) => {
                tables.logins.0.remove(login);
            }
            Claim::Nobody(_) => {}
        }
    }
}

fn pair_wait_s(known: &Failures, since_s: u64) -> u64 {
    let whole = match known.count.checked_sub(FREE_FAILURES) {
        Some(more) if since_s < FORGET_S => 1_u64.checked_shl(more).unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX),
        Some(_) | None => 0,
    };
    whole.saturating_sub(since_s)
}

/// What an origin has spent of its budget.
fn spent(known: &Failures, since_s: u64) -> u32 {
    known.count.saturating_sub(u32::try_from(since_s / ORIGIN_REGAIN_S).unwrap_or(u32::MAX))
}

fn origin_wait_s(known: &Failures, since_s: u64) -> u64 {
    if spent(known, since_s) < ORIGIN_FREE { 0 } else { ORIGIN_REGAIN_S - since_s % ORIGIN_REGAIN_S }
}

fn make_room<K: Eq + Hash>(pairs: &mut HashMap<K, Failures>, now: Micros) {
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
        let passed =
            (0..100).filter(|_| throttle.attempt(Claim::Person("bob"), attacker, now).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(throttle.attempt(Claim::Person("bob"), home, now), Ok(()), "bob at home");
        assert_eq!(
            throttle.attempt(Claim::Person("alice"), attacker, now),
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
            if let Err(Wait { wait_s, .. }) = throttle.attempt(Claim::Person("bob"), home, now) {
                waits.push(wait_s);
                now = now.plus_s(wait_s);
                throttle.attempt(Claim::Person("bob"), home, now).unwrap();
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900]);
        throttle.succeeded(Claim::Person("bob"), home, now);
        for _ in 0..5 {
            throttle.attempt(Claim::Person("bob"), home, now).unwrap();
        }
        throttle.attempt(Claim::Person("bob"), home, now).unwrap_err();
        throttle.attempt(Claim::Person("bob"), home, now.plus_s(FORGET_S)).unwrap();
    }

    #[test]
    fn a_name_that_nobody_has_waits_as_one_that_somebody_has() {
        let now = Micros(1_000_000_000);
        let waits = |claim: Claim<'_>, others: u32| {
            let throttle = Throttle::default();
            let here = origin("203.0.113.9");
            for n in 0..others {
                throttle.attempt(Claim::Nobody(&format!("made up {n}")), here, now).unwrap();
            }
            let waits = |s: u64| throttle.attempt(claim, here, now.plus_s(s)).map_err(|wait| wait.wait_s);
            (0..150).map(|n| waits(n / 3)).collect::<Vec<_>>()
        };
        for others in [0, 6, 20, ORIGIN_FREE] {
            assert_eq!(waits(Claim::Person("bob"), others), waits(Claim::Nobody("rob"), others), "{others}");
        }
    }

    #[test]
    fn an_origin_has_a_budget_and_who_was_there_before_is_not_held_to_it() {
        let throttle = Throttle::default();
        let (here, now) = (origin("203.0.113.9"), Micros(1_000_000_000));
        throttle.attempt(Claim::Person("bob"), here, now).unwrap();
        throttle.succeeded(Claim::Person("bob"), here, now);
        let passed =
            (0..500).filter(|n| throttle.attempt(Claim::Nobody(&n.to_string()), here, now).is_ok()).count();
        assert_eq!(passed, 100);
        assert_eq!(throttle.attempt(Claim::Person("bob"), here, now), Ok(()));
        assert!(throttle.attempt(Claim::Person("alice"), here, now).is_err(), "never seen from there");
        assert_eq!(throttle.attempt(Claim::Person("alice"), origin("10.0.0.1"), now), Ok(()));
        let passed = (0..3600)
            .filter(|s| throttle.attempt(Claim::Nobody(&format!("later {s}")), here, now.plus_s(*s)).is_ok());
        assert!((350..=370).contains(&passed.count()), "one every ten seconds");
    }

    #[test]
    fn a_login_is_slowed_down_from_wherever_it_is_used() {
        let throttle = Throttle::default();
        let attempt =
            |n: u32| throttle.attempt(Claim::Login("L-1"), IpAddr::from(n.to_be_bytes()).into(), Micros(0));
        assert_eq!((0..1000).filter(|n| attempt(*n).is_ok()).count(), 5);
        throttle.succeeded(Claim::Login("L-1"), origin("10.0.0.1"), Micros(0));
        assert_eq!(attempt(0), Ok(()));
    }

    #[test]
    fn the_first_one_turned_away_in_each_wait_is_told_apart() {
        let throttle = Throttle::default();
        let home = origin("::1");
        let firsts = |now: Micros| {
            let turned_away = |_| throttle.attempt(Claim::Person("bob"), home, now).err();
            (0..50).filter_map(turned_away).filter(|wait| wait.first).count()
        };
        assert_eq!(firsts(Micros(0)), 1);
        assert_eq!(firsts(Micros(0)), 0);
        assert_eq!(firsts(Micros(1_000_000)), 1, "one passed, and the next wait began");
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
            throttle.attempt(Claim::Person("bob"), address.into(), Micros(u64::from(n))).unwrap();
        }
        let tables = throttle.0.lock().unwrap();
        let pairs = &tables.people.0;
        assert!(pairs.len() <= PAIRS_MAX && tables.origins.0.len() <= PAIRS_MAX);
        let newest = Origin::from(IpAddr::from((most + 9).to_be_bytes()));
        assert!(pairs.contains_key(&(Box::from("bob"), newest)));
    }
}

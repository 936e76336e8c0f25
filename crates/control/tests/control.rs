//! The control log over real files: durable before seen, the same after a restart, with and without a snapshot.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daypass_access::command::{Ask, Command, NewPerson};
use daypass_access::id::PersonId;
use daypass_access::person::{PersonKind, Profile};
use daypass_access::policy::Files;
use daypass_access::time::Micros;
use daypass_control::{Clock, Controller, OpenError, Options, Personal, Start, SubmitError};
use daypass_vault::{MasterKey, Vault, namespace};
use tempfile::TempDir;

const ORIGIN: &str = "daypass.test/control";

struct Place {
    dir: TempDir,
    vault: Vault,
    time: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::create(&dir.path().join("vault"), MasterKey::new([1; 32])).unwrap();
        vault.put(namespace::LOG_KEY, ORIGIN, &[7; 32]).unwrap();
        Self { dir, vault, time: Arc::new(AtomicU64::new(1_800_000_000_000_000)) }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.dir.path().join("control")
    }

    fn try_open(&self) -> Result<(Controller, Start), OpenError> {
        let time = Arc::clone(&self.time);
        let clock: Clock = Arc::new(move || Micros(time.fetch_add(1, Ordering::Relaxed)));
        let options = Options { dir: self.folder(), origin: ORIGIN.to_owned() };
        Controller::open(options, self.vault.clone(), clock)
    }

    fn open(&self) -> (Controller, Start) {
        self.try_open().unwrap()
    }

    fn found(&self) -> Controller {
        let (controller, _) = self.open();
        let mut files: Files = BTreeMap::new();
        files.insert("teams.toml".to_owned(), "[teams.admins]\nmembers = [\"alice\"]\n".to_owned());
        files.insert("system.toml".to_owned(), "[system]\nadministrators = [\"admins\"]\n".to_owned());
        let alice = NewPerson {
            person: PersonId::new("alice"),
            profile: Profile::new(PersonKind::Staff),
            name: "Alice Example".to_owned(),
            email: String::new(),
            invitation_sha256: Some("ab".repeat(32)),
        };
        controller.submit_and_wait(Command::by_system(Ask::Found { people: vec![alice], files })).unwrap();
        controller
    }
}

fn refuse(origin: &str) -> Command {
    let because = "unknown".to_owned();
    Command::by_system(Ask::RefuseLogin { person: None, origin: origin.to_owned(), because })
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_decided_is_there_after_a_restart_with_and_without_a_snapshot() {
    let place = Place::new();
    let controller = place.found();
    controller.submit_and_wait(refuse("1.2.3.4")).unwrap();
    let before = controller.state();
    controller.close().unwrap();
    let (controller, start) = place.open();
    assert_eq!(start.snapshot_size, Some(before.size()));
    assert_eq!(*controller.state(), *before);
    controller.submit_and_wait(refuse("1.2.3.4")).unwrap();
    let before = controller.state();
    controller.close().unwrap();
    fs::remove_file(place.folder().join("snapshot")).unwrap();
    let (controller, start) = place.open();
    assert_eq!((start.snapshot_size, start.snapshot_refused), (None, None));
    assert_eq!(*controller.state(), *before);
}

#[test]
fn a_snapshot_that_was_changed_or_is_of_another_log_is_not_used() {
    let place = Place::new();
    let controller = place.found();
    let before = controller.state();
    controller.close().unwrap();
    let path = place.folder().join("snapshot");
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(37) {
        flip(&path, at);
        let (controller, start) = place.open();
        assert!(start.snapshot_size.is_none() && start.snapshot_refused.is_some(), "byte {at}");
        assert_eq!(*controller.state(), *before);
        drop(controller.close());
        fs::write(&path, &sound).unwrap();
    }
    let other = Place::new();
    other.time.fetch_add(1_000_000, Ordering::Relaxed);
    other.found().close().unwrap();
    fs::copy(other.folder().join("snapshot"), &path).unwrap();
    let (controller, start) = place.open();
    assert_eq!(start.snapshot_refused, Some("it is not of this log"));
    assert_eq!(*controller.state(), *before);
}

#[test]
fn a_denied_command_leaves_no_record() {
    let place = Place::new();
    let controller = place.found();
    let size = controller.state().size();
    let again = Ask::Found { people: Vec::new(), files: BTreeMap::new() };
    let refused = controller.submit_and_wait(Command::by_system(again));
    assert!(matches!(refused, Err(SubmitError::Denied(_))));
    assert_eq!(controller.journal().size(), size);
}

#[test]
fn what_is_seen_is_durable_and_many_at_once_share_syncs() {
    let place = Place::new();
    let controller = place.found();
    let mut changes = controller.changes();
    changes.mark_unchanged();
    let first = controller.journal().stats();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let controller = controller.clone();
            std::thread::spawn(move || {
                for number in 0..25 {
                    let outcome =
                        controller.submit_and_wait(refuse(&format!("10.0.{thread}.{number}"))).unwrap();
                    let index = outcome.records[0].seq;
                    assert!(controller.journal().covered().size() > index);
                    assert!(controller.state().size() > index);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(changes.has_changed().unwrap());
    let last = controller.journal().stats();
    assert_eq!(last.records - first.records, 200);
    assert!(last.syncs - first.syncs < 200, "{} syncs", last.syncs - first.syncs);
}

#[test]
fn the_past_can_be_asked_for() {
    let place = Place::new();
    let controller = place.found();
    let founded = controller.state();
    controller.submit_and_wait(refuse("1.2.3.4")).unwrap();
    assert_eq!(controller.at(founded.at()).unwrap(), *founded);
    assert_eq!(controller.at(Micros(0)).unwrap().size(), 0);
    assert_eq!(controller.at(Micros(u64::MAX)).unwrap(), *controller.state());
}

#[test]
fn personal_fields_are_sealed_and_gone_with_the_key() {
    let place = Place::new();
    let controller = place.found();
    let index = controller.state().person(&PersonId::new("alice")).unwrap().index;
    assert_eq!(controller.personal(index).unwrap().text("name").unwrap(), "Alice Example");
    let stored = controller.journal().read(index, 1).unwrap();
    for bytes in [&stored[0].leaf, stored[0].sidecar.as_ref().unwrap()] {
        assert!(!String::from_utf8_lossy(bytes).contains("Alice Example"));
    }
    place.vault.remove(namespace::SUBJECT, "alice").unwrap();
    assert!(
        matches!(controller.personal(index).unwrap(), Personal::Erased(names) if names.contains(&"name".to_owned()))
    );
}

#[test]
fn a_closed_log_says_so() {
    let place = Place::new();
    let controller = place.found();
    let other = controller.clone();
    controller.close().unwrap();
    assert!(matches!(other.submit_and_wait(refuse("1.2.3.4")), Err(SubmitError::Closed)));
}

#[test]
fn another_key_does_not_open_it() {
    let place = Place::new();
    place.found().close().unwrap();
    place.vault.put(namespace::LOG_KEY, ORIGIN, &[8; 32]).unwrap();
    assert!(place.try_open().is_err());
    place.vault.remove(namespace::LOG_KEY, ORIGIN).unwrap();
    assert!(matches!(place.try_open(), Err(OpenError::NoKey(_))));
}

/// Prints how long a start takes: `RECORDS=1000000 cargo test --release -p daypass-control -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn start_time() {
    let records: u64 = std::env::var("RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let place = Place::new();
    let controller = place.found();
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let controller = &controller;
            scope.spawn(move || {
                for number in 0..records / 64 {
                    let command = refuse(&format!("10.0.{thread}.{number}"));
                    while let Err(error) = controller.submit_and_wait(command.clone()) {
                        assert!(matches!(error, SubmitError::Log(_) | SubmitError::Busy), "{error}");
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let size = controller.state().size();
    controller.close().unwrap();
    let timed = |what: &str| {
        let began = place.clock_now();
        let (controller, start) = place.open();
        println!(
            "{what}: {size} records, snapshot {:?}, {} ms",
            start.snapshot_size,
            place.clock_now() - began
        );
        drop(controller.close());
    };
    timed("with snapshot");
    fs::remove_file(place.folder().join("snapshot")).unwrap();
    timed("without snapshot");
}

impl Place {
    /// Milliseconds.
    #[expect(clippy::disallowed_methods, reason = "a measurement measures")]
    fn clock_now(&self) -> u128 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
    }
}

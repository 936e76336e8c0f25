//! The vault over real files.

use std::fs;

use daypass_vault::{MasterKey, NAME_LEN_MAX, SECRET_LEN_MAX, Vault, VaultError, namespace};

fn key(byte: u8) -> MasterKey {
    MasterKey::new([byte; 32])
}

#[test]
fn what_is_put_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = Vault::create(&path, key(1)).unwrap();
    vault.put(namespace::TARGET, "orders", b"{\"user\":\"app\"}").unwrap();
    vault.put_all(&[(namespace::PASSWORD, "bob", b"phc"), (namespace::TOTP, "bob", &[0, 255, 7])]).unwrap();
    vault.put(namespace::PASSWORD, "bob", b"phc2").unwrap();
    assert!(vault.remove(namespace::TARGET, "orders").unwrap());
    assert!(!vault.remove(namespace::TARGET, "orders").unwrap());
    drop(vault);
    let vault = Vault::open(&path, key(1)).unwrap();
    assert!(vault.get(namespace::TARGET, "orders").is_none());
    assert_eq!(vault.get(namespace::PASSWORD, "bob").unwrap().expose(), b"phc2");
    assert_eq!(vault.get(namespace::TOTP, "bob").unwrap().expose(), &[0, 255, 7]);
    assert_eq!(vault.names(namespace::TOTP), ["bob"]);
}

#[test]
fn a_vault_is_never_made_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    Vault::create(&path, key(1)).unwrap();
    assert!(matches!(Vault::create(&path, key(2)), Err(VaultError::Exists(_))));
    Vault::open(&path, key(1)).unwrap();
}

#[test]
fn another_key_or_any_changed_byte_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    Vault::create(&path, key(1)).unwrap().put(namespace::TARGET, "a", b"b").unwrap();
    assert!(matches!(Vault::open(&path, key(2)), Err(VaultError::WrongKeyOrDamaged(_))));
    let sound = fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).unwrap();
        let error = Vault::open(&path, key(1)).unwrap_err();
        assert!(
            matches!(error, VaultError::WrongKeyOrDamaged(_) | VaultError::NotAVault(_)),
            "byte {at}: {error}"
        );
    }
    for len in 0..sound.len() {
        fs::write(&path, &sound[..len]).unwrap();
        Vault::open(&path, key(1)).unwrap_err();
    }
    fs::write(&path, &sound).unwrap();
    Vault::open(&path, key(1)).unwrap();
}

#[test]
fn nothing_is_readable_on_disk_or_in_debug() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = Vault::create(&path, key(1)).unwrap();
    vault.put(namespace::TARGET, "orders", b"hunter2hunter2").unwrap();
    let bytes = fs::read(&path).unwrap();
    for hidden in [&b"hunter2"[..], b"orders", hex::encode("hunter2").as_bytes()] {
        assert!(!bytes.windows(hidden.len()).any(|window| window == hidden));
    }
    let secret = vault.get(namespace::TARGET, "orders").unwrap();
    assert!(!format!("{vault:?} {secret:?}").contains("hunter2"));
}

#[cfg(unix)]
#[test]
fn the_file_is_private_and_no_temporary_one_stays() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    Vault::create(&path, key(1)).unwrap().put(namespace::TARGET, "a", b"b").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_subject_key_is_made_once_and_gone_when_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = Vault::create(&path, key(1)).unwrap();
    assert!(vault.subject_key_if_any("bob").is_none());
    let made = vault.subject_key("bob").unwrap().0;
    assert_eq!(vault.subject_key("bob").unwrap().0, made);
    assert_ne!(vault.subject_key("eve").unwrap().0, made);
    assert_eq!(Vault::open(&path, key(1)).unwrap().subject_key_if_any("bob").unwrap().0, made);
    assert!(vault.remove(namespace::SUBJECT, "bob").unwrap());
    assert!(vault.subject_key_if_any("bob").is_none());
}

#[test]
fn limits_hold_and_a_refused_batch_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::create(&dir.path().join("vault"), key(1)).unwrap();
    let long = "n".repeat(NAME_LEN_MAX + 1);
    let large = vec![0; SECRET_LEN_MAX + 1];
    for (namespace, name, secret) in
        [("", "n", &b"s"[..]), ("s", "", b"s"), ("s", &long, b"s"), ("s", "n", &large)]
    {
        let refused = vault.put_all(&[("s", "sound", b"s"), (namespace, name, secret)]);
        assert!(matches!(refused, Err(VaultError::OutOfBounds(_))));
    }
    assert!(vault.get("s", "sound").is_none());
}

#[test]
fn a_disk_that_refuses_leaves_the_vault_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder").join("vault");
    fs::create_dir(dir.path().join("folder")).unwrap();
    let vault = Vault::create(&path, key(1)).unwrap();
    vault.put("s", "n", b"old").unwrap();
    fs::rename(dir.path().join("folder"), dir.path().join("gone")).unwrap();
    assert!(matches!(vault.put("s", "n", b"new"), Err(VaultError::Io { .. })));
    assert_eq!(vault.get("s", "n").unwrap().expose(), b"old");
}

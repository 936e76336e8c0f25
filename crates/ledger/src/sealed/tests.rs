use proptest::prelude::*;

use super::*;

fn sealer(key: u8) -> Sealer {
    Sealer::new("bob", &SubjectKey([key; 32])).unwrap()
}

fn fresh(seed: u8) -> Fresh {
    Fresh::new([seed; 56])
}

fn leaf(sealed: &Sealed<'_>) -> Vec<u8> {
    let mut leaf = br#"{"v":1,"kind":"x","sealed":"#.to_vec();
    sealed.write_json(&mut leaf);
    leaf.push(b'}');
    leaf
}

/// The vectors of the C2SP XAES-256-GCM document; the second has the other branch of the subkey derivation.
#[test]
fn cipher_is_xaes_256_gcm() {
    let vectors: [(u8, &[u8], &str); 2] = [
        (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ];
    for (key, aad, expected) in vectors {
        let (cipher, nonce) = sealer(key).event_cipher(b"ABCDEFGHIJKLMNOPQRSTUVWX");
        let mut bytes = b"XAES-256-GCM".to_vec();
        encrypt_tail(&cipher, nonce, aad, &mut bytes, 0).unwrap();
        assert_eq!(hex::encode(&bytes), expected);
    }
}

#[test]
fn commitment_is_hmac_of_version_id_length_value() {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[9; 32]).unwrap();
    mac.update(b"\x01text\0\0\0\0\0\0\0\x03abc");
    assert_eq!(commitment("text", &[9; 32], b"abc").0, <[u8; 32]>::from(mac.finalize().into_bytes()));
}

#[test]
fn opens_what_it_sealed() {
    let sealed = sealer(1).seal(&[("text", b"SELECT 1"), ("params", b"")], fresh(2)).unwrap();
    let json = sealed_in(&leaf(&sealed)).unwrap().unwrap();
    assert_eq!(json, sealed.to_json());
    assert_eq!(serde_json::to_vec(&json).unwrap(), leaf(&sealed)[27..leaf(&sealed).len() - 1]);
    let fields = sealer(1).open(&json, &sealed.sidecar).unwrap();
    assert_eq!(fields[0].value, b"SELECT 1");
    assert_eq!((fields[1].id.as_str(), fields[1].value.as_slice()), ("params", &b""[..]));
    assert!(verify_commitment("text", &fields[0].salt, b"SELECT 1", &json.commitment("text").unwrap()));
    assert!(!verify_commitment("text", &fields[0].salt, b"SELECT 2", &json.commitment("text").unwrap()));
    assert!(!verify_commitment("text", &fields[1].salt, b"SELECT 1", &json.commitment("text").unwrap()));
    assert_ne!(fields[0].salt, fields[1].salt);
}

#[test]
fn equal_values_do_not_look_equal() {
    let one = sealer(1).seal(&[("a", b"same"), ("b", b"same")], fresh(2)).unwrap();
    let two = sealer(1).seal(&[("a", b"same")], fresh(3)).unwrap();
    assert_ne!(one.commitments()[0].1, one.commitments()[1].1);
    assert_ne!(one.commitments()[0].1, two.commitments()[0].1);
}

#[test]
fn another_key_subject_or_leaf_does_not_open() {
    let sealed = sealer(1).seal(&[("text", b"x")], fresh(2)).unwrap();
    let json = sealed.to_json();
    assert_eq!(sealer(2).open(&json, &sealed.sidecar), Err(OpenError::Key));
    let eve = Sealer::new("eve", &SubjectKey([1; 32])).unwrap();
    assert_eq!(eve.open(&json, &sealed.sidecar), Err(OpenError::Subject));
    let mut as_eve = json.clone();
    as_eve.subject = "eve".into();
    assert_eq!(eve.open(&as_eve, &sealed.sidecar), Err(OpenError::Key));
    let mut other = json.clone();
    other.fields[0].1 = Hash([0; 32]);
    assert_eq!(sealer(1).open(&other, &sealed.sidecar), Err(OpenError::Commitment));
    let mut fewer = json;
    fewer.fields.clear();
    assert_eq!(sealer(1).open(&fewer, &sealed.sidecar), Err(OpenError::Commitment));
}

#[test]
fn every_flipped_byte_of_a_sidecar_is_noticed() {
    let sealed = sealer(1).seal(&[("text", b"some text"), ("params", b"p")], fresh(2)).unwrap();
    for at in 0..sealed.sidecar.len() {
        let mut bad = sealed.sidecar.clone();
        bad[at] ^= 1;
        assert_eq!(sealer(1).open(&sealed.to_json(), &bad), Err(OpenError::Changed));
        // Also by one who can change the leaf's hash, but does not hold the key.
        let mut json = sealed.to_json();
        json.sha256 = Hash(Sha256::digest(&bad).into());
        let expected = if at == 0 { OpenError::Version } else { OpenError::Key };
        assert_eq!(sealer(1).open(&json, &bad), Err(expected), "byte {at}");
        json.sha256 = Hash(Sha256::digest(&bad[..at]).into());
        assert!(sealer(1).open(&json, &bad[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn refuses_malformed_fields() {
    let seal = |fields: &[(&'static str, &[u8])]| sealer(1).seal(fields, fresh(2)).map(drop);
    assert_eq!(seal(&[]), Err(SealError::Count));
    assert_eq!(seal(&[("Text", b"")]), Err(SealError::Id("Text".into())));
    assert_eq!(seal(&[("", b"")]), Err(SealError::Id(String::new())));
    assert_eq!(seal(&[("a", b""), ("b", b""), ("a", b"")]), Err(SealError::Id("a".into())));
    assert_eq!(seal(&[("a", &vec![0; VALUE_LEN_MAX + 1])]), Err(SealError::Length));
    assert_eq!(seal(&[("a", &vec![0; VALUE_LEN_MAX]), ("b", &[0; 1000])]), Err(SealError::Length));
    for subject in ["", "bob smith", "bob\"", "b\\ob", "bób", &"b".repeat(129)] {
        assert!(Sealer::new(subject, &SubjectKey([1; 32])).is_err(), "{subject}");
    }
}

#[test]
fn finds_the_member_only_at_the_end() {
    for leaf in [r#"{"v":1}"#, r#"{"v":1,"a":{"b":{}}}"#, r#"{"v":1,"text":",\"sealed\":{}}}"#, r#"{}"#, ""] {
        assert_eq!(sealed_in(leaf.as_bytes()).unwrap(), None, "{leaf}");
    }
    let zeros = "0".repeat(64);
    let good =
        format!(r#"{{"v":1,"sealed":{{"subject":"bob","sha256":"{zeros}","fields":{{"a":"{zeros}"}}}}}}"#);
    assert!(sealed_in(good.as_bytes()).unwrap().is_some());
    for bad in [
        good.replace("bob", "b b"),
        good.replace("\"a\":", "\"A\":"),
        good.replace("\"a\":", &format!("\"a\":\"{zeros}\",\"a\":")),
        good.replace("\"fields\"", "\"x\":1,\"fields\""),
        good.replace("\"subject\":\"bob\",", ""),
    ] {
        assert!(sealed_in(bad.as_bytes()).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_values_come_back(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..8),
        random in any::<[u8; 32]>(),
    ) {
        let ids: Vec<String> = (0..values.len()).map(|n| format!("f{n}")).collect();
        let fields: Vec<_> = ids.iter().map(String::as_str).zip(values.iter().map(Vec::as_slice)).collect();
        let mut bytes = [7; 56];
        bytes[..32].copy_from_slice(&random);
        let sealed = sealer(1).seal(&fields, Fresh::new(bytes)).unwrap();
        let json = sealed_in(&leaf(&sealed)).unwrap().unwrap();
        let opened = sealer(1).open(&json, &sealed.sidecar).unwrap();
        let opened: Vec<_> = opened.iter().map(|field| (field.id.as_str(), field.value.as_slice())).collect();
        prop_assert_eq!(opened, fields);
    }
}

use super::*;
use crate::{
    note::{SignatureLine, Signer, cosigned_message},
    tree::EMPTY_ROOT,
};

fn signer(name: &str) -> Signer {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    Signer::new(name, &seed).unwrap()
}

fn witness_key(name: &str) -> VerifierKey {
    signer(name).verifier_key().as_cosigner()
}

/// The specification's example.
fn text() -> String {
    let witness = |name: &str| format!("witness {name} {}\n", witness_key(name));
    let witnesses: String = ["X1", "X2", "X3", "Y1", "Y2", "Y3"].map(witness).concat();
    format!(
        "# an example\nlog {} https://log.example/\n{witnesses}\ngroup X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1\tY2 Y3\n\
         group X-and-Y all X-witnesses Y-witnesses\n  quorum X-and-Y\n",
        signer("example.com/log").verifier_key()
    )
}

fn checkpoint(witnesses: &[&str]) -> Vec<u8> {
    let log = signer("example.com/log");
    let mut bytes = log.checkpoint(&log.sign_head(0, EMPTY_ROOT));
    let text = Note::parse(&bytes).unwrap().text().to_owned();
    for name in witnesses {
        let mut signature = 5u64.to_be_bytes().to_vec();
        signature.extend(signer(name).sign(cosigned_message(5, &text).as_bytes()));
        let line =
            SignatureLine { name: (*name).to_owned(), key_id: witness_key(name).key_id(), bytes: signature };
        bytes.extend(line.to_string().into_bytes());
    }
    bytes
}

#[test]
fn quorum_of_groups() {
    let policy = Policy::parse(&text()).unwrap();
    assert_eq!(policy.witnesses().count(), 6);
    assert_eq!(policy.log("example.com/log").unwrap().url.as_deref(), Some("https://log.example/"));
    for enough in [&["X1", "X2", "Y1"][..], &["X3", "Y3", "X2", "Y2"], &["X1", "X2", "X3", "Y1", "Y2", "Y3"]]
    {
        assert_eq!(policy.open(&checkpoint(enough)).unwrap().size, 0, "{enough:?}");
    }
    for too_few in [&[][..], &["X1", "X2"], &["X1", "Y1", "Y2"], &["Y1", "Y2", "Y3"], &["X1", "X1", "Y1"]] {
        let error = policy.open(&checkpoint(too_few)).unwrap_err();
        assert!(matches!(error, UntrustedCheckpoint::Quorum { .. }), "{too_few:?}");
    }
    let error = policy.open(&checkpoint(&["X1", "X2"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the quorum `X-and-Y` is not reached: no cosignature of `X3`, `Y1`, `Y2`, `Y3`"
    );
}

#[test]
fn a_wrong_cosignature_is_an_error_although_others_suffice() {
    let mut bytes = checkpoint(&["X1", "X2", "Y1"]);
    let line = SignatureLine { name: "X3".into(), key_id: witness_key("X3").key_id(), bytes: vec![0; 72] };
    bytes.extend(line.to_string().into_bytes());
    let error = Policy::parse(&text()).unwrap().open(&bytes).unwrap_err();
    assert!(matches!(error, UntrustedCheckpoint::Witness { name, .. } if name == "X3"));
}

#[test]
fn no_quorum_and_unknown_log() {
    let key = signer("example.com/log").verifier_key();
    let policy = Policy::parse(&format!("log {key}\nquorum none")).unwrap();
    assert!(policy.open(&checkpoint(&[])).is_ok());
    let policy = Policy::parse("quorum none\n").unwrap();
    let error = policy.open(&checkpoint(&[])).unwrap_err();
    assert_eq!(error, UntrustedCheckpoint::UnknownLog("example.com/log".into()));
}

#[test]
fn a_log_key_does_not_cosign() {
    let bad = text().replace(&witness_key("X1").to_string(), &signer("X1").verifier_key().to_string());
    assert!(matches!(Policy::parse(&bad).unwrap_err().problem(), PolicyProblem::Form(_)));
}

#[test]
fn malformed_policies() {
    let good = text();
    let x1 = witness_key("X1").to_string();
    for (bad, line) in [
        (good.replace("quorum X-and-Y", ""), 14),
        (good.replace("quorum X-and-Y", "quorum Z"), 13),
        (good.replace("quorum X-and-Y", "quorum X1\nquorum X1"), 14),
        (good.replace("group X-witnesses 2", "group X-witnesses 4"), 10),
        (good.replace("group X-witnesses 2", "group X-witnesses 0"), 10),
        (good.replace("X1 X2 X3", "X1 X1 X3"), 10),
        (good.replace("X1 X2 X3", ""), 10),
        (good.replace("X1 X2 X3", "X1 none X3"), 10),
        (good.replace("any Y1\tY2 Y3", "any Y1 X2"), 11),
        (good.replace("witness X2", "witness X1"), 4),
        (good.replace("witness X2", "witness none"), 4),
        (good.replace("witness X2", &format!("witness X9 {x1}\nwitness X2")), 4),
        (good.replace("# an example", "something else"), 1),
        (good.replace("https://log.example/", "https://log.example/ more"), 2),
        (good.replace("# an example", "# a\x07"), 1),
        (
            good.replace(
                "log.example/\n",
                &format!("log.example/\nlog {}\n", signer("example.com/log").verifier_key()),
            ),
            3,
        ),
    ] {
        let error = Policy::parse(&bad).unwrap_err();
        assert_eq!(error.line(), line, "{error}\n{bad}");
    }
}

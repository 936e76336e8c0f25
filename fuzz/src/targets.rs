//! What is done with hostile bytes, one function for each decoder. Shared by the fuzz targets (nightly) and the smoke test of
//! `crates/pg` (stable). A target fails by a panic: an assertion here, or an overflow or slice error in the decoder.

use std::sync::Arc;

use bytes::BytesMut;
use daypass_pg::classify::{Classifier, Dialect, NOT_UNDERSTOOD, classify as classify_text};
use daypass_pg::error::Told;
use daypass_pg::estimate;
use daypass_pg::frame::{self, HEADER_LEN, Side};
use daypass_pg::login_back::{Channel, Login, LoginBack, Step};
use daypass_pg::message::{Back, Front};
use daypass_pg::redact;
use daypass_pg::scram::ScramKeys;
use daypass_pg::startup::{self, Startup, Version};
use zeroize::Zeroizing;

/// Takes any bytes, and panics at a fault.
pub type Target = fn(&[u8]);

/// Name and function of every target. Seeds stand in `fuzz/corpus/<name>/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", frames),
    ("startup", startup),
    ("front", front),
    ("back", back),
    ("login", login),
    ("classify", classify),
    ("redact", redact),
    ("estimate", estimate),
];

/// Cuts a stream into frames.
pub fn frames(data: &[u8]) {
    for side in [Side::Front, Side::Back, Side::Login] {
        let mut rest = data;
        while let Ok(Some((frame, len))) = frame::first(side, rest) {
            assert!(len >= HEADER_LEN && len <= rest.len() && frame.body.len() + HEADER_LEN == len);
            rest = &rest[len..];
        }
    }
}

/// Reads a startup packet, and writes it again.
pub fn startup(data: &[u8]) {
    let Ok(Some((startup, len))) = startup::parse(data) else { return };
    assert!(len <= data.len());
    let mut again = BytesMut::new();
    match &startup {
        Startup::Ssl => startup::ssl_request(&mut again),
        Startup::Cancel(key) => startup::cancel_request(&mut again, key),
        Startup::Start(start) => startup::startup_message(&mut again, start.version, &start.parameters),
        Startup::Gssenc => return,
    }
    assert_eq!(&again[..], &data[..len], "a packet has one form");
}

/// Decodes messages of a client.
pub fn front(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((frame, len))) = frame::first(Side::Front, rest) {
        match Front::parse(frame.tag, frame.body) {
            Ok(Front::Bind(bind)) => assert_eq!(bind.params().count(), bind.len()),
            Ok(Front::FunctionCall(call)) => assert!(call.arguments().count() <= usize::from(u16::MAX)),
            Ok(_) | Err(_) => {}
        }
        rest = &rest[len..];
    }
}

/// Decodes messages of a target.
pub fn back(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((frame, len))) = frame::first(Side::Back, rest) {
        if let Ok(Back::CommandComplete(tag)) = Back::parse(frame.tag, frame.body) {
            assert!(tag.verb().len() <= tag.0.len());
            assert!(tag.rows().is_none() || !tag.0.is_empty());
        }
        let _told = Told::parse(frame.tag, frame.body);
        rest = &rest[len..];
    }
}

/// Logs in to a target that says anything. It must not get in without a verdict, nor see the password in clear.
pub fn login(data: &[u8]) {
    const PASSWORD: &[u8] = b"correct horse battery";
    let mut out = BytesMut::new();
    let login = Login {
        user: b"app".to_vec(),
        database: b"db".to_vec(),
        parameters: Vec::new(),
        password: Some(Zeroizing::new(PASSWORD.to_vec())),
        channel: Channel::Plain,
        nonce: [7; 18],
        version: Version::V3_2,
    };
    let mut machine = LoginBack::start(login, Arc::new(ScramKeys::new()), &mut out);
    let mut rest = data;
    let mut approved = false;
    while let Ok(Some((frame, len))) = frame::first(Side::Back, rest) {
        // A million rounds is what is allowed; a fuzzer has no time for them.
        if frame.body.windows(3).any(|w| w == b",i=") && frame.body.len() > 80 {
            return;
        }
        let step = machine.receive(frame.tag, frame.body, &mut out);
        assert!(!out.windows(PASSWORD.len()).any(|w| w == PASSWORD), "never in clear without TLS");
        approved |= frame.tag == b'R' && frame.body.starts_with(&[0, 0, 0, 0]);
        match step {
            Ok(Step::Going) => {}
            Ok(Step::Done(_)) => {
                assert!(approved);
                return;
            }
            Err(_) => return,
        }
        rest = &rest[len..];
    }
}

/// Classifies a text: fresh, remembered, and as other sessions would read it.
pub fn classify(data: &[u8]) {
    let fresh = classify_text(data, Dialect::default());
    assert!(!fresh.action.classes.is_empty());
    assert!(fresh.trouble.is_none() || fresh.action == NOT_UNDERSTOOD);
    assert!(!fresh.action.pure_read || fresh.action.risks.is_empty());
    let mut classifier = Classifier::new();
    assert_eq!(*classifier.classify(data), fresh);
    assert_eq!(*classifier.classify(data), fresh);
    // Another number in the same place: the same class, unless the text does not parse with it.
    let other: Vec<u8> = data.iter().map(|&b| if b == b'7' { b'8' } else { b }).collect();
    let other_fresh = classify_text(&other, Dialect::default());
    if other_fresh.trouble.is_none() {
        assert_eq!(*classifier.classify(&other), other_fresh);
    }
    let mut dialect = Dialect::default();
    dialect.announced(b"standard_conforming_strings", b"off");
    dialect.announced(b"client_encoding", b"LATIN1");
    let _other_reading = classify_text(data, dialect);
}

/// Redacts a text; a password put behind it by a whole statement does not stay.
pub fn redact(data: &[u8]) {
    let needed = redact::is_needed(data);
    assert_eq!(needed, redact::text(data) != data);
    let mut sql = b"ALTER ROLE x PASSWORD 'zq0zq1zq2'; ".to_vec();
    sql.extend_from_slice(data);
    let redacted = redact::text(&sql);
    assert!(redacted.starts_with(b"ALTER ROLE x PASSWORD '[redacted]'; "));
}

/// Reads the answer to an EXPLAIN.
pub fn estimate(data: &[u8]) {
    let _answer = (estimate::rows(data), estimate::explain(data));
}

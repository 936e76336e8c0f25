//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, client side (RFC 5802, RFC 7677, `tls-server-end-point` of RFC 5929).
//!
//! Written here because the salted keys are kept: 4096 rounds of HMAC for every new connection would cost more than the
//! whole handshake. The nonce comes in as a value.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::violation::LoginViolation;

/// Most rounds this side computes for a target; PostgreSQL's default is 4096.
pub const ROUNDS_MAX: u32 = 1_000_000;

/// Most salted keys kept. Each is 64 bytes and belongs to one role of one target.
const KEYS_MAX: usize = 1024;

/// Salted keys of logins that succeeded, by user, password, salt and rounds. Shared by all connections.
#[derive(Default)]
pub struct ScramKeys {
    keys: Mutex<HashMap<[u8; 32], Keys>>,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys").finish_non_exhaustive()
    }
}

impl ScramKeys {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, name: &[u8; 32]) -> Option<Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn keep(&self, name: [u8; 32], keys: Keys) {
        let mut map = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= KEYS_MAX {
            map.clear();
        }
        map.insert(name, keys);
    }
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Keys {
    client: [u8; 32],
    server: [u8; 32],
}

/// How the TLS channel below is known to both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// No TLS, or a certificate whose hash cannot be told.
    Unsupported,
    /// TLS; the hash of the target's certificate.
    EndPoint(Vec<u8>),
}

/// A SCRAM exchange, waiting for the server's first message.
pub struct First<'a> {
    keys: &'a ScramKeys,
    user: &'a [u8],
    password: &'a [u8],
    gs2: &'static str,
    binding: Vec<u8>,
    bare: String,
    nonce: String,
}

impl fmt::Debug for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("First").finish_non_exhaustive()
    }
}

/// A SCRAM exchange, waiting for the server to prove itself.
pub struct Last {
    name: [u8; 32],
    derived: Keys,
    signature: [u8; 32],
}

impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").finish_non_exhaustive()
    }
}

/// The mechanism to use of those offered (names, each ended by a zero byte): PLUS whenever both sides can.
///
/// # Errors
/// [`LoginViolation::Mechanism`] when none of ours is offered.
pub fn choose(offered: &[u8], binding: &Binding) -> Result<Mechanism, LoginViolation> {
    let has = |name: &[u8]| offered.split(|&b| b == 0).any(|offer| offer == name);
    match binding {
        Binding::EndPoint(_) if has(Mechanism::Plus.name()) => Ok(Mechanism::Plus),
        Binding::EndPoint(_) | Binding::Unsupported if has(Mechanism::Plain.name()) => Ok(Mechanism::Plain),
        Binding::EndPoint(_) | Binding::Unsupported => Err(LoginViolation::Mechanism),
    }
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    Plain,
    /// SCRAM-SHA-256-PLUS: bound to the TLS channel.
    Plus,
}

impl Mechanism {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Plain => b"SCRAM-SHA-256",
            Self::Plus => b"SCRAM-SHA-256-PLUS",
        }
    }
}

impl<'a> First<'a> {
    /// Begins an exchange. `nonce` must be fresh and unpredictable.
    #[must_use]
    pub fn new(
        keys: &'a ScramKeys,
        (user, password): (&'a [u8], &'a [u8]),
        mechanism: Mechanism,
        binding: &Binding,
        nonce: &[u8; 18],
    ) -> Self {
        // SECURITY: with TLS but without PLUS offered we say "y": a man in the middle who removed PLUS is then noticed.
        let (gs2, data): (_, &[u8]) = match (mechanism, binding) {
            (Mechanism::Plus, Binding::EndPoint(hash)) => ("p=tls-server-end-point,,", hash),
            (Mechanism::Plain, Binding::EndPoint(_)) => ("y,,", b""),
            (Mechanism::Plain | Mechanism::Plus, Binding::Unsupported) => ("n,,", b""),
        };
        let nonce = STANDARD.encode(nonce);
        let bare = format!("n=,r={nonce}");
        Self { keys, user, password, gs2, binding: data.to_vec(), bare, nonce }
    }

    /// The client's first message.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{}{}", self.gs2, self.bare)
    }

    /// Takes the server's first message; gives the client's last message.
    ///
    /// # Errors
    /// [`LoginViolation`] when the message is malformed, the nonce is not an extension of ours, or the rounds too many.
    pub fn challenge(self, message: &[u8]) -> Result<(Last, String), LoginViolation> {
        let text = std::str::from_utf8(message).map_err(|_| LoginViolation::Scram)?;
        let mut fields = text.split(',');
        let mut field =
            |name: &str| fields.next().and_then(|f| f.strip_prefix(name)).ok_or(LoginViolation::Scram);
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(LoginViolation::Nonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_| LoginViolation::Scram)?;
        let rounds: u32 = rounds.parse().map_err(|_| LoginViolation::Scram)?;
        if rounds == 0 || rounds > ROUNDS_MAX {
            return Err(LoginViolation::Rounds(rounds));
        }
        let name = name_of(self.user, self.password, &salt, rounds);
        let derived = self.keys.find(&name).unwrap_or_else(|| derive(self.password, &salt, rounds));

        let bound = STANDARD.encode([self.gs2.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={bound},r={nonce}");
        let signed = format!("{},{text},{without_proof}", self.bare);
        let stored: [u8; 32] = Sha256::digest(derived.client).into();
        let mut proof = hmac(&stored, &[signed.as_bytes()]);
        proof.iter_mut().zip(derived.client).for_each(|(p, key)| *p ^= key);
        let signature = hmac(&derived.server, &[signed.as_bytes()]);
        let answer = format!("{without_proof},p={}", STANDARD.encode(proof));
        Ok((Last { name, derived, signature }, answer))
    }
}

impl Last {
    /// Takes the server's last message: its proof that it knows the password. Only then the salted keys are kept.
    ///
    /// # Errors
    /// [`LoginViolation::ServerProof`] when it does not know it, [`LoginViolation::Scram`] when malformed.
    pub fn verify(self, message: &[u8], keys: &ScramKeys) -> Result<(), LoginViolation> {
        let text = std::str::from_utf8(message).map_err(|_| LoginViolation::Scram)?;
        let proof = text.split(',').next().and_then(|f| f.strip_prefix("v=")).ok_or(LoginViolation::Scram)?;
        let proof = STANDARD.decode(proof).map_err(|_| LoginViolation::Scram)?;
        if !bool::from(proof.ct_eq(&self.signature)) {
            return Err(LoginViolation::ServerProof);
        }
        keys.keep(self.name, self.derived.clone());
        Ok(())
    }
}

/// The name a derivation is kept under; the password is part of it, so that a changed one never meets an old key.
fn name_of(user: &[u8], password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [user, password, salt, &rounds.to_be_bytes()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn derive(password: &[u8], salt: &[u8], rounds: u32) -> Keys {
    let password = normalized(password);
    // One keyed HMAC, cloned for each round: the key blocks are hashed once.
    let keyed = keyed(&password);
    let mut mac = keyed.clone();
    mac.update(salt);
    mac.update(&1_u32.to_be_bytes());
    let mut block: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
    let mut salted = block.clone();
    for _ in 1..rounds {
        let mut mac = keyed.clone();
        mac.update(&*block);
        *block = mac.finalize().into_bytes().into();
        salted.iter_mut().zip(block.iter()).for_each(|(s, b)| *s ^= b);
    }
    Keys { client: hmac(&*salted, &[b"Client Key"]), server: hmac(&*salted, &[b"Server Key"]) }
}

/// SASLprep, or the bytes as they are when it does not apply: as the server does.
fn normalized(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password).ok().and_then(|p| stringprep::saslprep(p).ok());
    Zeroizing::new(prepared.map_or_else(|| password.to_vec(), |p| p.into_owned().into_bytes()))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key of any length is valid; the fixed-size way in cannot fail.
    let mut block = Zeroizing::new([0_u8; 64]);
    let hashed: [u8; 32];
    let key = if key.len() > 64 {
        hashed = Sha256::digest(key).into();
        &hashed[..]
    } else {
        key
    };
    block.iter_mut().zip(key).for_each(|(b, k)| *b = *k);
    Hmac::<Sha256>::new(&(*block).into())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3, with its nonce put in place.
    #[test]
    fn the_rfc_exchange_holds() {
        let keys = ScramKeys::new();
        for round in 0..2 {
            let mut first =
                First::new(&keys, (b"user", b"pencil"), Mechanism::Plain, &Binding::Unsupported, &[0; 18]);
            first.nonce = "rOprNGfwEbeRWgbNEkqO".into();
            first.bare = "n=user,r=rOprNGfwEbeRWgbNEkqO".into();
            let challenge =
                b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            let (last, answer) = first.challenge(challenge).unwrap();
            assert_eq!(
                answer,
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            );
            last.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", &keys).unwrap();
            assert_eq!(keys.keys.lock().unwrap().len(), 1, "round {round}");
        }
    }

    #[test]
    fn a_server_without_the_password_is_noticed_and_nothing_is_kept() {
        let keys = ScramKeys::new();
        let first = First::new(&keys, (b"u", b"p"), Mechanism::Plain, &Binding::Unsupported, &[7; 18]);
        let challenge = format!("r={}x,s=AAAA,i=1", first.nonce);
        let (last, _) = first.challenge(challenge.as_bytes()).unwrap();
        let forged = format!("v={}", STANDARD.encode([0; 32]));
        assert_eq!(last.verify(forged.as_bytes(), &keys), Err(LoginViolation::ServerProof));
        assert!(keys.keys.lock().unwrap().is_empty());
    }

    #[test]
    fn bad_challenges_are_named() {
        let keys = ScramKeys::new();
        let nonce = STANDARD.encode([7; 18]);
        let challenge = |text: String| {
            First::new(&keys, (b"u", b"p"), Mechanism::Plain, &Binding::Unsupported, &[7; 18])
                .challenge(text.as_bytes())
                .map(|_| ())
        };
        assert_eq!(challenge(format!("r={nonce},s=AAAA,i=1")), Err(LoginViolation::Nonce));
        assert_eq!(challenge("r=x,s=AAAA,i=1".into()), Err(LoginViolation::Nonce));
        assert_eq!(challenge(format!("r={nonce}x,s=AAAA,i=0")), Err(LoginViolation::Rounds(0)));
        assert_eq!(challenge(format!("r={nonce}x,s=AAAA,i=4000000")), Err(LoginViolation::Rounds(4_000_000)));
        assert_eq!(challenge(format!("r={nonce}x,s=!,i=1")), Err(LoginViolation::Scram));
        assert_eq!(challenge(String::new()), Err(LoginViolation::Scram));
    }

    #[test]
    fn the_channel_is_bound_whenever_both_can() {
        let both = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
        let bound = Binding::EndPoint(vec![1; 32]);
        assert_eq!(choose(both, &bound), Ok(Mechanism::Plus));
        assert_eq!(choose(both, &Binding::Unsupported), Ok(Mechanism::Plain));
        assert_eq!(choose(b"SCRAM-SHA-256\0\0", &bound), Ok(Mechanism::Plain));
        assert_eq!(choose(b"GS2-KRB5\0\0", &bound), Err(LoginViolation::Mechanism));
        let keys = ScramKeys::new();
        let first = First::new(&keys, (b"u", b"p"), Mechanism::Plain, &bound, &[7; 18]);
        assert!(first.message().starts_with("y,,n=,r="), "says that it could have bound the channel");
    }
}

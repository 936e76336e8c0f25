//! The second factor: TOTP (RFC 6238: SHA-1, 6 digits, 30 s, one step of skew), each code once.

use daypass_access::time::Micros;
use daypass_api::hidden::Hidden;
use daypass_vault::{Secret, Vault, namespace};
use rand::Rng;
use totp_rs::{Builder, Totp};

/// Seed length in bytes: 160 bits, as RFC 4226 recommends.
const SEED_LEN: usize = 20;
const STEP_S: u64 = 30;

/// The time step of `code` when it is right around `now`, by the seed in the vault.
///
/// SECURITY: a right code may have been used before. The step goes into the login's record, and the access core refuses
/// a step that is not later than the last one recorded: that is what makes a code work once, also across restarts.
#[must_use]
pub fn step(vault: &Vault, person: &str, code: &str, now: Micros) -> Option<u64> {
    let seed = vault.get(namespace::TOTP, person)?;
    totp(&seed)?.check(code, now.0 / 1_000_000)
}

/// A new second factor, to be shown once.
#[derive(Debug)]
pub struct NewFactor {
    /// The raw seed, for the vault.
    pub seed: Secret,
    /// Base32, for typing.
    pub base32: Hidden,
    /// `otpauth://`, for authenticators.
    pub url: Hidden,
}

/// Makes a seed for `person`.
#[must_use]
pub fn make(person: &str, issuer: &str) -> NewFactor {
    let mut seed = vec![0; SEED_LEN];
    rand::rng().fill_bytes(&mut seed);
    let base32 = base32(&seed);
    let label = url_text(person);
    let issuer = url_text(issuer);
    let url = format!("otpauth://totp/{issuer}:{label}?secret={base32}&issuer={issuer}");
    NewFactor { seed: Secret::new(seed), base32: Hidden(base32), url: Hidden(url) }
}

/// The code of `seed` at `now`: for tests and for the demo's people.
#[must_use]
pub fn code(seed: &[u8], now: Micros) -> Option<String> {
    let totp = totp(&Secret::new(seed.to_vec()))?;
    Some(totp.generate(now.0 / 1_000_000).to_string())
}

fn totp(seed: &Secret) -> Option<Totp> {
    let seed: [u8; SEED_LEN] = seed.expose().try_into().ok()?;
    let builder = Builder::new().with_digits(6).with_skew(1).with_step_duration(STEP_S);
    builder.with_secret(seed).build().ok()
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let digit = usize::try_from(held >> bits & 31).unwrap_or(0);
            text.extend(ALPHABET.get(digit).copied().map(char::from));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        let digit = usize::try_from(held << (5 - bits) & 31).unwrap_or(0);
        text.extend(ALPHABET.get(digit).copied().map(char::from));
    }
    text
}

fn url_text(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use daypass_vault::MasterKey;

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::create(&dir.path().join("vault"), MasterKey::new([1; 32])).unwrap();
        vault.put(namespace::TOTP, "bob", b"12345678901234567890").unwrap();
        (dir, vault)
    }

    #[test]
    fn rfc_6238_known_answers() {
        for (at_s, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(b"12345678901234567890", Micros(at_s * 1_000_000)).unwrap(), expected);
        }
    }

    #[test]
    fn a_code_belongs_to_its_step_and_its_neighbours() {
        let (_dir, vault) = vault();
        for (at_s, expected) in [(29, Some(1)), (59, Some(1)), (89, Some(1)), (90, None), (0, Some(1))] {
            assert_eq!(step(&vault, "bob", "287082", Micros(at_s * 1_000_000)), expected, "{at_s}");
        }
    }

    #[test]
    fn wrong_codes_and_unknown_people() {
        let (_dir, vault) = vault();
        for wrong in ["287083", "", "28708", "2870822", "abcdef", "２８７０８２"] {
            assert_eq!(step(&vault, "bob", wrong, Micros(59_000_000)), None, "{wrong}");
        }
        assert_eq!(step(&vault, "eve", "287082", Micros(59_000_000)), None);
    }

    #[test]
    fn base32_known_answers() {
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let made = make("bob b", "day pass");
        assert!(made.url.expose().starts_with("otpauth://totp/day%20pass:bob%20b?secret="));
        assert_eq!(made.base32.expose().len(), 32);
    }
}

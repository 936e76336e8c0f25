//! Passwords: argon2id, off the async threads, few at a time.
//!
//! One check costs 19 MiB and some 20 ms of a core by design, so whoever may ask for checks must wait in line: at most
//! [`AT_ONCE`] run, at most [`WAITING_MAX`] wait, the rest is told to come back.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use daypass_vault::Secret;
use tokio::sync::Semaphore;

/// Checks that run at once.
pub const AT_ONCE: usize = 2;
/// Checks that may wait.
pub const WAITING_MAX: usize = 64;
/// Shortest password that can be set, in characters.
pub const LEN_MIN: usize = 12;
/// Longest password, in bytes.
pub const LEN_MAX: usize = 256;

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Checks and makes password hashes; clones share the line.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// What a password is checked against when there is no such person, so that it takes as long.
    nobody: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// Why there was no check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Too many are waiting.
    Busy,
    /// The parameters or the random source failed.
    Broken,
}

impl Passwords {
    /// A new line. Hashes once, which takes some 20 ms.
    ///
    /// # Errors
    /// [`PasswordError::Broken`].
    pub fn new() -> Result<Self, PasswordError> {
        Ok(Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            nobody: hash(b"nobody has this password")?.into(),
        })
    }

    /// Whether `password` is the one behind `known`, a PHC string. Takes as long when `known` is `None`, and is false.
    ///
    /// # Errors
    /// [`PasswordError::Busy`].
    pub async fn check(&self, known: Option<Secret>, password: Secret) -> Result<bool, PasswordError> {
        let nobody = Arc::clone(&self.nobody);
        self.in_line(move || {
            let real = known.as_ref().and_then(Secret::expose_str);
            let matches = verify(real.unwrap_or(&nobody), password.expose());
            Ok(matches & real.is_some())
        })
        .await
    }

    /// Hashes a new password to a PHC string.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], or the random source failed.
    pub async fn hash(&self, password: Secret) -> Result<Secret, PasswordError> {
        self.in_line(move || hash(password.expose()).map(|phc| Secret::new(phc.into_bytes()))).await
    }

    async fn in_line<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        // The permit moves into the blocking task: a caller that goes away does not let another one start early.
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| PasswordError::Broken)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|_| PasswordError::Broken)?
    }
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| PasswordError::Broken)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let hashed = argon2()?.hash_password(password).map_err(|_| PasswordError::Broken)?;
    Ok(hashed.to_string())
}

fn verify(phc: &str, password: &[u8]) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    Argon2::default().verify_password(password, &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn only_the_password_opens() {
        let passwords = Passwords::new().unwrap();
        let known = passwords.hash(secret("correct horse battery")).await.unwrap();
        assert!(known.expose_str().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.check(Some(known.clone()), secret("correct horse battery")).await.unwrap());
        assert!(!passwords.check(Some(known), secret("correct horse batterz")).await.unwrap());
        assert!(!passwords.check(None, secret("nobody has this password")).await.unwrap());
        assert!(!passwords.check(Some(secret("no phc string")), secret("x")).await.unwrap());
    }

    #[tokio::test]
    async fn a_line_that_is_full_says_so_at_once() {
        let passwords = Passwords::new().unwrap();
        let _places = Arc::clone(&passwords.waiting).acquire_many_owned(64).await.unwrap();
        assert_eq!(passwords.check(None, secret("x")).await, Err(PasswordError::Busy));
    }
}

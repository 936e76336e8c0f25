//! Logs in to the target: StartupMessage to the first ReadyForQuery, with trust, password, md5 and SCRAM.
//!
//! Bytes in, bytes out. TLS is arranged before it starts; what is known of the channel comes in as [`Channel`].
//! The password never leaves this machine in a `Debug` text or an error.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::error::SqlState;
use crate::message::{Authentication, Back};
use crate::scram::{self, Binding, First, Mechanism, ScramKeys};
use crate::startup::{self, CancelKey, Version};
use crate::violation::{LoginViolation, Violation};
use crate::write;

/// Most settings a target may announce while logging in.
const PARAMETERS_MAX: usize = 256;

/// What protects the connection to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// TLS. The hash of the target's certificate for channel binding, where it can be told.
    Tls(Option<Vec<u8>>),
    /// Nothing, but it does not leave this machine.
    Local,
    /// Nothing. A password in clear is never sent here.
    Plain,
}

/// Who logs in where, and with what.
pub struct Login {
    /// Role at the target.
    pub user: Vec<u8>,
    /// Database at the target.
    pub database: Vec<u8>,
    /// Further parameters of the StartupMessage, such as `application_name`.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// The password, when one is kept.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// The channel below.
    pub channel: Channel,
    /// 18 fresh unpredictable bytes.
    pub nonce: [u8; 18],
    /// Protocol version to ask for.
    pub version: Version,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// What the target told at the end of a successful login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Key to cancel what the session runs; absent on targets that give none (some poolers).
    pub key: Option<CancelKey>,
    /// Settings announced, in order.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// The protocol version the target speaks.
    pub version: Version,
}

/// Where the login is after a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send what was written, wait for the next message.
    Going,
    /// Logged in; the target waits for the first command.
    Done(Welcome),
}

/// Why a login did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// The target broke the protocol, or asked for what this side will not do.
    Violation(Violation),
    /// The target refused. Its message may name the role: for operators, not for the client.
    Refused {
        /// The SQLSTATE.
        code: SqlState,
        /// The message, lossily decoded.
        message: String,
    },
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => violation.fmt(f),
            Self::Refused { code, message } => {
                write!(f, "target refused the login ({}): {message}", code.as_str())
            }
        }
    }
}

impl std::error::Error for LoginFailure {}

impl From<Violation> for LoginFailure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<LoginViolation> for LoginFailure {
    fn from(what: LoginViolation) -> Self {
        Self::Violation(Violation::Login(what))
    }
}

/// A login under way.
pub struct LoginBack {
    login: Login,
    keys: Arc<ScramKeys>,
    stage: Stage,
    welcome: Welcome,
}

impl fmt::Debug for LoginBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginBack").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Stage {
    /// Nothing asked yet.
    Asked,
    /// SCRAM: our first message is out.
    Challenge(Mechanism),
    /// SCRAM: our proof is out, the server has to prove itself.
    Proof(scram::Last),
    /// A secret was sent or the server has proved itself; only the verdict is missing.
    Verdict,
    /// Authenticated; settings, the key, then ReadyForQuery.
    Settings,
}

impl LoginBack {
    /// Starts a login and writes its first packet.
    #[must_use]
    pub fn start(login: Login, keys: Arc<ScramKeys>, out: &mut BytesMut) -> Self {
        let mut parameters: Vec<(&[u8], &[u8])> =
            vec![(b"user", &login.user), (b"database", &login.database)];
        parameters.extend(login.parameters.iter().map(|(name, value)| (&name[..], &value[..])));
        startup::startup_message(out, login.version, &parameters);
        let welcome = Welcome { key: None, parameters: Vec::new(), version: login.version };
        Self { login, keys, stage: Stage::Asked, welcome }
    }

    /// Takes one message of the target (see [`crate::frame::first`]) and writes the answer, if any.
    ///
    /// # Errors
    /// [`LoginFailure`]; the connection is then of no use.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a target sends, it is not login")]
    pub fn receive(&mut self, tag: u8, body: &[u8], out: &mut BytesMut) -> Result<Step, LoginFailure> {
        match Back::parse(tag, body)? {
            Back::Authentication(asked) => self.authenticate(asked, out)?,
            Back::ErrorResponse(told) => {
                let message = String::from_utf8_lossy(told.message).into_owned();
                return Err(LoginFailure::Refused { code: told.code, message });
            }
            Back::NoticeResponse(_) => {}
            Back::NegotiateProtocolVersion { newest } if matches!(self.stage, Stage::Asked) => {
                self.negotiate(newest)?;
            }
            Back::ParameterStatus { name, value } if matches!(self.stage, Stage::Settings) => {
                if self.welcome.parameters.len() < PARAMETERS_MAX {
                    self.welcome.parameters.push((name.to_vec(), value.to_vec()));
                }
            }
            Back::BackendKeyData(key) if matches!(self.stage, Stage::Settings) => {
                self.welcome.key = Some(key)
            }
            Back::ReadyForQuery(_) if matches!(self.stage, Stage::Settings) => {
                return Ok(Step::Done(self.welcome.clone()));
            }
            _ => return Err(Violation::Unexpected { tag, during: "login to the target" }.into()),
        }
        Ok(Step::Going)
    }

    fn negotiate(&mut self, newest: u32) -> Result<(), Violation> {
        let minor = u16::try_from(newest & 0xffff).unwrap_or_default();
        let version = self.login.version.negotiated(Version { major: 3, minor });
        self.welcome.version = version;
        Ok(())
    }

    fn authenticate(&mut self, asked: Authentication<'_>, out: &mut BytesMut) -> Result<(), LoginFailure> {
        let unexpected = Violation::Unexpected { tag: b'R', during: "login to the target" };
        let stage = std::mem::replace(&mut self.stage, Stage::Asked);
        self.stage = match (stage, asked) {
            // SECURITY: once SCRAM began, success without the server's proof is an impostor.
            (Stage::Challenge(_) | Stage::Proof(_), Authentication::Ok) => {
                return Err(LoginViolation::Unproven.into());
            }
            (Stage::Asked | Stage::Verdict, Authentication::Ok) => Stage::Settings,
            (Stage::Asked, Authentication::Cleartext) => {
                if self.login.channel == Channel::Plain {
                    return Err(LoginViolation::CleartextUnprotected.into());
                }
                write::password(out, self.password()?);
                Stage::Verdict
            }
            (Stage::Asked, Authentication::Md5(salt)) => {
                let password = self.password()?;
                let hash = postgres_protocol::authentication::md5_hash(&self.login.user, password, salt);
                write::password(out, Zeroizing::new(hash).as_bytes());
                Stage::Verdict
            }
            (Stage::Asked, Authentication::Sasl(offered)) => {
                let mechanism = scram::choose(offered, &self.binding())?;
                let first = self.first(mechanism)?.message();
                write::sasl_initial_response(out, mechanism.name(), first.as_bytes());
                Stage::Challenge(mechanism)
            }
            (Stage::Challenge(mechanism), Authentication::SaslContinue(challenge)) => {
                let (last, answer) = self.first(mechanism)?.challenge(challenge)?;
                write::sasl_response(out, answer.as_bytes());
                Stage::Proof(last)
            }
            (Stage::Proof(last), Authentication::SaslFinal(proof)) => {
                last.verify(proof, &self.keys)?;
                Stage::Verdict
            }
            (_, Authentication::Other(method)) => return Err(LoginViolation::Method(method).into()),
            (
                Stage::Asked | Stage::Challenge(_) | Stage::Proof(_) | Stage::Verdict | Stage::Settings,
                Authentication::Ok
                | Authentication::Cleartext
                | Authentication::Md5(_)
                | Authentication::Sasl(_)
                | Authentication::SaslContinue(_)
                | Authentication::SaslFinal(_),
            ) => return Err(unexpected.into()),
        };
        Ok(())
    }

    fn password(&self) -> Result<&[u8], LoginViolation> {
        self.login.password.as_ref().map(|p| p.as_slice()).ok_or(LoginViolation::NoPassword)
    }

    fn binding(&self) -> Binding {
        match &self.login.channel {
            Channel::Tls(Some(hash)) => Binding::EndPoint(hash.clone()),
            Channel::Tls(None) | Channel::Local | Channel::Plain => Binding::Unsupported,
        }
    }

    fn first(&self, mechanism: Mechanism) -> Result<First<'_>, LoginViolation> {
        let who = (&self.login.user[..], self.password()?);
        Ok(First::new(&self.keys, who, mechanism, &self.binding(), &self.login.nonce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(channel: Channel, password: Option<&str>) -> (LoginBack, BytesMut) {
        let mut out = BytesMut::new();
        let login = Login {
            user: b"app".to_vec(),
            database: b"orders".to_vec(),
            parameters: vec![(b"application_name".to_vec(), b"daypass:S-1".to_vec())],
            password: password.map(|p| Zeroizing::new(p.as_bytes().to_vec())),
            channel,
            nonce: [7; 18],
            version: Version::V3_2,
        };
        let machine = LoginBack::start(login, Arc::new(ScramKeys::new()), &mut out);
        out.clear();
        (machine, out)
    }

    #[test]
    fn trust_then_settings_then_done() {
        let (mut login, mut out) = login(Channel::Plain, None);
        assert_eq!(login.receive(b'v', &[0, 3, 0, 0, 0, 0, 0, 0], &mut out), Ok(Step::Going));
        assert_eq!(login.receive(b'R', &[0; 4], &mut out), Ok(Step::Going));
        assert_eq!(login.receive(b'S', b"server_version\x0015.4\0", &mut out), Ok(Step::Going));
        assert_eq!(login.receive(b'K', &[0, 0, 0, 9, 1, 2, 3, 4], &mut out), Ok(Step::Going));
        let welcome = Welcome {
            key: Some(CancelKey { process: 9, secret: vec![1, 2, 3, 4] }),
            parameters: vec![(b"server_version".to_vec(), b"15.4".to_vec())],
            version: Version::V3_0,
        };
        assert_eq!(login.receive(b'Z', b"I", &mut out), Ok(Step::Done(welcome)));
        assert!(out.is_empty());
    }

    #[test]
    fn a_password_is_not_sent_in_clear_over_an_open_network() {
        let (mut open, mut out) = login(Channel::Plain, Some("pw"));
        let refused = Err(LoginViolation::CleartextUnprotected.into());
        assert_eq!(open.receive(b'R', &[0, 0, 0, 3], &mut out), refused);
        assert!(out.is_empty());
        let (mut tls, mut out) = login(Channel::Tls(None), Some("pw"));
        assert_eq!(tls.receive(b'R', &[0, 0, 0, 3], &mut out), Ok(Step::Going));
        assert_eq!(&out[..], b"p\0\0\0\x07pw\0");
    }

    #[test]
    fn an_impostor_cannot_skip_its_proof() {
        let (mut login, mut out) = login(Channel::Plain, Some("pw"));
        let sasl = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
        assert_eq!(login.receive(b'R', sasl, &mut out), Ok(Step::Going));
        assert_eq!(login.receive(b'R', &[0; 4], &mut out), Err(LoginViolation::Unproven.into()));
    }

    #[test]
    fn settings_before_the_verdict_are_unexpected() {
        let (mut login, mut out) = login(Channel::Plain, Some("pw"));
        let unexpected = |tag| Err(Violation::Unexpected { tag, during: "login to the target" }.into());
        assert_eq!(login.receive(b'Z', b"I", &mut out), unexpected(b'Z'));
        assert_eq!(login.receive(b'K', &[0; 8], &mut out), unexpected(b'K'));
        assert_eq!(login.receive(b'D', &[0; 8], &mut out), unexpected(b'D'));
        assert_eq!(login.receive(b'R', &[0, 0, 0, 7], &mut out), Err(LoginViolation::Method(7).into()));
    }

    #[test]
    fn the_password_shows_nowhere() {
        let (mut login, mut out) = login(Channel::Local, Some("hunter2"));
        assert_eq!(login.receive(b'R', &[0, 0, 0, 5, 1, 2, 3, 4], &mut out), Ok(Step::Going));
        let shown = format!("{login:?} {:?}", login.login);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(out.starts_with(b"p\0\0\0\x28md5"));
    }
}

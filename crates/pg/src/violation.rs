//! What a peer can do wrong on the wire: a closed list, comparable in tests.

use std::fmt;

/// A peer broke the protocol. The connection it happened on cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A frame says it is shorter than its own header, or longer than its kind may be.
    FrameLength {
        /// Type byte of the frame, 0 for a startup packet.
        tag: u8,
        /// The length it states.
        stated: u32,
    },
    /// A startup packet that is no valid startup packet.
    Startup,
    /// A protocol version that is not 3.
    Version {
        /// The major version asked for.
        major: u16,
        /// The minor version asked for.
        minor: u16,
    },
    /// A body ends before what it says it holds, or holds more.
    Body {
        /// Type byte of the frame.
        tag: u8,
    },
    /// A message type the peer may not send at this point.
    Unexpected {
        /// Type byte of the frame.
        tag: u8,
        /// Where the machine was.
        during: &'static str,
    },
    /// A login exchange that does not hold together.
    Login(LoginViolation),
}

/// What can be wrong in a login exchange with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginViolation {
    /// It asks for a method this side does not speak (GSSAPI, SSPI, Kerberos).
    Method(u32),
    /// It offers no SASL mechanism this side speaks.
    Mechanism,
    /// Its SCRAM message is malformed.
    Scram,
    /// Its nonce does not extend ours.
    Nonce,
    /// It asks for more rounds than this side is willing to compute.
    Rounds(u32),
    /// It could not prove that it knows the password.
    ServerProof,
    /// It says the login succeeded before proving that it knows the password.
    Unproven,
    /// It asks for a password, and none is kept for this target.
    NoPassword,
    /// It asks for the password in clear or as md5 over a connection without TLS.
    CleartextUnprotected,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameLength { tag, stated } => {
                write!(f, "message of type `{}` states an impossible length of {stated}", tag.escape_ascii())
            }
            Self::Startup => f.write_str("invalid startup packet"),
            Self::Version { major, minor } => write!(f, "unsupported protocol version {major}.{minor}"),
            Self::Body { tag } => write!(f, "malformed message of type `{}`", tag.escape_ascii()),
            Self::Unexpected { tag, during } => {
                write!(f, "unexpected message of type `{}` during {during}", tag.escape_ascii())
            }
            Self::Login(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for LoginViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(code) => write!(f, "target asks for unsupported authentication method {code}"),
            Self::Mechanism => f.write_str("target offers no supported sasl mechanism"),
            Self::Scram => f.write_str("malformed scram message from the target"),
            Self::Nonce => f.write_str("scram nonce of the target does not extend ours"),
            Self::Rounds(rounds) => write!(f, "target asks for {rounds} scram iterations"),
            Self::ServerProof => f.write_str("target could not prove that it knows the password"),
            Self::Unproven => f.write_str("target skipped proving that it knows the password"),
            Self::NoPassword => f.write_str("target asks for a password and none is kept for it"),
            Self::CleartextUnprotected => f.write_str("target asks for the password unprotected"),
        }
    }
}

impl std::error::Error for Violation {}
impl std::error::Error for LoginViolation {}

impl From<LoginViolation> for Violation {
    fn from(what: LoginViolation) -> Self {
        Self::Login(what)
    }
}

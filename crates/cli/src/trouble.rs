//! Everything that can go wrong in a command. Facts only; the words are in `report`.

use std::io;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The control plane said no, or could not: its own words.
    Api(Refusal),
    /// Nothing answered at that address.
    Unreachable { url: String, source: String },
    /// Something answered that does not speak our API.
    BadAnswer { url: String, source: String },
    /// The certificate is not signed by the authority stored at login.
    Untrusted { url: String, source: String },
    /// No login is stored.
    NotLoggedIn,
    /// The stored login has run out.
    LoginEnded,
    /// A file or folder failed us.
    File { path: PathBuf, doing: &'static str, source: io::Error },
    /// What was typed does not fit.
    Input { what: String, hint: String },
    /// Something is not there.
    Missing { what: String, hint: String },
    /// A wait ended without what was waited for.
    Waited { what: String, hint: String },
    /// A request was decided against.
    TurnedDown { what: String, hint: String },
    /// A log or evidence is not what it should be. The findings were printed.
    NotProven { findings: usize },
    /// A check found problems, printed already.
    Problems { what: String, hint: String },
    /// A program that we started failed.
    Program { what: String, hint: String },
    /// A program that we started ended with this code; it said why itself.
    Exit(u8),
    /// The person pressed Ctrl-C or Escape at a prompt.
    Interrupted,
    /// Printing failed: the reader of our output went away.
    Output(io::Error),
}

/// An error answer of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// Stable code, for example `not-allowed`.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl From<io::Error> for Trouble {
    fn from(source: io::Error) -> Self {
        Self::Output(source)
    }
}

impl Trouble {
    /// For `map_err` on file operations.
    pub(crate) fn file(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, doing, source }
    }

    pub(crate) fn input(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { what: what.into(), hint: hint.into() }
    }

    pub(crate) fn missing(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), hint: hint.into() }
    }

    pub(crate) fn program(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Program { what: what.into(), hint: hint.into() }
    }
}

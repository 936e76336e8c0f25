//! The one place where trouble turns into words, a hint and an exit code. Style: lower case, no full stop, what the
//! person typed in backticks, the hint apart.

use std::io;
use std::process::ExitCode;

use crate::out::clean;
use crate::trouble::{Refusal, Trouble};

/// Exit codes, as `daypass --help` tells them.
const EXIT_CODES: [(u8, &str); 7] = [
    (1, "it failed"),
    (2, "the command line or its input does not fit"),
    (3, "it was refused: by policy, by a person, or because you may not"),
    (4, "you are not logged in, or the login has ended"),
    (5, "a log or an evidence file does not prove what it should"),
    (6, "the control plane cannot be reached or trusted"),
    (130, "you pressed Ctrl-C"),
];

/// The last part of `daypass --help`.
pub(crate) fn exit_codes() -> String {
    let codes: String = EXIT_CODES.iter().map(|(code, means)| format!("  {code:<3}  {means}\n")).collect();
    format!(
        "Exit codes (`connect` ends with the one of `psql`):\n  0    it worked\n{codes}\n\
         Start with `daypass demo`, or `daypass connect <resource>` when somebody runs a gateway for you."
    )
}

/// What a person sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) exit: u8,
}

impl Report {
    fn new(exit: u8, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), exit }
    }

    /// Writes it to `out` and gives the exit code of the process.
    pub(crate) fn tell(&self, out: &mut impl io::Write) -> ExitCode {
        // Nobody is left to tell when standard error is gone; the exit code still says it.
        let told = if self.message.is_empty() { Ok(()) } else { write!(out, "{self}") };
        drop(told);
        ExitCode::from(self.exit)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SECURITY: messages repeat what others wrote, and what files and servers said.
        writeln!(f, "error: {}", clean(&self.message))?;
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {}", clean(hint)),
            None => Ok(()),
        }
    }
}

/// Finds the words.
pub(crate) fn report(trouble: &Trouble) -> Report {
    match trouble {
        Trouble::Api(refusal) => refused(refusal),
        Trouble::Unreachable { url, source } => Report::new(
            6,
            format!("cannot reach the control plane at `{url}`: {source}"),
            "is it running (`daypass serve`), and is the address right? `daypass doctor` looks closer",
        ),
        Trouble::Untrusted { url, source } => Report::new(
            6,
            format!("cannot trust the certificate of `{url}`: {source}"),
            "somebody may be in between; if its authority was really renewed, log in again with `--fingerprint`",
        ),
        Trouble::BadAnswer { url, source } => Report::new(
            1,
            format!("`{url}` gave an answer that makes no sense here: {source}"),
            "check with `daypass doctor` that both sides are of the same version",
        ),
        Trouble::NotLoggedIn => {
            Report::new(4, "you are not logged in", "run `daypass login https://<control plane>:8440`")
        }
        Trouble::LoginEnded => Report::new(4, "your login has ended", "run `daypass login`"),
        Trouble::File { path, doing, source } => Report::new(
            1,
            format!("cannot {doing} `{}`: {}", path.display(), io_words(source)),
            "check that the path is right and that you may use it",
        ),
        Trouble::Input { what, hint } => Report::new(2, what, hint),
        Trouble::Missing { what, hint }
        | Trouble::Program { what, hint }
        | Trouble::Problems { what, hint } => Report::new(1, what, hint),
        Trouble::Waited { what, hint } | Trouble::TurnedDown { what, hint } => Report::new(3, what, hint),
        Trouble::NotProven { findings } => Report::new(
            5,
            format!("not proven: {findings} {}", if *findings == 1 { "finding" } else { "findings" }),
            "keep a copy of the files as they are, and compare with another copy, a witness or a backup",
        ),
        Trouble::Exit(code) => Report { message: String::new(), hint: None, exit: *code },
        Trouble::Interrupted => Report::new(130, "interrupted", "nothing was sent after that"),
        Trouble::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => {
            Report { message: String::new(), hint: None, exit: 0 }
        }
        Trouble::Output(source) => {
            Report::new(1, format!("cannot print: {}", io_words(source)), "check where the output goes")
        }
    }
}

fn refused(refusal: &Refusal) -> Report {
    let exit = match refusal.status {
        401 => 4,
        400 | 422 => 2,
        403 | 409 | 410 | 423 | 429 => 3,
        _ => 1,
    };
    let hint = refusal.hint.clone().unwrap_or_else(|| match refusal.status {
        401 => "run `daypass login`".to_owned(),
        403 => "`daypass resources` shows what you may ask for, `daypass whoami` who you are here".to_owned(),
        404 => "check the name; what you may not see is not found either".to_owned(),
        429 => "wait a little, then try again".to_owned(),
        500.. => "the log of `daypass serve` says more; `daypass doctor` looks closer".to_owned(),
        _ => "`daypass help` lists the commands".to_owned(),
    });
    Report { message: refusal.message.clone(), hint: Some(hint), exit }
}

fn io_words(source: &io::Error) -> String {
    let words = source.to_string();
    words.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_says_what_and_what_next() {
        let troubles = [
            Trouble::NotLoggedIn,
            Trouble::LoginEnded,
            Trouble::Unreachable { url: "https://127.0.0.1:1".into(), source: "connection refused".into() },
            Trouble::Untrusted { url: "https://127.0.0.1:1".into(), source: "unknown issuer".into() },
            Trouble::BadAnswer {
                url: "https://127.0.0.1:1".into(),
                source: "expected value at line 1".into(),
            },
            Trouble::File {
                path: "daypass.toml".into(),
                doing: "read",
                source: io::Error::from_raw_os_error(2),
            },
            Trouble::NotProven { findings: 2 },
            Trouble::Interrupted,
            Trouble::Api(Refusal {
                status: 403,
                code: "own-request".into(),
                message: "you cannot approve your own request".into(),
                hint: Some("ask one of: alice".into()),
            }),
            Trouble::Api(Refusal {
                status: 404,
                code: "not-found".into(),
                message: "no request `R-9`".into(),
                hint: None,
            }),
        ];
        let all: String = troubles.iter().map(report).map(|r| format!("{r}exit: {}\n\n", r.exit)).collect();
        insta::assert_snapshot!(all, @r#"
    error: you are not logged in
    hint: run `daypass login https://<control plane>:8440`
    exit: 4

    error: your login has ended
    hint: run `daypass login`
    exit: 4

    error: cannot reach the control plane at `https://127.0.0.1:1`: connection refused
    hint: is it running (`daypass serve`), and is the address right? `daypass doctor` looks closer
    exit: 6

    error: cannot trust the certificate of `https://127.0.0.1:1`: unknown issuer
    hint: somebody may be in between; if its authority was really renewed, log in again with `--fingerprint`
    exit: 6

    error: `https://127.0.0.1:1` gave an answer that makes no sense here: expected value at line 1
    hint: check with `daypass doctor` that both sides are of the same version
    exit: 1

    error: cannot read `daypass.toml`: no such file or directory
    hint: check that the path is right and that you may use it
    exit: 1

    error: not proven: 2 findings
    hint: keep a copy of the files as they are, and compare with another copy, a witness or a backup
    exit: 5

    error: interrupted
    hint: nothing was sent after that
    exit: 130

    error: you cannot approve your own request
    hint: ask one of: alice
    exit: 3

    error: no request `R-9`
    hint: check the name; what you may not see is not found either
    exit: 1
"#);
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        let report = report(&Trouble::Output(io::ErrorKind::BrokenPipe.into()));
        let mut out = Vec::new();
        report.tell(&mut out);
        assert!(out.is_empty());
        assert_eq!(report.exit, 0);
    }
}

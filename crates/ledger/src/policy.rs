//! The auditor's policy (C2SP tlog-policy): which logs are known and which witnesses must have cosigned a checkpoint.
//!
//! A verifier fails on absence: what must be present comes from this file, never from what is being checked.

use std::{collections::BTreeSet, fmt};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{KeyError, KeyKind, Note, NoteError, VerifierKey},
};

/// Longest policy that is read, bytes.
pub const POLICY_LEN_MAX: usize = 256 << 10;

/// Most logs, witnesses and groups, each.
pub const ENTRIES_MAX: usize = 256;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    members: Vec<Member>,
    /// Position in `members`; `None` is `quorum none`.
    quorum: Option<usize>,
}

/// A log the policy knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its key; the key's name is the log's origin.
    pub key: VerifierKey,
    /// Where it is published.
    pub url: Option<String>,
}

/// A witness or a group, by its name in the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: String,
    kind: MemberKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum MemberKind {
    Witness {
        key: Box<VerifierKey>,
        url: Option<String>,
    },
    /// At least `count` of the members at these positions, all of which are earlier.
    Group {
        count: usize,
        of: Vec<usize>,
    },
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] with the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let at = |line: usize| move |problem| PolicyError { line, problem };
        if text.len() > POLICY_LEN_MAX {
            return Err(at(1)(PolicyProblem::Limit));
        }
        let mut reading = Reading::default();
        for (number, line) in (1..).zip(text.split('\n')) {
            if line.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
                return Err(at(number)(PolicyProblem::Form("it holds a control character")));
            }
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_some_and(|word| !word.starts_with('#')) {
                reading.line(&words).map_err(at(number))?;
            }
        }
        let Reading { logs, members, quorum, .. } = reading;
        let end = text.split('\n').count();
        let quorum = quorum.ok_or_else(|| at(end)(PolicyProblem::Form("the quorum line is missing")))?;
        Ok(Self { logs, members, quorum })
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The log of this origin.
    #[must_use]
    pub fn log(&self, origin: &str) -> Option<&Log> {
        self.logs.iter().find(|log| log.key.name() == origin)
    }

    /// Names, keys and addresses of the witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = (&str, &VerifierKey, Option<&str>)> {
        self.members.iter().filter_map(|member| match &member.kind {
            MemberKind::Witness { key, url } => Some((member.name.as_str(), &**key, url.as_deref())),
            MemberKind::Group { .. } => None,
        })
    }

    /// Verifies a signed checkpoint: by a known log, and cosigned by the quorum.
    ///
    /// # Errors
    /// [`UntrustedCheckpoint`] says what is missing.
    pub fn open(&self, bytes: &[u8]) -> Result<Checkpoint, UntrustedCheckpoint> {
        let note = Note::parse(bytes).map_err(|error| UntrustedCheckpoint::Log(error.into()))?;
        let origin = note.text().split('\n').next().unwrap_or_default();
        let log = self.log(origin).ok_or_else(|| UntrustedCheckpoint::UnknownLog(origin.to_owned()))?;
        let (checkpoint, note) = Checkpoint::open(bytes, &log.key).map_err(UntrustedCheckpoint::Log)?;
        self.check_quorum(&note)?;
        Ok(checkpoint)
    }

    /// Verifies that the quorum cosigned `note`. A wrong cosignature of a known witness is an error even when others suffice.
    ///
    /// # Errors
    /// [`UntrustedCheckpoint`] names the witnesses that are missing.
    pub fn check_quorum(&self, note: &Note) -> Result<(), UntrustedCheckpoint> {
        // Members refer to earlier ones only: one pass decides them all.
        let mut witnessed = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let decided = match &member.kind {
                MemberKind::Witness { key, .. } => match note.cosignature(key) {
                    Ok(_) => true,
                    Err(NoteError::Unsigned(_)) => false,
                    Err(error) => {
                        return Err(UntrustedCheckpoint::Witness { name: member.name.clone(), error });
                    }
                },
                MemberKind::Group { count, of } => {
                    of.iter().filter(|at| witnessed.get(**at).copied().unwrap_or(false)).count() >= *count
                }
            };
            witnessed.push(decided);
        }
        match self.quorum {
            None => Ok(()),
            Some(at) if witnessed.get(at).copied().unwrap_or(false) => Ok(()),
            Some(at) => {
                let absent = |(member, done): (&Member, &bool)| {
                    (!done && matches!(member.kind, MemberKind::Witness { .. })).then(|| member.name.clone())
                };
                let quorum = self.members.get(at).map(|member| member.name.clone()).unwrap_or_default();
                let absent = self.members.iter().zip(&witnessed).filter_map(absent).collect();
                Err(UntrustedCheckpoint::Quorum { quorum, absent })
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    logs: Vec<Log>,
    members: Vec<Member>,
    /// Positions that are in a group already.
    grouped: BTreeSet<usize>,
    quorum: Option<Option<usize>>,
}

impl Reading {
    fn line(&mut self, words: &[&str]) -> Result<(), PolicyProblem> {
        match words {
            ["log", key, url @ ..] => {
                let key = parse_key(key, KeyKind::Ed25519)?;
                if self.logs.len() == ENTRIES_MAX {
                    return Err(PolicyProblem::Limit);
                }
                if self.logs.iter().any(|log| log.key.same_key(&key)) {
                    return Err(PolicyProblem::Duplicate(key.name().to_owned()));
                }
                self.logs.push(Log { key, url: parse_url(url)? });
                Ok(())
            }
            ["witness", name, key, url @ ..] => {
                let key = parse_key(key, KeyKind::CosignatureV1)?;
                let same = |member: &Member| match &member.kind {
                    MemberKind::Witness { key: other, .. } => other.same_key(&key),
                    MemberKind::Group { .. } => false,
                };
                if self.members.iter().any(same) {
                    return Err(PolicyProblem::Duplicate(key.name().to_owned()));
                }
                let url = parse_url(url)?;
                self.define(name, MemberKind::Witness { key: Box::new(key), url })
            }
            ["group", name, count, of @ ..] if !of.is_empty() => {
                let count = match *count {
                    "any" => 1,
                    "all" => of.len(),
                    number => number
                        .parse()
                        .ok()
                        .filter(|count| (1..=of.len()).contains(count))
                        .ok_or(PolicyProblem::Count)?,
                };
                let of = of.iter().map(|name| self.take_member(name)).collect::<Result<_, _>>()?;
                self.define(name, MemberKind::Group { count, of })
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err(PolicyProblem::Form("the quorum is defined twice"));
                }
                self.quorum = Some(if *name == "none" { None } else { Some(self.find(name)?) });
                Ok(())
            }
            _ => Err(PolicyProblem::Form(
                "a line is `log`, `witness`, `group` or `quorum` with what belongs to it",
            )),
        }
    }

    fn define(&mut self, name: &str, kind: MemberKind) -> Result<(), PolicyProblem> {
        if self.members.len() == 2 * ENTRIES_MAX {
            return Err(PolicyProblem::Limit);
        }
        if name == "none" || self.find(name).is_ok() {
            return Err(PolicyProblem::Duplicate(name.to_owned()));
        }
        self.members.push(Member { name: name.to_owned(), kind });
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, PolicyProblem> {
        let at = self.members.iter().position(|member| member.name == name);
        at.ok_or_else(|| PolicyProblem::Unknown(name.to_owned()))
    }

    /// A name may be in one group only, so that no witness counts twice.
    fn take_member(&mut self, name: &str) -> Result<usize, PolicyProblem> {
        let at = self.find(name)?;
        if self.grouped.insert(at) { Ok(at) } else { Err(PolicyProblem::Duplicate(name.to_owned())) }
    }
}

fn parse_key(text: &str, kind: KeyKind) -> Result<VerifierKey, PolicyProblem> {
    let key = VerifierKey::parse(text).map_err(PolicyProblem::Key)?;
    if key.kind() == kind {
        Ok(key)
    } else {
        Err(PolicyProblem::Form("the key is of the wrong type for its use"))
    }
}

fn parse_url(words: &[&str]) -> Result<Option<String>, PolicyProblem> {
    match words {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        _ => Err(PolicyProblem::Form("more follows the address")),
    }
}

/// A policy that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    line: usize,
    problem: PolicyProblem,
}

impl PolicyError {
    /// Line of the file, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &PolicyProblem {
        &self.problem
    }
}

/// What can be wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyProblem {
    /// Too long or too many entries.
    Limit,
    /// Malformed; says why.
    Form(&'static str),
    /// A key is unusable.
    Key(KeyError),
    /// The name is not defined on an earlier line.
    Unknown(String),
    /// The name or key is used twice.
    Duplicate(String),
    /// The group's number is not between 1 and its members.
    Count,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.problem {
            PolicyProblem::Limit => f.write_str("the policy is too large"),
            PolicyProblem::Form(why) => f.write_str(why),
            PolicyProblem::Key(error) => error.fmt(f),
            PolicyProblem::Unknown(name) => write!(f, "`{name}` is not defined on an earlier line"),
            PolicyProblem::Duplicate(name) => write!(f, "`{name}` is used twice"),
            PolicyProblem::Count => {
                f.write_str("the group's number is not between 1 and the number of its members")
            }
        }
    }
}

impl std::error::Error for PolicyError {}

/// A checkpoint that the policy does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UntrustedCheckpoint {
    /// The policy does not know the log of this origin.
    UnknownLog(String),
    /// Malformed or not signed by its log.
    Log(CheckpointError),
    /// The cosignature of a known witness is wrong.
    Witness {
        /// Name of the witness in the policy.
        name: String,
        /// What is wrong.
        error: NoteError,
    },
    /// Too few witnesses cosigned.
    Quorum {
        /// What the policy requires.
        quorum: String,
        /// Witnesses of the policy that did not cosign.
        absent: Vec<String>,
    },
}

impl fmt::Display for UntrustedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLog(origin) => write!(f, "the policy does not know the log `{origin}`"),
            Self::Log(error) => error.fmt(f),
            Self::Witness { name, error } => write!(f, "witness `{name}`: {error}"),
            Self::Quorum { quorum, absent } => {
                write!(f, "the quorum `{quorum}` is not reached: no cosignature of `{}`", absent.join("`, `"))
            }
        }
    }
}

impl std::error::Error for UntrustedCheckpoint {}

#[cfg(test)]
mod tests;

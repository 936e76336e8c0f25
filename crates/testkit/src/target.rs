//! A target that speaks enough of the protocol: simple and extended, errors that skip to Sync, rows that carry a number.
//!
//! Texts are `read N`, `write N`, `risky N`, `admin N` and `bad N`; N is unique in a run, so that whatever a target did, and
//! whatever a person was shown, leads back to one record.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use daypass_access::action::{Action, Class, ClassSet, Risk, RiskSet};
use daypass_pg::classify::Dialect;
use daypass_pg::frame::{Side, first};
use daypass_pg::message::{Front, Named};
use daypass_pg::session::{Grammar, Statement};
use daypass_pg::write::{self, Transaction};

use crate::disk::number_in;

/// The class of a text.
#[must_use]
pub fn class_of(text: &[u8]) -> Class {
    match text.split(|byte| *byte == b' ').next().unwrap_or_default() {
        b"read" | b"bad" => Class::Read,
        b"write" | b"risky" => Class::Write,
        _ => Class::Admin,
    }
}

/// Reads the texts above.
#[derive(Debug)]
pub struct Texts;

impl Grammar for Texts {
    fn statement(&mut self, text: &[u8], _dialect: Dialect) -> Arc<Statement> {
        let class = class_of(text);
        let risky = text.starts_with(b"risky");
        let risks = if risky { RiskSet::EMPTY.with(Risk::UpdateWithoutWhere) } else { RiskSet::EMPTY };
        let action = Action { classes: ClassSet::EMPTY.with(class), risks, pure_read: class == Class::Read };
        Arc::new(Statement::plain(text.to_vec(), action, class.name()))
    }
}

/// One session at the target.
#[derive(Debug, Default)]
pub struct Target {
    input: BytesMut,
    statements: BTreeMap<Vec<u8>, Vec<u8>>,
    portals: BTreeMap<Vec<u8>, Vec<u8>>,
    skipping: bool,
}

impl Target {
    /// Takes bytes; gives the texts that were run, and appends the answers to `out`.
    pub fn take(&mut self, bytes: &[u8], out: &mut BytesMut) -> Vec<Vec<u8>> {
        self.input.extend_from_slice(bytes);
        let mut ran = Vec::new();
        loop {
            let input = self.input.clone();
            let Some((frame, len)) = first(Side::Front, &input).unwrap() else { return ran };
            match Front::parse(frame.tag, frame.body) {
                Ok(message) => self.message(message, out, &mut ran),
                // A Bind that fits nothing is how the machine makes a target refuse.
                Err(_) if self.skipping => {}
                Err(_) => self.fail(out),
            }
            let _rest = self.input.split_to(len);
        }
    }

    fn message(&mut self, message: Front<'_>, out: &mut BytesMut, ran: &mut Vec<Vec<u8>>) {
        match message {
            Front::Sync => {
                self.skipping = false;
                write::ready_for_query(out, Transaction::Idle);
            }
            _ if self.skipping => {}
            Front::Query(text) => {
                if Self::run(text, out, ran) {
                    write::frame(out, b'C', |body| body.extend_from_slice(b"SELECT 1\0"));
                }
                write::ready_for_query(out, Transaction::Idle);
            }
            Front::Parse(parse) if number_in(parse.text).is_none() => self.fail(out),
            Front::Parse(parse) => {
                self.statements.insert(parse.statement.to_vec(), parse.text.to_vec());
                write::frame(out, b'1', |_| {});
            }
            Front::Bind(bind) => match self.statements.get(bind.statement).cloned() {
                Some(text) => {
                    self.portals.insert(bind.portal.to_vec(), text);
                    write::frame(out, b'2', |_| {});
                }
                None => self.fail(out),
            },
            Front::Execute { portal, .. } => match self.portals.get(portal).cloned() {
                Some(text) if Self::run(&text, out, ran) => {
                    write::frame(out, b'C', |body| body.extend_from_slice(b"SELECT 1\0"));
                }
                Some(_) => self.skipping = true,
                None => self.fail(out),
            },
            Front::Describe(Named::Portal(name)) if self.portals.contains_key(name) => {
                write::frame(out, b'T', |body| body.extend_from_slice(b"\0\0"));
            }
            Front::Close(_) => write::frame(out, b'3', |_| {}),
            Front::Flush | Front::Terminate => {}
            _ => self.fail(out),
        }
    }

    /// Runs a text; says so, and answers with its number in a row or, for `bad`, in an error.
    fn run(text: &[u8], out: &mut BytesMut, ran: &mut Vec<Vec<u8>>) -> bool {
        let Some(number) = number_in(text) else {
            error(out, "not a text");
            return false;
        };
        ran.push(text.to_vec());
        if text.starts_with(b"bad") {
            error(out, &format!("value {number}"));
            return false;
        }
        write::frame(out, b'D', |body| body.extend_from_slice(format!("{number}").as_bytes()));
        true
    }

    fn fail(&mut self, out: &mut BytesMut) {
        error(out, "no such thing");
        self.skipping = true;
    }
}

fn error(out: &mut BytesMut, message: &str) {
    let body = format!("SERROR\0VERROR\0C22012\0M{message}\0\0");
    write::frame(out, b'E', |out| out.extend_from_slice(body.as_bytes()));
}

/// The numbers that a person could read in bytes shown to them: rows and errors carry them.
#[must_use]
pub fn numbers_shown(seen: &mut BytesMut) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let input = seen.clone();
        let Some((frame, len)) = first(Side::Back, &input).unwrap() else { return numbers };
        match frame.tag {
            b'D' => numbers.extend(std::str::from_utf8(frame.body).unwrap().parse::<u64>()),
            b'E' => {
                let text = String::from_utf8_lossy(frame.body).into_owned();
                let field = text.split('\0').find_map(|field| field.strip_prefix("Mvalue "));
                numbers.extend(field.and_then(|number| number.parse::<u64>().ok()));
            }
            _ => {}
        }
        let _rest = seen.split_to(len);
    }
}

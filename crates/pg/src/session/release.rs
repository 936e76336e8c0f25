//! The only place where bytes leave a session.
//!
//! Whoever wants to know whether a byte of an action can reach the target before its record is durable, or a byte of a
//! result the person, reads this file and `daypass_access::pipeline`, and nothing else. [`Outlet`] owns both ways out; its
//! buffers are private to this file. Bytes a client sent reach the target through [`Outlet::act`] only, which costs a
//! [`ForwardPermit`]; bytes a target sent reach the person through [`Outlet::disclose`], which costs a
//! [`DisclosePermit`], or through [`Outlet::tell`], which takes only messages that carry no result. Everything else that
//! leaves is written here or in `write.rs` by us: [`Steer`] toward the target, [`Report`] toward the person.
//!
//! INVARIANT: I9.

use bytes::{Buf, BytesMut};
use daypass_access::pipeline::{DisclosePermit, ForwardPermit};

use crate::error::Report;
use crate::message::Named;
use crate::write;

/// Both ways out of a session, and what waits on them to be written.
#[derive(Debug, Default)]
pub struct Outlet {
    to_target: BytesMut,
    to_person: BytesMut,
}

/// What may go to the target without a permit: it names things, and does nothing to data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Steer<'a> {
    /// Ends a batch.
    Sync,
    /// Asks for what is pending.
    Flush,
    /// Forgets a statement or portal.
    Close(Named<'a>),
    /// Ends a COPY with an error.
    CopyFail,
    /// Says goodbye.
    Terminate,
    /// A query that cannot succeed, in the place of a denied one: the target's own rules for errors then apply.
    FailQuery,
    /// A Parse that cannot succeed, under the name of the denied one.
    FailParse(&'a [u8]),
    /// A Bind that cannot succeed.
    FailBind,
    /// A Describe that cannot succeed.
    FailDescribe,
    /// An Execute that cannot succeed.
    FailExecute,
    /// A FunctionCall that cannot succeed.
    FailCall,
}

/// Text that is no SQL in any version, and tells the reader of the target's log who put it there.
const NO_SQL: &[u8] = b"daypass denied this statement";
/// A name no client can have given: the machine refuses names that begin so.
pub(super) const NO_NAME: &[u8] = b"daypass denied this";

/// A message of the target that carries no result, by its type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(());

impl Status {
    /// Whether a type byte is one of a message that never carries a result: ReadyForQuery, ParameterStatus, and the
    /// confirmation of Close. Errors and notices quote data; they belong to an action.
    pub(super) fn of(tag: u8) -> Option<Self> {
        matches!(tag, b'Z' | b'S' | b'3').then_some(Self(()))
    }

    /// As [`Self::of`], in a session in which no action was forwarded yet: what the target says then cannot be a result.
    pub(super) fn before_any_action(tag: u8) -> Option<Self> {
        matches!(tag, b'E' | b'N' | b'A').then_some(Self(())).or(Self::of(tag))
    }
}

impl Outlet {
    /// Sends bytes of a recorded action to the target.
    pub(super) fn act(&mut self, _permit: &ForwardPermit, bytes: &[u8]) {
        self.to_target.extend_from_slice(bytes);
    }

    /// Shows bytes of the result of a recorded action to the person.
    pub(super) fn disclose(&mut self, _permit: &DisclosePermit, bytes: &[u8]) {
        self.to_person.extend_from_slice(bytes);
    }

    /// Passes on a message of the target that carries no result.
    pub(super) fn tell(&mut self, _status: Status, bytes: &[u8]) {
        self.to_person.extend_from_slice(bytes);
    }

    /// Sends words of the protocol to the target that do nothing to data.
    pub(super) fn steer(&mut self, message: Steer<'_>) {
        let out = &mut self.to_target;
        match message {
            Steer::Sync => write::sync(out),
            Steer::Flush => write::flush(out),
            Steer::Close(Named::Statement(name)) => write::close(out, b'S', name),
            Steer::Close(Named::Portal(name)) => write::close(out, b'P', name),
            Steer::CopyFail => write::copy_fail(out, NO_SQL),
            Steer::Terminate => write::terminate(out),
            Steer::FailQuery => write::query(out, NO_SQL),
            Steer::FailParse(name) => write::parse(out, name, NO_SQL, &[]),
            Steer::FailBind => write::bind_nothing(out, NO_NAME),
            Steer::FailDescribe => write::describe(out, b'P', NO_NAME),
            Steer::FailExecute => write::execute(out, NO_NAME, 0),
            Steer::FailCall => write::function_call_nothing(out),
        }
    }

    /// Tells the person something in our own words.
    pub(super) fn say(&mut self, report: &Report<'_>) {
        report.write(&mut self.to_person);
    }

    /// Bytes that wait to be written to the target.
    #[must_use]
    pub fn to_target(&self) -> &[u8] {
        &self.to_target
    }

    /// Bytes that wait to be written to the person.
    #[must_use]
    pub fn to_person(&self) -> &[u8] {
        &self.to_person
    }

    /// Forgets the first `len` bytes toward the target: they are written.
    pub fn wrote_target(&mut self, len: usize) {
        wrote(&mut self.to_target, len);
    }

    /// Forgets the first `len` bytes toward the person: they are written.
    pub fn wrote_person(&mut self, len: usize) {
        wrote(&mut self.to_person, len);
    }
}

/// Keeps the buffer's memory when everything is written, as it mostly is.
fn wrote(buffer: &mut BytesMut, len: usize) {
    if len >= buffer.len() {
        buffer.clear();
    } else {
        buffer.advance(len);
    }
}

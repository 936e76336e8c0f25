//! Writes messages. Every function appends one whole message to `out`.
//!
//! A string with a zero byte in it is cut there: nothing a name holds can become a second field.

use bytes::{BufMut, BytesMut};

use crate::startup::{CancelKey, Version};

/// Transaction state told by ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// Not in a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that failed.
    Failed,
}

impl Transaction {
    /// The byte on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }

    /// The state of that byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Open),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

/// Appends a string and its zero byte.
pub(crate) fn cstr(out: &mut BytesMut, text: &[u8]) {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or(text));
    out.put_u8(0);
}

/// Appends a message of type `tag` with the body that `body` writes.
pub fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let start = out.len();
    out.put_u32(0);
    body(out);
    let len = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start.saturating_add(4)) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

fn count(out: &mut BytesMut, items: usize) {
    out.put_u16(u16::try_from(items).unwrap_or(u16::MAX));
}

// Toward the client.

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    frame(out, b'R', |b| b.put_u32(0));
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut BytesMut) {
    frame(out, b'R', |b| b.put_u32(3));
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut BytesMut, key: &CancelKey) {
    frame(out, b'K', |b| {
        b.put_u32(key.process);
        b.put_slice(&key.secret);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    frame(out, b'S', |b| {
        cstr(b, name);
        cstr(b, value);
    });
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, state: Transaction) {
    frame(out, b'Z', |b| b.put_u8(state.code()));
}

/// NegotiateProtocolVersion: the newest minor version spoken, and the protocol options not known.
pub fn negotiate_protocol_version<'a>(
    out: &mut BytesMut,
    newest: Version,
    unknown: impl Iterator<Item = &'a [u8]>,
) {
    // The field holds the whole version code since PostgreSQL 18 and libpq reads it so; before, only the minor was
    // documented. Servers of every release send the code.
    let unknown: Vec<&[u8]> = unknown.collect();
    frame(out, b'v', |b| {
        b.put_u32(newest.code());
        b.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for name in unknown {
            cstr(b, name);
        }
    });
}

// Toward the target.

/// PasswordMessage: a password or an md5 answer.
pub fn password(out: &mut BytesMut, password: &[u8]) {
    frame(out, b'p', |b| cstr(b, password));
}

/// SASLInitialResponse.
pub fn sasl_initial_response(out: &mut BytesMut, mechanism: &[u8], response: &[u8]) {
    frame(out, b'p', |b| {
        cstr(b, mechanism);
        b.put_u32(u32::try_from(response.len()).unwrap_or(u32::MAX));
        b.put_slice(response);
    });
}

/// SASLResponse.
pub fn sasl_response(out: &mut BytesMut, response: &[u8]) {
    frame(out, b'p', |b| b.put_slice(response));
}

/// Query.
pub fn query(out: &mut BytesMut, text: &[u8]) {
    frame(out, b'Q', |b| cstr(b, text));
}

/// Parse.
pub fn parse(out: &mut BytesMut, name: &[u8], text: &[u8], types: &[u32]) {
    frame(out, b'P', |b| {
        cstr(b, name);
        cstr(b, text);
        count(b, types.len());
        types.iter().take(usize::from(u16::MAX)).for_each(|&oid| b.put_u32(oid));
    });
}

/// Bind with text parameters and text results; a parameter of `None` is NULL.
pub fn bind(out: &mut BytesMut, portal: &[u8], statement: &[u8], params: &[Option<&[u8]>]) {
    frame(out, b'B', |b| {
        cstr(b, portal);
        cstr(b, statement);
        b.put_u16(0);
        count(b, params.len());
        for param in params.iter().take(usize::from(u16::MAX)) {
            b.put_i32(param.map_or(-1, |p| i32::try_from(p.len()).unwrap_or(i32::MAX)));
            b.put_slice(param.unwrap_or_default());
        }
        b.put_u16(0);
    });
}

/// Bind that fails whatever `statement` stands for: two formats for no parameter, which the target refuses before it makes
/// the portal.
pub fn bind_nothing(out: &mut BytesMut, statement: &[u8]) {
    frame(out, b'B', |b| {
        cstr(b, b"");
        cstr(b, statement);
        b.put_slice(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
}

/// Execute; `rows_max` 0 is all.
pub fn execute(out: &mut BytesMut, portal: &[u8], rows_max: u32) {
    frame(out, b'E', |b| {
        cstr(b, portal);
        b.put_u32(rows_max);
    });
}

/// FunctionCall of function 0, which no target has, without arguments.
pub fn function_call_nothing(out: &mut BytesMut) {
    frame(out, b'F', |b| b.put_slice(&[0; 10]));
}

/// Describe of a statement (`S`) or a portal (`P`).
pub fn describe(out: &mut BytesMut, kind: u8, name: &[u8]) {
    frame(out, b'D', |b| {
        b.put_u8(kind);
        cstr(b, name);
    });
}

/// Close of a statement (`S`) or a portal (`P`).
pub fn close(out: &mut BytesMut, kind: u8, name: &[u8]) {
    frame(out, b'C', |b| {
        b.put_u8(kind);
        cstr(b, name);
    });
}

/// Sync.
pub fn sync(out: &mut BytesMut) {
    frame(out, b'S', |_| {});
}

/// Flush.
pub fn flush(out: &mut BytesMut) {
    frame(out, b'H', |_| {});
}

/// Terminate.
pub fn terminate(out: &mut BytesMut) {
    frame(out, b'X', |_| {});
}

/// CopyData.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    frame(out, b'd', |b| b.put_slice(data));
}

/// CopyDone.
pub fn copy_done(out: &mut BytesMut) {
    frame(out, b'c', |_| {});
}

/// CopyFail.
pub fn copy_fail(out: &mut BytesMut, reason: &[u8]) {
    frame(out, b'f', |b| cstr(b, reason));
}

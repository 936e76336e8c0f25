//! ErrorResponse and NoticeResponse: built toward clients, read from targets.

use bytes::{BufMut, BytesMut};

use crate::reader::Reader;
use crate::violation::Violation;
use crate::write::{cstr, frame};

/// A SQLSTATE: five characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// `42501`: insufficient privilege; what a denied action gets.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// `57P01`: the session is ended from above.
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    /// `57014`: the statement was cancelled.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// `28P01`: wrong, expired or foreign pass, or unknown resource; all alike.
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    /// `28000`: not allowed to connect this way, for example without TLS.
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    /// `08P01`: the peer broke the protocol.
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    /// `08006`: the connection to the target failed.
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    /// `08001`: the target could not be reached.
    pub const CANNOT_CONNECT: Self = Self(*b"08001");
    /// `53300`: too many sessions.
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// `53400`: over a configured limit.
    pub const LIMIT_EXCEEDED: Self = Self(*b"53400");
    /// `57P05`: idle for too long.
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    /// `58030`: the record could not be written.
    pub const IO_ERROR: Self = Self(*b"58030");
    /// `00000`: success; the code of most notices.
    pub const SUCCESS: Self = Self(*b"00000");
    /// `0A000`: not supported.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");

    /// The five characters, `?????` if they are not text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }
}

impl std::fmt::Debug for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// For the person's eyes.
    Notice,
    /// For the person's eyes, even by default in quiet clients.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }

    fn tag(self) -> u8 {
        match self {
            Self::Error | Self::Fatal => b'E',
            Self::Notice | Self::Warning => b'N',
        }
    }
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// The code programs look at.
    pub code: SqlState,
    /// What happened: lower case, no full stop.
    pub message: &'a str,
    /// More about it; empty for none.
    pub detail: &'a str,
    /// What to do next; empty for none.
    pub hint: &'a str,
}

impl Report<'_> {
    /// Appends the ErrorResponse or NoticeResponse.
    pub fn write(&self, out: &mut BytesMut) {
        frame(out, self.severity.tag(), |b| {
            let word = self.severity.word().as_bytes();
            let fields = [
                (b'S', word),
                (b'V', word),
                (b'C', &self.code.0[..]),
                (b'M', self.message.as_bytes()),
                (b'D', self.detail.as_bytes()),
                (b'H', self.hint.as_bytes()),
            ];
            for (field, text) in fields.into_iter().filter(|(field, text)| *field == b'M' || !text.is_empty())
            {
                b.put_u8(field);
                cstr(b, text);
            }
            b.put_u8(0);
        });
    }
}

/// What a target said in an ErrorResponse or NoticeResponse. Borrowed from the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Severity, not translated where the target sends it so; empty if it sends none.
    pub severity: &'a [u8],
    /// The SQLSTATE; `XX000` if it sends none.
    pub code: SqlState,
    /// The message. May quote data of the target: personal.
    pub message: &'a [u8],
    /// The detail; empty for none.
    pub detail: &'a [u8],
    /// The hint; empty for none.
    pub hint: &'a [u8],
}

impl<'a> Told<'a> {
    /// Reads the body of an ErrorResponse or NoticeResponse.
    ///
    /// # Errors
    /// [`Violation::Body`].
    pub fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Violation> {
        let mut told =
            Self { severity: b"", code: SqlState(*b"XX000"), message: b"", detail: b"", hint: b"" };
        let mut reader = Reader::new(tag, body);
        loop {
            let field = reader.u8()?;
            if field == 0 {
                reader.end()?;
                return Ok(told);
            }
            let text = reader.cstr()?;
            match field {
                b'V' => told.severity = text,
                b'S' if told.severity.is_empty() => told.severity = text,
                b'C' => told.code = text.try_into().map(SqlState).unwrap_or(told.code),
                b'M' => told.message = text,
                b'D' => told.detail = text,
                b'H' => told.hint = text,
                _ => {}
            }
        }
    }
}

impl Told<'_> {
    /// Severity and SQLSTATE from the beginning of a body that is not all there: the target sends both first. As in
    /// [`Told::parse`] where they are missing.
    #[must_use]
    pub fn beginning(body: &[u8]) -> (&[u8], SqlState) {
        let (mut severity, mut code): (&[u8], _) = (b"", SqlState(*b"XX000"));
        // What is after the last zero byte is a field under way.
        let mut fields = body.split(|&byte| byte == 0);
        fields.next_back();
        for field in fields {
            match field.split_first() {
                Some((b'V', text)) => severity = text,
                Some((b'S', text)) if severity.is_empty() => severity = text,
                Some((b'C', text)) => code = text.try_into().map(SqlState).unwrap_or(code),
                // The end of the fields.
                None => break,
                Some(_) => {}
            }
        }
        (severity, code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Side, first};

    #[test]
    fn a_report_reads_back() {
        let report = Report {
            severity: Severity::Error,
            code: SqlState::INSUFFICIENT_PRIVILEGE,
            message: "not granted: `write`",
            detail: "",
            hint: "ask for it: daypass request",
        };
        let mut out = BytesMut::new();
        report.write(&mut out);
        let (frame, len) = first(Side::Back, &out).unwrap().unwrap();
        assert_eq!((frame.tag, len), (b'E', out.len()));
        let told = Told::parse(frame.tag, frame.body).unwrap();
        assert_eq!(told.code, SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(told.severity, b"ERROR");
        assert_eq!(told.message, b"not granted: `write`");
        assert_eq!(told.hint, b"ask for it: daypass request");
        assert_eq!(told.detail, b"");
    }

    #[test]
    fn a_zero_byte_in_a_message_cannot_make_a_field() {
        let report = Report {
            severity: Severity::Notice,
            code: SqlState::SUCCESS,
            message: "a\0Cxxxxx",
            detail: "",
            hint: "",
        };
        let mut out = BytesMut::new();
        report.write(&mut out);
        let (frame, _) = first(Side::Back, &out).unwrap().unwrap();
        let told = Told::parse(frame.tag, frame.body).unwrap();
        assert_eq!((told.message, told.code), (&b"a"[..], SqlState::SUCCESS));
    }

    #[test]
    fn the_beginning_of_a_long_body_says_what_it_is() {
        let body = b"SFEHLER\0VERROR\0C22012\0Mmuch";
        assert_eq!(Told::beginning(body), (&b"ERROR"[..], SqlState(*b"22012")));
        assert_eq!(Told::beginning(b"SERROR\0C22"), (&b"ERROR"[..], SqlState(*b"XX000")));
        assert_eq!(Told::beginning(b"\0C22012\0"), (&b""[..], SqlState(*b"XX000")));
    }

    #[test]
    fn a_body_without_its_end_is_a_violation() {
        assert_eq!(Told::parse(b'E', b"Mx\0"), Err(Violation::Body { tag: b'E' }));
        assert_eq!(Told::parse(b'E', b""), Err(Violation::Body { tag: b'E' }));
        assert_eq!(Told::parse(b'E', b"\0x"), Err(Violation::Body { tag: b'E' }));
    }
}

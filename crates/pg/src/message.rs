//! Decodes the messages that matter; everything else is forwarded as it is.
//!
//! [`Front`] is what clients send, [`Back`] what targets send. Both borrow from the body. Texts and names are bytes: the
//! client encoding need not be UTF-8.

use crate::error::Told;
use crate::reader::Reader;
use crate::startup::CancelKey;
use crate::violation::Violation;
use crate::write::Transaction;

/// A message of a client, after login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// Runs a string of statements.
    Query(&'a [u8]),
    /// Prepares a statement.
    Parse(Parse<'a>),
    /// Makes a portal of a prepared statement and its parameters.
    Bind(Bind<'a>),
    /// Runs a portal.
    Execute {
        /// Name of the portal, empty for the unnamed one.
        portal: &'a [u8],
        /// Most rows to give, 0 for all.
        rows_max: u32,
    },
    /// Asks what a statement or portal looks like.
    Describe(Named<'a>),
    /// Forgets a statement or portal.
    Close(Named<'a>),
    /// A piece of COPY data.
    CopyData(&'a [u8]),
    /// The end of COPY data.
    CopyDone,
    /// COPY data ends with an error; the reason.
    CopyFail(&'a [u8]),
    /// Calls a function by its number.
    FunctionCall(FunctionCall<'a>),
    /// Asks for everything pending.
    Flush,
    /// Ends a batch of extended-protocol messages.
    Sync,
    /// Says goodbye.
    Terminate,
    /// A password or SASL answer; the bytes as they came.
    Password(&'a [u8]),
}

/// A `Parse` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the statement, empty for the unnamed one.
    pub statement: &'a [u8],
    /// Its text.
    pub text: &'a [u8],
    /// Number of parameter types stated.
    pub types: u16,
}

/// A `Bind` message; parameters are read on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Name of the portal, empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the statement, empty for the unnamed one.
    pub statement: &'a [u8],
    formats: &'a [u8],
    values: &'a [u8],
    count: u16,
}

/// One parameter of a `Bind` or `FunctionCall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The value, `None` for NULL.
    pub value: Option<&'a [u8]>,
    /// Whether it is in binary form rather than text.
    pub binary: bool,
}

/// A statement or a portal, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

/// A `FunctionCall` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// Object id of the function.
    pub function: u32,
    formats: &'a [u8],
    values: &'a [u8],
    count: u16,
}

impl<'a> Bind<'a> {
    /// Number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether it has no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        params(self.formats, self.values, self.count)
    }
}

impl<'a> FunctionCall<'a> {
    /// The arguments, in order.
    pub fn arguments(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        params(self.formats, self.values, self.count)
    }
}

/// Walks values already checked by [`values`].
fn params<'a>(formats: &'a [u8], values: &'a [u8], count: u16) -> impl Iterator<Item = Param<'a>> + use<'a> {
    let mut reader = Reader::new(0, values);
    let one_for_all = formats.len() == 2;
    (0..usize::from(count)).map_while(move |n| {
        let at = if one_for_all { 0 } else { n * 2 };
        let binary = formats.get(at..at + 2).is_some_and(|code| code != [0, 0]);
        reader.value().ok().map(|value| Param { value, binary })
    })
}

/// Reads the formats and values shared by `Bind` and `FunctionCall`, checking every length.
fn values<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8], u16), Violation> {
    let formats_len = reader.u16()?;
    let formats = reader.bytes(usize::from(formats_len) * 2)?;
    let count = reader.u16()?;
    if formats_len > 1 && formats_len != count {
        return Err(reader.violation());
    }
    let mut after = *reader;
    for _ in 0..count {
        after.value()?;
    }
    let values_len = reader.len().saturating_sub(after.len());
    let values = reader.bytes(values_len)?;
    Ok((formats, values, count))
}

impl<'a> Front<'a> {
    /// Decodes a whole message of a client.
    ///
    /// # Errors
    /// [`Violation::Body`] for a malformed body, [`Violation::Unexpected`] for a type no client sends after login.
    pub fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Violation> {
        let mut r = Reader::new(tag, body);
        let message = match tag {
            b'Q' => Self::Query(r.cstr()?),
            b'P' => {
                let (statement, text, types) = (r.cstr()?, r.cstr()?, r.u16()?);
                r.bytes(usize::from(types) * 4)?;
                Self::Parse(Parse { statement, text, types })
            }
            b'B' => {
                let (portal, statement) = (r.cstr()?, r.cstr()?);
                let (formats, values, count) = values(&mut r)?;
                let result_formats = r.u16()?;
                r.bytes(usize::from(result_formats) * 2)?;
                Self::Bind(Bind { portal, statement, formats, values, count })
            }
            b'E' => Self::Execute { portal: r.cstr()?, rows_max: r.u32()? },
            b'D' => Self::Describe(named(&mut r)?),
            b'C' => Self::Close(named(&mut r)?),
            b'd' => Self::CopyData(r.rest()),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(r.cstr()?),
            b'F' => {
                let function = r.u32()?;
                let (formats, values, count) = values(&mut r)?;
                r.u16()?;
                Self::FunctionCall(FunctionCall { function, formats, values, count })
            }
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'p' => Self::Password(r.rest()),
            _ => return Err(Violation::Unexpected { tag, during: "session" }),
        };
        r.end()?;
        Ok(message)
    }
}

fn named<'a>(reader: &mut Reader<'a>) -> Result<Named<'a>, Violation> {
    match reader.u8()? {
        b'S' => Ok(Named::Statement(reader.cstr()?)),
        b'P' => Ok(Named::Portal(reader.cstr()?)),
        _ => Err(reader.violation()),
    }
}

/// A message of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back<'a> {
    /// A step of the login.
    Authentication(Authentication<'a>),
    /// The key to cancel this session.
    BackendKeyData(CancelKey),
    /// A setting the client is told about.
    ParameterStatus {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The target does not speak the minor version or options asked for.
    NegotiateProtocolVersion {
        /// The newest version it speaks, as it stands in the message.
        newest: u32,
    },
    /// The target waits for the next command.
    ReadyForQuery(Transaction),
    /// A statement ended.
    CommandComplete(Tag<'a>),
    /// An empty statement ended.
    EmptyQuery,
    /// A portal stopped at its row limit.
    PortalSuspended,
    /// A statement failed.
    ErrorResponse(Told<'a>),
    /// Something for the person's eyes.
    NoticeResponse(Told<'a>),
    /// The target waits for COPY data.
    CopyIn,
    /// The target will send COPY data.
    CopyOut,
    /// Both, in replication connections.
    CopyBoth,
    /// A piece of COPY data.
    CopyData(&'a [u8]),
    /// The end of COPY data.
    CopyDone,
    /// A row; not decoded.
    DataRow(&'a [u8]),
    /// The columns of the rows to come; not decoded.
    RowDescription(&'a [u8]),
    /// The parameters of a statement; not decoded.
    ParameterDescription,
    /// The statement gives no rows.
    NoData,
    /// A Parse succeeded.
    ParseComplete,
    /// A Bind succeeded.
    BindComplete,
    /// A Close succeeded.
    CloseComplete,
    /// The result of a FunctionCall; not decoded.
    FunctionCallResponse,
    /// A NOTIFY of another session; not decoded.
    NotificationResponse,
}

/// A step of the login, as the target asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The login succeeded.
    Ok,
    /// Asks for the password in clear.
    Cleartext,
    /// Asks for the password hashed with this salt.
    Md5([u8; 4]),
    /// Offers SASL mechanisms: names, each ended by a zero byte.
    Sasl(&'a [u8]),
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The end of a SASL exchange.
    SaslFinal(&'a [u8]),
    /// A method this side does not speak, by its number.
    Other(u32),
}

/// A command tag, such as `INSERT 0 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a>(pub &'a [u8]);

impl Tag<'_> {
    /// Rows the statement gave or touched; `None` for statements without rows.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        let digits = self.0.rsplit(|&b| b == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The words before the numbers, such as `INSERT` or `CREATE TABLE`.
    #[must_use]
    pub fn verb(&self) -> &[u8] {
        let end = self.0.windows(2).position(|w| matches!(w, [b' ', b'0'..=b'9']));
        self.0.get(..end.unwrap_or(self.0.len())).unwrap_or_default()
    }
}

impl<'a> Back<'a> {
    /// Decodes a whole message of a target.
    ///
    /// # Errors
    /// [`Violation::Body`] for a malformed body, [`Violation::Unexpected`] for a type no target sends.
    pub fn parse(tag: u8, body: &'a [u8]) -> Result<Self, Violation> {
        let mut r = Reader::new(tag, body);
        let message = match tag {
            b'R' => Self::Authentication(authentication(&mut r)?),
            b'K' => {
                let process = r.u32()?;
                let secret = r.rest();
                if secret.len() > crate::startup::SECRET_LEN_MAX || secret.len() < 4 {
                    return Err(r.violation());
                }
                Self::BackendKeyData(CancelKey { process, secret: secret.to_vec() })
            }
            b'S' => Self::ParameterStatus { name: r.cstr()?, value: r.cstr()? },
            b'v' => {
                let newest = r.u32()?;
                for _ in 0..r.u32()? {
                    r.cstr()?;
                }
                Self::NegotiateProtocolVersion { newest }
            }
            b'Z' => Self::ReadyForQuery(Transaction::from_code(r.u8()?).ok_or(Violation::Body { tag })?),
            b'C' => Self::CommandComplete(Tag(r.cstr()?)),
            b'E' => Self::ErrorResponse(Told::parse(tag, r.rest())?),
            b'N' => Self::NoticeResponse(Told::parse(tag, r.rest())?),
            b'd' => Self::CopyData(r.rest()),
            b'D' => Self::DataRow(r.rest()),
            b'T' => Self::RowDescription(r.rest()),
            _ => return undecoded(tag, body),
        };
        r.end()?;
        Ok(message)
    }
}

/// Messages whose body is empty or of no interest.
fn undecoded(tag: u8, body: &[u8]) -> Result<Back<'_>, Violation> {
    let message = match tag {
        b'G' => return Ok(Back::CopyIn),
        b'H' => return Ok(Back::CopyOut),
        b'W' => return Ok(Back::CopyBoth),
        b't' => return Ok(Back::ParameterDescription),
        b'V' => return Ok(Back::FunctionCallResponse),
        b'A' => return Ok(Back::NotificationResponse),
        b'I' => Back::EmptyQuery,
        b's' => Back::PortalSuspended,
        b'c' => Back::CopyDone,
        b'n' => Back::NoData,
        b'1' => Back::ParseComplete,
        b'2' => Back::BindComplete,
        b'3' => Back::CloseComplete,
        _ => return Err(Violation::Unexpected { tag, during: "session" }),
    };
    if body.is_empty() { Ok(message) } else { Err(Violation::Body { tag }) }
}

fn authentication<'a>(reader: &mut Reader<'a>) -> Result<Authentication<'a>, Violation> {
    Ok(match reader.u32()? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => {
            let salt = reader.bytes(4)?.try_into().map_err(|_| reader.violation())?;
            Authentication::Md5(salt)
        }
        10 => Authentication::Sasl(reader.rest()),
        11 => Authentication::SaslContinue(reader.rest()),
        12 => Authentication::SaslFinal(reader.rest()),
        code => {
            reader.rest();
            Authentication::Other(code)
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::frame::{Side, first};
    use crate::write;

    fn front(write: impl FnOnce(&mut BytesMut), check: impl FnOnce(Front<'_>)) {
        let mut out = BytesMut::new();
        write(&mut out);
        let (frame, len) = first(Side::Front, &out).unwrap().unwrap();
        assert_eq!(len, out.len());
        check(Front::parse(frame.tag, frame.body).unwrap());
    }

    #[test]
    fn what_is_written_reads_back() {
        front(|o| write::query(o, b"SELECT 1"), |m| assert_eq!(m, Front::Query(b"SELECT 1")));
        front(
            |o| write::parse(o, b"s", b"SELECT $1", &[23, 25]),
            |m| assert_eq!(m, Front::Parse(Parse { statement: b"s", text: b"SELECT $1", types: 2 })),
        );
        front(
            |o| write::bind(o, b"p", b"s", &[Some(b"1"), None, Some(b"")]),
            |m| {
                let Front::Bind(bind) = m else { panic!("{m:?}") };
                let params: Vec<_> = bind.params().collect();
                assert_eq!((bind.portal, bind.statement, bind.len()), (&b"p"[..], &b"s"[..], 3));
                let text = |value| Param { value, binary: false };
                assert_eq!(params, [text(Some(&b"1"[..])), text(None), text(Some(&b""[..]))]);
            },
        );
        front(
            |o| write::execute(o, b"p", 7),
            |m| assert_eq!(m, Front::Execute { portal: b"p", rows_max: 7 }),
        );
        front(|o| write::describe(o, b'S', b"x"), |m| assert_eq!(m, Front::Describe(Named::Statement(b"x"))));
        front(|o| write::close(o, b'P', b""), |m| assert_eq!(m, Front::Close(Named::Portal(b""))));
        front(|o| write::copy_data(o, b"1\t2\n"), |m| assert_eq!(m, Front::CopyData(b"1\t2\n")));
        front(|o| write::copy_fail(o, b"no"), |m| assert_eq!(m, Front::CopyFail(b"no")));
        front(write::sync, |m| assert_eq!(m, Front::Sync));
    }

    #[test]
    fn formats_apply_to_one_or_to_all() {
        let body = |formats: &[u8], count: u8, values: &[u8]| {
            let mut body = b"\0\0".to_vec();
            body.extend_from_slice(&[0, u8::try_from(formats.len() / 2).unwrap()]);
            body.extend_from_slice(formats);
            body.extend_from_slice(&[0, count]);
            body.extend_from_slice(values);
            body.extend_from_slice(&[0, 0]);
            body
        };
        let binary = |body: &[u8]| {
            let Front::Bind(bind) = Front::parse(b'B', body).unwrap() else { panic!("not a bind") };
            bind.params().map(|p| p.binary).collect::<Vec<_>>()
        };
        let two = &[0, 0, 0, 1, 7, 0, 0, 0, 1, 8];
        assert_eq!(binary(&body(&[0, 1], 2, two)), [true, true]);
        assert_eq!(binary(&body(&[0, 1, 0, 0], 2, two)), [true, false]);
        assert_eq!(binary(&body(&[], 2, two)), [false, false]);
        let wrong = body(&[0, 1, 0, 0, 0, 0], 2, two);
        assert_eq!(Front::parse(b'B', &wrong), Err(Violation::Body { tag: b'B' }));
    }

    #[test]
    fn a_value_longer_than_its_message_is_a_violation() {
        let body = b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0";
        assert_eq!(Front::parse(b'B', body), Err(Violation::Body { tag: b'B' }));
        let negative = b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0";
        assert_eq!(Front::parse(b'B', negative), Err(Violation::Body { tag: b'B' }));
        assert_eq!(Front::parse(b'Q', b"SELECT 1\0; DROP TABLE t\0"), Err(Violation::Body { tag: b'Q' }));
        assert_eq!(Front::parse(b'Q', b"SELECT 1"), Err(Violation::Body { tag: b'Q' }));
    }

    #[test]
    fn tags_tell_rows() {
        let rows =
            |tag: &'static [u8]| (Tag(tag).rows(), String::from_utf8(Tag(tag).verb().to_vec()).unwrap());
        assert_eq!(rows(b"INSERT 0 5"), (Some(5), "INSERT".into()));
        assert_eq!(rows(b"SELECT 10000"), (Some(10_000), "SELECT".into()));
        assert_eq!(rows(b"CREATE TABLE"), (None, "CREATE TABLE".into()));
        assert_eq!(rows(b"MERGE 3"), (Some(3), "MERGE".into()));
        assert_eq!(rows(b""), (None, String::new()));
    }

    #[test]
    fn login_messages_read() {
        assert_eq!(
            Back::parse(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]),
            Ok(Back::Authentication(Authentication::Md5([1, 2, 3, 4])))
        );
        assert_eq!(Back::parse(b'R', &[0, 0, 0, 5, 1, 2, 3]), Err(Violation::Body { tag: b'R' }));
        assert_eq!(
            Back::parse(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]),
            Ok(Back::BackendKeyData(CancelKey { process: 9, secret: vec![1, 2, 3, 4] }))
        );
        assert_eq!(Back::parse(b'Z', b"T"), Ok(Back::ReadyForQuery(Transaction::Open)));
        assert_eq!(Back::parse(b'Z', b"x"), Err(Violation::Body { tag: b'Z' }));
        assert!(Back::parse(b'v', &[0, 3, 0, 0, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}

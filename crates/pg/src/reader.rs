//! A cursor over the body of one message. Every read is checked; nothing is copied.

use crate::violation::Violation;

/// What is left of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    tag: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tag: u8, body: &'a [u8]) -> Self {
        Self { tag, rest: body }
    }

    pub(crate) fn violation(&self) -> Violation {
        Violation::Body { tag: self.tag }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Violation::Body { tag: self.tag })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Violation> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Violation> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Violation> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Violation::Body { tag: self.tag })?;
        self.rest = rest;
        Ok(head)
    }

    /// A string up to its zero byte, without it.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], Violation> {
        let end = memchr::memchr(0, self.rest).ok_or(Violation::Body { tag: self.tag })?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// A value with a length before it; -1 is NULL.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, Violation> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| Violation::Body { tag: self.tag })?;
                self.bytes(len).map(Some)
            }
        }
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Checks that the body held nothing more.
    pub(crate) fn end(&self) -> Result<(), Violation> {
        if self.rest.is_empty() { Ok(()) } else { Err(Violation::Body { tag: self.tag }) }
    }
}

//! A table of numbered things that is cheap to copy: the state is copied for every command, and most of it is the past.

use std::sync::Arc;

const CHUNK: usize = 256;

/// Rows numbered from 1 without a gap, shared between copies in chunks.
#[derive(Clone, Debug)]
pub struct Table<T> {
    chunks: Vec<Arc<Vec<Arc<T>>>>,
    len: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

fn place(number: u64) -> Option<(usize, usize)> {
    let at = usize::try_from(number.checked_sub(1)?).ok()?;
    Some((at / CHUNK, at % CHUNK))
}

impl<T: Clone> Table<T> {
    /// How many rows there are; also the highest number.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row of that number.
    #[must_use]
    pub fn row(&self, number: u64) -> Option<&Arc<T>> {
        let (chunk, at) = place(number)?;
        self.chunks.get(chunk)?.get(at)
    }

    /// Adds a row; its number is the new length.
    pub(crate) fn push(&mut self, row: T) {
        self.len += 1;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(Arc::new(row)),
            Some(_) | None => self.chunks.push(Arc::new(vec![Arc::new(row)])),
        }
    }

    /// The row of that number, to change; copies it when another copy of the table shares it.
    pub(crate) fn change(&mut self, number: u64) -> Option<&mut T> {
        let (chunk, at) = place(number)?;
        Arc::make_mut(self.chunks.get_mut(chunk)?).get_mut(at).map(Arc::make_mut)
    }
}

impl<T> Table<T> {
    /// The rows, lowest number first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T: Clone> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let mut table = Self::default();
        for row in rows {
            table.push(row);
        }
        table
    }
}

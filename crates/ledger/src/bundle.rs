//! Entry bundles and sidecar bundles: up to 256 byte strings, each after its big-endian length.
//!
//! `tile/entries` uses 16-bit lengths (C2SP tlog-tiles). `sidecar` is ours: 32-bit lengths, and length 0 says that there is no
//! sidecar in the slot, because the record has none or because it was erased.

use std::fmt;

/// Longest entry, bytes.
pub const ENTRY_LEN_MAX: usize = 65_535;

/// Longest sidecar, bytes.
pub const SIDECAR_LEN_MAX: usize = 16 << 20;

/// Appends an entry to a bundle.
///
/// # Errors
/// [`TooLong`] when the entry exceeds [`ENTRY_LEN_MAX`]; the bundle is unchanged.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TooLong> {
    let len = u16::try_from(entry.len()).map_err(|_| TooLong { len: entry.len(), len_max: ENTRY_LEN_MAX })?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Appends a slot to a sidecar bundle; `None` and an empty sidecar are the same.
///
/// # Errors
/// [`TooLong`] when the sidecar exceeds [`SIDECAR_LEN_MAX`]; the bundle is unchanged.
pub fn push_sidecar(bundle: &mut Vec<u8>, sidecar: Option<&[u8]>) -> Result<(), TooLong> {
    let sidecar = sidecar.unwrap_or_default();
    let too_long = TooLong { len: sidecar.len(), len_max: SIDECAR_LEN_MAX };
    let len =
        u32::try_from(sidecar.len()).ok().filter(|_| sidecar.len() <= SIDECAR_LEN_MAX).ok_or(too_long)?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(sidecar);
    Ok(())
}

/// Reads the entries of a bundle in order; ends after the first error.
#[must_use]
pub fn entries(bundle: &[u8]) -> Entries<'_> {
    Entries { rest: bundle }
}

/// Reads the slots of a sidecar bundle in order; ends after the first error.
#[must_use]
pub fn sidecars(bundle: &[u8]) -> Sidecars<'_> {
    Sidecars { rest: bundle }
}

/// Entries of a bundle.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self
            .rest
            .split_first_chunk()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*len))));
        Some(advance(&mut self.rest, split))
    }
}

/// Slots of a sidecar bundle.
#[derive(Clone, Debug)]
pub struct Sidecars<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Sidecars<'a> {
    type Item = Result<Option<&'a [u8]>, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.rest.split_first_chunk().and_then(|(len, rest)| {
            let len = usize::try_from(u32::from_be_bytes(*len)).ok().filter(|len| *len <= SIDECAR_LEN_MAX)?;
            rest.split_at_checked(len)
        });
        Some(advance(&mut self.rest, split).map(|sidecar| (!sidecar.is_empty()).then_some(sidecar)))
    }
}

fn advance<'a>(rest: &mut &'a [u8], split: Option<(&'a [u8], &'a [u8])>) -> Result<&'a [u8], Cut> {
    let (item, after) = split.unwrap_or_default();
    *rest = after;
    if split.is_some() { Ok(item) } else { Err(Cut) }
}

/// An entry or sidecar that no bundle can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its length, bytes.
    pub len: usize,
    /// The longest allowed, bytes.
    pub len_max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are more than the {} that one entry may have", self.len, self.len_max)
    }
}

impl std::error::Error for TooLong {}

/// The bundle ends inside an item, or announces one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bundle ends inside an entry")
    }
}

impl std::error::Error for Cut {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bundle() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, b"ab").unwrap();
        push_entry(&mut bundle, b"").unwrap();
        assert_eq!(bundle, b"\x00\x02ab\x00\x00");
        let mut sidecar = Vec::new();
        push_sidecar(&mut sidecar, None).unwrap();
        push_sidecar(&mut sidecar, Some(b"x")).unwrap();
        assert_eq!(sidecar, b"\x00\x00\x00\x00\x00\x00\x00\x01x");
    }

    #[test]
    fn limits() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, &[7; ENTRY_LEN_MAX]).unwrap();
        assert_eq!(push_entry(&mut bundle, &[7; 65_536]), Err(TooLong { len: 65_536, len_max: 65_535 }));
        assert_eq!(bundle.len(), 65_537);
        assert!(push_sidecar(&mut bundle, Some(&vec![0; SIDECAR_LEN_MAX + 1])).is_err());
        assert_eq!(sidecars(&[0xff; 40]).next(), Some(Err(Cut)));
        assert_eq!(entries(&[0]).collect::<Vec<_>>(), [Err(Cut)]);
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..256)) {
            let (mut bundle, mut beside) = (Vec::new(), Vec::new());
            for item in &items {
                push_entry(&mut bundle, item).unwrap();
                push_sidecar(&mut beside, Some(item)).unwrap();
            }
            let read: Vec<_> = entries(&bundle).map(|entry| entry.unwrap().to_vec()).collect();
            prop_assert_eq!(&read, &items);
            let read: Vec<_> = sidecars(&beside).map(|slot| slot.unwrap().unwrap_or_default().to_vec()).collect();
            prop_assert_eq!(&read, &items);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(entries(&bytes).count() <= bytes.len());
            prop_assert!(sidecars(&bytes).count() <= bytes.len());
        }
    }
}

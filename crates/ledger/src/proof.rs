//! Inclusion and consistency proofs (RFC 6962 section 2.1; verification as RFC 9162 sections 2.1.3.2 and 2.1.4.2).
//!
//! Building asks the caller for the roots of perfect subtrees, so the hashes may come from tiles, memory or a server
//! (`source.rs` has the one that reads tiles). Verifying needs only the proof and the roots.

use std::fmt;

use crate::tree::{EMPTY_ROOT, Hash, node_hash};

/// Most hashes in a proof: more do not occur in a tree of `u64` size.
pub const PROOF_LEN_MAX: usize = 128;

/// Builds the proof that record `index` is in the tree of `size` records; the sibling of the leaf first.
///
/// `subtree(level, index)` gives the root of the `2^level` records from `index << level` on.
///
/// # Errors
/// [`BuildError::Range`] unless `index < size`; what `subtree` returns.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    mut subtree: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, BuildError<E>> {
    if index >= size {
        return Err(BuildError::Range);
    }
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(range_root(middle, high, &mut subtree)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, &mut subtree)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Builds the proof that the tree of `new` records continues the tree of `old` records. Empty when `old` is 0 or `new`.
///
/// # Errors
/// [`BuildError::Range`] unless `old <= new`; what `subtree` returns (see [`inclusion`]).
pub fn consistency<E>(
    old: u64,
    new: u64,
    mut subtree: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, BuildError<E>> {
    if old > new {
        return Err(BuildError::Range);
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new);
    // RFC 6962 2.1.2 SUBPROOF, its recursion as a loop: the tail is what the recursion appends last.
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(range_root(middle, high, &mut subtree)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, &mut subtree)?);
            low = middle;
        }
    }
    if low > 0 {
        proof.push(range_root(low, high, &mut subtree)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Root of the tree of `size` records.
///
/// # Errors
/// What `subtree` returns (see [`inclusion`]).
pub fn root<E>(size: u64, mut subtree: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    if size == 0 { Ok(EMPTY_ROOT) } else { range_root(0, size, &mut subtree) }
}

/// Verifies that the record with hash `leaf` is number `index` of the tree (`size`, `root`).
///
/// # Errors
/// [`ProofError`] says why the proof does not show it.
pub fn verify_inclusion(
    index: u64,
    leaf: Hash,
    size: u64,
    root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last == 0, hash == root) {
        (true, true) => Ok(()),
        (true, false) => Err(ProofError::Root),
        (false, _) => Err(ProofError::Length),
    }
}

/// Verifies that the tree (`new`, `new_root`) starts with the whole tree (`old`, `old_root`).
///
/// # Errors
/// [`ProofError`] says why the proof does not show it.
pub fn verify_consistency(
    old: u64,
    old_root: Hash,
    new: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Range);
    }
    if old == 0 || old == new {
        let same = if old == 0 { old_root == EMPTY_ROOT } else { old_root == new_root };
        return match (proof.is_empty(), same) {
            (false, _) => Err(ProofError::Length),
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
        };
    }
    let mut rest = proof.iter();
    // When the old tree is one perfect subtree, its root starts the proof and is left out.
    let first = if old.is_power_of_two() { old_root } else { *rest.next().ok_or(ProofError::Length)? };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(hash, &of_old);
            of_new = node_hash(hash, &of_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    match (last == 0, of_old == old_root && of_new == new_root) {
        (true, true) => Ok(()),
        (true, false) => Err(ProofError::Root),
        (false, _) => Err(ProofError::Length),
    }
}

/// Root of the records `low..high`, where `low` is a multiple of the largest power of two in `high - low`.
fn range_root<E>(
    low: u64,
    high: u64,
    subtree: &mut impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let len = high - low;
    if len.is_power_of_two() {
        let level = len.trailing_zeros();
        return subtree(u8::try_from(level).unwrap_or(u8::MAX), low >> level);
    }
    let middle = low + split(len);
    let left = range_root(low, middle, subtree)?;
    Ok(node_hash(&left, &range_root(middle, high, subtree)?))
}

/// The largest power of two below `len`, for `len` above 1.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

/// A proof that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError<E> {
    /// The record or the old tree is not in the tree.
    Range,
    /// A hash could not be had.
    Source(E),
}

impl<E> From<E> for BuildError<E> {
    fn from(error: E) -> Self {
        Self::Source(error)
    }
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str("the log is not that long"),
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for BuildError<E> {}

/// A proof that does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// The record or the old tree is not in the tree at all.
    Range,
    /// The proof has too many or too few hashes.
    Length,
    /// The proof leads to another root.
    Root,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Range => "the log is not that long",
            Self::Length => "the proof has the wrong number of hashes",
            Self::Root => "the proof leads to another root hash",
        })
    }
}

impl std::error::Error for ProofError {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ct_merkle::{ConsistencyProof, InclusionProof, mem_backed_tree::MemoryBackedTree};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;
    use crate::tree::{Tree, leaf_hash};

    fn entry(index: u64) -> Vec<u8> {
        index.to_be_bytes().to_vec()
    }

    /// A naive subtree root: the definition, by recursion.
    fn naive(level: u8, index: u64) -> Result<Hash, Infallible> {
        if level == 0 {
            return Ok(leaf_hash(&entry(index)));
        }
        Ok(node_hash(&naive(level - 1, index * 2)?, &naive(level - 1, index * 2 + 1)?))
    }

    fn our_root(size: u64) -> Hash {
        let mut tree = Tree::new();
        (0..size).for_each(|index| tree.push(leaf_hash(&entry(index))));
        tree.root()
    }

    fn oracle(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
        let mut tree = MemoryBackedTree::new();
        (0..size).for_each(|index| tree.push(entry(index)));
        tree
    }

    fn bytes(proof: &[Hash]) -> Vec<u8> {
        proof.iter().flat_map(|hash| hash.0).collect()
    }

    #[test]
    fn small_trees_agree_with_the_oracle() {
        for size in 1..40 {
            let oracle = oracle(size);
            let root = our_root(size);
            assert_eq!(root.0.as_slice(), oracle.root().as_bytes().as_slice());
            assert_eq!(super::root(size, naive), Ok(root));
            for index in 0..size {
                let proof = inclusion(index, size, naive).unwrap();
                let expected: InclusionProof<Sha256> =
                    oracle.prove_inclusion(usize::try_from(index).unwrap());
                assert_eq!(bytes(&proof), expected.as_bytes(), "record {index} of {size}");
                assert_eq!(verify_inclusion(index, naive(0, index).unwrap(), size, root, &proof), Ok(()));
            }
            for old in 1..=size {
                let proof = consistency(old, size, naive).unwrap();
                let added = usize::try_from(size - old).unwrap();
                let expected: ConsistencyProof<Sha256> = oracle.prove_consistency(added);
                assert_eq!(bytes(&proof), expected.as_bytes(), "{old} to {size}");
                assert_eq!(verify_consistency(old, our_root(old), size, root, &proof), Ok(()));
            }
        }
    }

    #[test]
    fn out_of_range() {
        assert_eq!(inclusion(3, 3, naive), Err(BuildError::Range));
        assert_eq!(consistency(4, 3, naive), Err(BuildError::Range));
        assert_eq!(verify_inclusion(3, EMPTY_ROOT, 3, EMPTY_ROOT, &[]), Err(ProofError::Range));
        assert_eq!(verify_consistency(4, EMPTY_ROOT, 3, EMPTY_ROOT, &[]), Err(ProofError::Range));
        assert_eq!(verify_consistency(0, EMPTY_ROOT, 3, our_root(3), &[]), Ok(()));
        assert_eq!(verify_consistency(0, our_root(1), 3, our_root(3), &[]), Err(ProofError::Root));
        assert_eq!(verify_consistency(3, our_root(3), 3, our_root(2), &[]), Err(ProofError::Root));
        assert_eq!(
            verify_consistency(3, our_root(3), 3, our_root(3), &[EMPTY_ROOT]),
            Err(ProofError::Length)
        );
        let last = u64::MAX;
        assert!(
            verify_inclusion(last - 1, EMPTY_ROOT, last, EMPTY_ROOT, &[EMPTY_ROOT; PROOF_LEN_MAX]).is_err()
        );
        assert!(
            verify_consistency(last - 1, EMPTY_ROOT, last, EMPTY_ROOT, &[EMPTY_ROOT; PROOF_LEN_MAX]).is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_inclusion_proof_fails(size in 1u64..600, at in any::<u64>(), flip in any::<usize>()) {
            let index = at % size;
            let (leaf, root) = (naive(0, index).unwrap(), our_root(size));
            let proof = inclusion(index, size, naive).unwrap();
            prop_assert_eq!(verify_inclusion(index, leaf, size, root, &proof), Ok(()));
            prop_assert!(verify_inclusion(index, naive(0, size).unwrap(), size, root, &proof).is_err());
            if size > 1 {
                prop_assert!(verify_inclusion((index + 1) % size, leaf, size, root, &proof).is_err());
                let mut changed = proof.clone();
                changed[flip % proof.len()].0[flip % 32] ^= 1;
                prop_assert_eq!(verify_inclusion(index, leaf, size, root, &changed), Err(ProofError::Root));
                prop_assert!(verify_inclusion(index, leaf, size, root, &proof[1..]).is_err());
            }
            let longer = [proof.as_slice(), &[root]].concat();
            prop_assert_eq!(verify_inclusion(index, leaf, size, root, &longer), Err(ProofError::Length));
        }

        #[test]
        fn a_changed_consistency_proof_fails(new in 2u64..600, at in any::<u64>(), flip in any::<usize>()) {
            let old = 1 + at % (new - 1);
            let (old_root, new_root) = (our_root(old), our_root(new));
            let proof = consistency(old, new, naive).unwrap();
            prop_assert_eq!(verify_consistency(old, old_root, new, new_root, &proof), Ok(()));
            prop_assert_eq!(verify_consistency(old, new_root, new, new_root, &proof), Err(ProofError::Root));
            prop_assert_eq!(verify_consistency(old, old_root, new, old_root, &proof), Err(ProofError::Root));
            let mut changed = proof.clone();
            changed[flip % proof.len()].0[flip % 32] ^= 1;
            prop_assert_eq!(verify_consistency(old, old_root, new, new_root, &changed), Err(ProofError::Root));
            prop_assert!(verify_consistency(old, old_root, new, new_root, &proof[1..]).is_err());
            let longer = [proof.as_slice(), &[new_root]].concat();
            prop_assert!(verify_consistency(old, old_root, new, new_root, &longer).is_err());
        }
    }
}

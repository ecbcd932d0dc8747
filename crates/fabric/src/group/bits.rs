//! Sets of entries by their place in the graph: one bit for each.

/// A set of small numbers. Grows as needed; what was never put in is not in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn insert(&mut self, at: usize) {
        let word = at / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(super) fn union(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(super) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The lowest number in both.
    pub(super) fn first_common(&self, other: &Self) -> Option<usize> {
        self.common(other).next()
    }

    /// The numbers in both, ascending.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(at, (mine, theirs))| ones(at, mine & theirs))
    }

    /// The numbers in it, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| ones(at, word))
    }
}

fn ones(at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.checked_sub(1)?;
        Some(at * 64 + bit)
    })
}

impl FromIterator<usize> for Bits {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut bits = Self::default();
        numbers.into_iter().for_each(|at| bits.insert(at));
        bits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(a in proptest::collection::btree_set(0usize..300, 0..40),
                            b in proptest::collection::btree_set(0usize..300, 0..40)) {
            let (bits_a, bits_b): (Bits, Bits) = (a.iter().copied().collect(), b.iter().copied().collect());
            let both: BTreeSet<usize> = a.intersection(&b).copied().collect();
            prop_assert_eq!(bits_a.common(&bits_b).collect::<BTreeSet<_>>(), both.clone());
            prop_assert_eq!(bits_a.intersects(&bits_b), !both.is_empty());
            prop_assert_eq!(bits_a.first_common(&bits_b), both.first().copied());
            let mut union = bits_a.clone();
            union.union(&bits_b);
            prop_assert_eq!(union.iter().collect::<BTreeSet<_>>(), &a | &b);
            a.iter().for_each(|&at| union.remove(at));
            prop_assert_eq!(union.iter().collect::<BTreeSet<_>>(), &b - &a);
            prop_assert_eq!(bits_a.is_empty(), a.is_empty());
            prop_assert!((0..320).all(|at| bits_a.contains(at) == a.contains(&at)));
        }
    }
}

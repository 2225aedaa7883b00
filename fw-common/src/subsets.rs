//! Identities for a series of subsets of the same few thousand elements, without listing them.

use std::{collections::HashMap, vec, vec::Vec};

/// A subset of the numbers below a bound, which changes by one number at a time. Each subset has an identity. It comes from a segment tree over the
/// numbers in which equal halves are the same node. A change costs the logarithm of the bound.
#[derive(Debug)]
pub(crate) struct Subsets {
    /// Node 1 is the root, and nodes 2n and 2n + 1 are the halves of node n. The last half of all nodes are the numbers: 1 for a member.
    tree: Vec<u32>,
    /// The identity of each pair of halves that ever occurred. The identity of an empty pair is 0.
    known: HashMap<[u32; 2], u32>,
    len: usize,
}

impl Subsets {
    /// The empty subset of the numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self { tree: vec![0; bound.next_power_of_two() * 2], known: HashMap::from([([0, 0], 0)]), len: 0 }
    }

    /// Add a number, or remove it if it is a member.
    pub(crate) fn toggle(&mut self, number: usize) {
        let mut node = self.tree.len() / 2 + number;
        self.tree[node] ^= 1;
        self.len = if self.tree[node] == 1 { self.len + 1 } else { self.len - 1 };
        while node > 1 {
            node /= 2;
            // 0 and 1 are the numbers' own.
            let next = self.known.len() as u32 + 1;
            self.tree[node] = *self.known.entry([self.tree[2 * node], self.tree[2 * node + 1]]).or_insert(next);
        }
    }

    /// The identity of the current subset: equal subsets have equal identities.
    pub(crate) fn id(&self) -> u32 {
        self.tree[1]
    }

    /// How many members there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no member.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The members, the smallest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let numbers = &self.tree[self.tree.len() / 2..];
        numbers.iter().enumerate().filter(|(_, state)| **state == 1).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_the_same_however_it_came_about() {
        for bound in [1, 2, 5, 8] {
            let mut ids = HashMap::new();
            let mut subsets = Subsets::new(bound);
            // Every subset, by a Gray code and then by another way.
            for step in (0..1_usize << bound).map(|n| n ^ (n >> 1)).chain(0..1 << bound) {
                for number in (0..bound)
                    .filter(|number| (step >> number) & 1 != usize::from(subsets.iter().any(|one| one == *number)))
                    .collect::<Vec<_>>()
                {
                    subsets.toggle(number);
                }
                assert_eq!(subsets.len(), step.count_ones() as usize);
                assert_eq!(*ids.entry(step).or_insert(subsets.id()), subsets.id(), "{step:b} of {bound}");
            }
            let different: std::collections::HashSet<u32> = ids.values().copied().collect();
            assert_eq!(different.len(), 1 << bound);
        }
    }
}

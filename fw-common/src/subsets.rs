//! Identities for a series of subsets of the same thousands of elements, without listing them.

use std::{collections::HashMap, iter, vec, vec::Vec};

/// A subset of the numbers below a bound, which changes by a few numbers at a time. Each subset has an identity. It comes from a segment tree over the
/// numbers in which equal halves are the same node. A change costs at most the logarithm of the bound for each number.
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

    /// Add numbers, or remove those that are members.
    pub(crate) fn toggle(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let first = self.tree.len() / 2;
        let mut nodes: Vec<usize> = numbers.into_iter().map(|number| first + number).collect();
        for &node in &nodes {
            self.tree[node] ^= 1;
            self.len = if self.tree[node] == 1 { self.len + 1 } else { self.len - 1 };
        }
        nodes.sort_unstable();
        // All nodes are of the same level, so that each above them changes once.
        while nodes.first().is_some_and(|node| *node > 1) {
            for node in &mut nodes {
                *node /= 2;
            }
            nodes.dedup();
            for &node in &nodes {
                // 0 and 1 are the numbers' own.
                let next = self.known.len() as u32 + 1;
                self.tree[node] = *self.known.entry([self.tree[2 * node], self.tree[2 * node + 1]]).or_insert(next);
            }
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

    /// The members, the smallest first. It costs the logarithm of the bound for each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let first = self.tree.len() / 2;
        self.nodes().filter_map(move |node| node.checked_sub(first))
    }

    /// The nodes with members: each before its halves, and the lower half before the upper one.
    fn nodes(&self) -> impl Iterator<Item = usize> {
        let mut to_visit: Vec<usize> = self.with_members(1).collect();
        iter::from_fn(move || {
            let node = to_visit.pop()?;
            if node < self.tree.len() / 2 {
                to_visit.extend(self.with_members(2 * node + 1).chain(self.with_members(2 * node)));
            }
            Some(node)
        })
    }

    /// A node, if it has members.
    fn with_members(&self, node: usize) -> impl Iterator<Item = usize> {
        (self.tree[node] != 0).then_some(node).into_iter()
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
                let before = subsets.iter().fold(0, |before, number| before | 1 << number);
                subsets.toggle((0..bound).filter(|number| (step ^ before) >> number & 1 != 0));
                assert_eq!(subsets.len(), step.count_ones() as usize);
                assert_eq!(*ids.entry(step).or_insert(subsets.id()), subsets.id(), "{step:b} of {bound}");
            }
            let different: std::collections::HashSet<u32> = ids.values().copied().collect();
            assert_eq!(different.len(), 1 << bound);
        }
    }

    #[test]
    fn the_members_are_found_on_the_way_down() {
        const LEVELS: usize = 16;
        let mut subsets = Subsets::new(1 << LEVELS);
        assert_eq!(subsets.nodes().count(), 0);
        let mut members = Vec::new();
        for number in [0, 1, 40_000, (1 << LEVELS) - 1] {
            subsets.toggle([number]);
            members.push(number);
            assert_eq!(subsets.iter().collect::<Vec<_>>(), members);
            let visited = subsets.nodes().count();
            assert!(visited <= members.len() * (LEVELS + 1), "{visited} nodes for {} members", members.len());
        }
    }
}

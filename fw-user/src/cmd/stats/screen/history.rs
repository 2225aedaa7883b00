//! The history of a rate, for the sparklines.

use std::collections::VecDeque;

/// The latest rates, as many as the widest terminal shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(VecDeque<u64>);

impl History {
    const LENGTH: usize = 512;

    pub(crate) fn push(&mut self, rate: u64) {
        if self.0.len() == Self::LENGTH {
            self.0.pop_back();
        }
        self.0.push_front(rate);
    }

    /// The latest first.
    pub(crate) fn rates(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_rates_leave() {
        let mut history = History::default();
        (0..=History::LENGTH as u64).for_each(|rate| history.push(rate));
        let rates: Vec<u64> = history.rates().collect();
        assert_eq!(rates.len(), History::LENGTH);
        assert_eq!((rates.first(), rates.last()), (Some(&512), Some(&1)));
    }
}

//! Numbers that come nearly in order, each once.

use std::collections::BTreeSet;

/// How many that were passed over are remembered: more than a writer has in its hands. Of more, the least count as having come.
const MOST: usize = 8192;

/// How a number came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Behind all that had come.
    Last,
    /// Behind later ones.
    Late,
    Again,
}

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// All before it have come but those that are missing.
    next: u64,
    missing: BTreeSet<u64>,
}

impl Numbers {
    pub(super) fn add(&mut self, number: u64) -> Came {
        if number >= self.next {
            self.missing.extend(self.next.max(number.saturating_sub(MOST as u64))..number);
            while self.missing.len() > MOST {
                self.missing.pop_first();
            }
            self.next = number + 1;
            Came::Last
        } else if self.missing.remove(&number) {
            Came::Late
        } else {
            Came::Again
        }
    }

    pub(super) fn has(&self, number: u64) -> bool {
        number < self.next && !self.missing.contains(&number)
    }

    /// Whether later ones have come, and this one has not.
    pub(super) fn is_missing(&self, number: u64) -> bool {
        self.missing.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_comes_once_in_order_or_late_and_no_more_are_missing_than_have_room() {
        let mut numbers = Numbers::default();
        let came: Vec<Came> = [0, 3, 1, 1, 3].map(|number| numbers.add(number)).into();
        assert_eq!(came, [Came::Last, Came::Last, Came::Late, Came::Again, Came::Again]);
        assert!(numbers.has(1) && !numbers.has(2) && numbers.is_missing(2) && !numbers.has(4));
        numbers.add(1 << 40);
        assert!(numbers.missing.len() == MOST && numbers.has(2) && numbers.is_missing((1 << 40) - 1));
    }
}

//! A ring of a fixed number of entries.

use std::mem::MaybeUninit;
use std::ops::Range;

/// The last `N` entries. All its memory is set aside at the start and none of it touched: a page that was never written
/// costs nothing.
#[derive(Debug)]
pub(super) struct Ring<T, const N: usize> {
    entries: Vec<T>,
    /// How many were ever pushed: the number of the next one.
    pushed: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    /// What it takes, in bytes.
    pub const BYTES: usize = N * size_of::<T>();

    pub fn new() -> Self {
        Self { entries: Vec::with_capacity(N), pushed: 0 }
    }

    /// Adds an entry in place of the oldest one, once there are `N`.
    pub fn push(&mut self, entry: T) {
        match self.entries.get_mut(self.pushed % N) {
            Some(oldest) => *oldest = entry,
            None => self.entries.push(entry),
        }
        self.pushed += 1;
    }

    /// The number of the oldest entry that is still there.
    pub fn oldest(&self) -> usize {
        self.pushed - self.entries.len()
    }

    /// The number that the next entry will have.
    pub fn end(&self) -> usize {
        self.pushed
    }

    /// Of these numbers the first `most` whose entries are still there; what follows begins where they end.
    pub fn some_of(&self, numbers: Range<usize>, most: usize) -> Range<usize> {
        let begin = numbers.start.max(self.oldest());
        begin..numbers.end.min(begin + most)
    }

    /// The entry of this number, unless it is gone, or yet to come.
    pub fn get(&self, number: usize) -> Option<&T> {
        (self.oldest()..self.pushed).contains(&number).then(|| self.entries.get(number % N)).flatten()
    }

    /// Writes to the pages that were never used, so that they are there when they are needed.
    pub fn touch(&mut self) {
        self.entries.spare_capacity_mut().iter_mut().for_each(|slot| {
            *slot = MaybeUninit::zeroed();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ring: &Ring<u32, 4>) -> Vec<u32> {
        (ring.oldest()..ring.end()).filter_map(|number| ring.get(number).copied()).collect()
    }

    #[test]
    fn the_last_are_kept_in_order() {
        let mut ring = Ring::<u32, 4>::new();
        assert_eq!(numbers(&ring), [0_u32; 0]);
        for (pushed, kept) in [(1, vec![1]), (2, vec![1, 2]), (4, vec![1, 2, 3, 4]), (5, vec![2, 3, 4, 5])] {
            while ring.end() < pushed {
                ring.push(u32::try_from(ring.end()).unwrap() + 1);
            }
            assert_eq!(numbers(&ring), kept);
        }
        for n in 6..=103 {
            ring.push(n);
        }
        assert_eq!(numbers(&ring), [100, 101, 102, 103]);
        assert_eq!((ring.get(98), ring.get(103)), (None, None), "gone, and yet to come");
    }

    #[test]
    fn it_never_grows() {
        let mut ring = Ring::<u32, 4>::new();
        let capacity = ring.entries.capacity();
        ring.touch();
        (0..100).for_each(|n| ring.push(n));
        assert_eq!((ring.entries.len(), ring.entries.capacity()), (4, capacity));
    }
}

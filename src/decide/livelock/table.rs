//! The detectors of all cgroups under watch: as many as were made room for, never more.

use std::time::Duration;

use super::{Detector, Sample, Terms, Verdict};

/// Detectors by the caller's number of a cgroup (its inode: a cgroup made anew under an old name is another one).
///
/// When it is full, a new cgroup takes the place of a [`Verdict::Quiet`] one, else of a [`Verdict::Watching`] one, of each
/// sort the one that was not sampled for longest; a stalled one is never evicted.
#[derive(Debug)]
pub struct Table {
    /// Beside the detectors, so that finding one does not walk over their kilobytes.
    ids: Vec<u64>,
    detectors: Vec<Detector>,
}

impl Table {
    /// Room for `capacity` detectors (of some 4 KiB each): the only allocation.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { ids: Vec::with_capacity(capacity), detectors: Vec::with_capacity(capacity) }
    }

    /// How many cgroups are under watch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The detector of a cgroup.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Detector> {
        self.position(id).map(|at| &self.detectors[at])
    }

    /// The same, for [`Detector::restart`].
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Detector> {
        self.position(id).map(|at| &mut self.detectors[at])
    }

    /// Shows a cgroup's detector a sample. Other `terms` than before begin a new window. `None` when the cgroup is not
    /// under watch and every place is held by a stalled one.
    pub fn push(&mut self, id: u64, terms: &Terms, sample: &Sample) -> Option<Verdict> {
        let at = match self.position(id) {
            Some(at) => at,
            None => self.admit(id, terms)?,
        };
        let detector = &mut self.detectors[at];
        if detector.terms() != terms {
            *detector = Detector::new(*terms);
        }
        Some(detector.push(sample))
    }

    /// Forgets a cgroup. Whether it was under watch.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.position(id) else { return false };
        self.ids.swap_remove(at);
        self.detectors.swap_remove(at);
        true
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }

    fn admit(&mut self, id: u64, terms: &Terms) -> Option<usize> {
        if self.ids.len() == self.ids.capacity() || self.detectors.len() == self.detectors.capacity() {
            let evicted = self.least_wanted()?;
            self.ids.swap_remove(evicted);
            self.detectors.swap_remove(evicted);
        }
        self.ids.push(id);
        self.detectors.push(Detector::new(*terms));
        Some(self.ids.len() - 1)
    }

    fn least_wanted(&self) -> Option<usize> {
        let rank = |detector: &Detector| match detector.verdict() {
            Verdict::Quiet => Some(0),
            Verdict::Watching => Some(1),
            Verdict::Stalled(_) => None,
        };
        let sampled = |detector: &Detector| detector.last().map_or(Duration::ZERO, |sample| sample.t);
        let wanted = |(at, d): (usize, &Detector)| rank(d).map(|rank| ((rank, sampled(d)), at));
        self.detectors.iter().enumerate().filter_map(wanted).min().map(|(_, at)| at)
    }
}

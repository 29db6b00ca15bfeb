//! The set of streamed grains.

use std::collections::BTreeMap;

use diskimg_core::{Budget, GuestOffset, HostOffset, Result, ensure};

use super::cross_check::charge;
use crate::errors::{corrupt, limit};

/// Words of a page of bits: 4 KiB, 32768 grains, 2 GiB of a disk with grains of the usual size. Our choice.
const WORDS: usize = 512;
/// Grains of a page.
const PAGE_GRAINS: u64 = 64 * WORDS as u64;
/// Memory charged for a page, including its share of the map.
const PAGE_COST: u64 = 8 * WORDS as u64 + 64;

/// A bitmap of the streamed grains, with pages only where the disk has grains.
///
/// A grain past all others is new whatever the bits say. When the budget is exhausted, all pages are dropped and the set
/// starts anew: a stream in guest order is not affected, and only a grain below that point is refused.
pub(super) struct GrainSet {
    pages: BTreeMap<u64, Box<[u64; WORDS]>>,
    /// One more than the highest streamed grain.
    next: u64,
    /// Grains below this one were dropped.
    dropped: u64,
}

impl GrainSet {
    pub(super) const fn new() -> Self {
        Self { pages: BTreeMap::new(), next: 0, dropped: 0 }
    }

    /// Inserts a grain, whose marker is at `at`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] if the set contains it, [`diskimg_core::ErrorKind::Limit`] if that is no
    /// longer known.
    pub(super) fn insert(
        &mut self,
        grain: u64,
        at: HostOffset,
        guest: GuestOffset,
        budget: &Budget,
    ) -> Result<()> {
        ensure(grain >= self.dropped, || {
            let because = "too far back in the disk to detect a duplicate";
            limit("grain order").at(at.0).guest(guest.0).because(because)
        })?;
        let (page, bit) = (grain / PAGE_GRAINS, grain % PAGE_GRAINS);
        if !self.pages.contains_key(&page) {
            self.make_room(budget)?;
            self.pages.insert(page, Box::new([0; WORDS]));
        }
        let index = usize::try_from(bit / 64).unwrap_or(usize::MAX);
        let word = self.pages.get_mut(&page).and_then(|words| words.get_mut(index));
        let mask = 1_u64 << (bit % 64);
        match word {
            Some(word) if *word & mask == 0 => *word |= mask,
            _ => return Err(corrupt("grain").at(at.0).guest(guest.0).because("this grain occurs twice")),
        }
        self.next = self.next.max(grain.saturating_add(1));
        Ok(())
    }

    fn make_room(&mut self, budget: &Budget) -> Result<()> {
        if budget.take(PAGE_COST).is_ok() {
            return Ok(());
        }
        budget.give_back(PAGE_COST.saturating_mul(self.pages.len() as u64));
        self.pages.clear();
        self.dropped = self.next;
        charge(budget, PAGE_COST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Error, ErrorKind};

    fn insert(set: &mut GrainSet, grain: u64, budget: &Budget) -> Result<(), Error> {
        set.insert(grain, HostOffset(512), GuestOffset(9), budget)
    }

    #[test]
    fn grain_is_inserted_once() {
        let (mut set, budget) = (GrainSet::new(), Budget::new("test", 1 << 20));
        for grain in [5, 0, 63, 64, 32_767, 32_768, 1 << 40] {
            insert(&mut set, grain, &budget).unwrap();
        }
        for grain in [0, 5, 64, 32_768, 1 << 40] {
            assert_eq!(insert(&mut set, grain, &budget).unwrap_err().kind(), ErrorKind::Corrupt, "{grain}");
        }
        insert(&mut set, 1, &budget).unwrap();
    }

    #[test]
    fn ascending_grains_of_a_disk_of_any_size_fit() {
        let (mut set, budget) = (GrainSet::new(), Budget::new("test", 3 * PAGE_COST));
        for grain in (0..1000 * PAGE_GRAINS).step_by(4999) {
            insert(&mut set, grain, &budget).unwrap();
        }
        assert_eq!(insert(&mut set, 1, &budget).unwrap_err().kind(), ErrorKind::Limit);
        let last = set.next - 1;
        assert_eq!(insert(&mut set, last, &budget).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

//! Which grains have come, for streams that bring them in any order.

use std::collections::BTreeMap;

use diskimg_core::{Budget, Result};

use super::cross_check::charge;
use crate::errors::{corrupt, limit};

/// Words of a page of bits: 4 KiB, 32768 grains, 2 GiB of a disk with the usual grains. A bound of ours.
const WORDS: usize = 512;
/// Grains of a page.
const GRAINS: u64 = 64 * WORDS as u64;
/// Bytes that a page takes, with about what its place in the map takes.
const COST: u64 = 8 * WORDS as u64 + 64;

/// A bit for each grain that has come, in pages of those parts of the disk that have any.
///
/// A grain behind all that came before is new, whatever the bits say. So when the budget is spent the bits
/// are thrown away and collected anew: a stream in order never notices, and only one that then goes back
/// behind that place is refused.
pub(super) struct Seen {
    pages: BTreeMap<u64, Box<[u64; WORDS]>>,
    /// One more than the highest grain that has come.
    next: u64,
    /// Grains below are forgotten.
    forgotten: u64,
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self { pages: BTreeMap::new(), next: 0, forgotten: 0 }
    }

    /// Notes a grain, whose marker is at byte `at`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] when it has come before; [`diskimg_core::ErrorKind::Limit`] when
    /// that was too long ago to tell.
    pub(super) fn insert(&mut self, grain: u64, at: u64, guest: u64, budget: &Budget) -> Result<()> {
        if grain < self.forgotten {
            return Err(limit("grain order")
                .at(at)
                .guest(guest)
                .because("too far back in the disk to tell whether it came before"));
        }
        let (page, bit) = (grain / GRAINS, grain % GRAINS);
        if !self.pages.contains_key(&page) {
            self.make_room(budget)?;
            self.pages.insert(page, Box::new([0; WORDS]));
        }
        let index = usize::try_from(bit / 64).unwrap_or(usize::MAX);
        let word = self.pages.get_mut(&page).and_then(|words| words.get_mut(index));
        let mask = 1_u64 << (bit % 64);
        match word {
            Some(word) if *word & mask == 0 => *word |= mask,
            _ => return Err(corrupt("grain").at(at).guest(guest).because("this grain has come before")),
        }
        self.next = self.next.max(grain.saturating_add(1));
        Ok(())
    }

    fn make_room(&mut self, budget: &Budget) -> Result<()> {
        if budget.take(COST).is_ok() {
            return Ok(());
        }
        budget.give_back(COST.saturating_mul(self.pages.len() as u64));
        self.pages.clear();
        self.forgotten = self.next;
        charge(budget, COST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    #[test]
    fn a_grain_is_new_once() {
        let (mut seen, budget) = (Seen::new(), Budget::new("test", 1 << 20));
        for grain in [5, 0, 63, 64, 32_767, 32_768, 1 << 40] {
            seen.insert(grain, 0, 0, &budget).unwrap();
        }
        for grain in [0, 5, 64, 32_768, 1 << 40] {
            assert_eq!(seen.insert(grain, 7, 9, &budget).unwrap_err().kind(), ErrorKind::Corrupt, "{grain}");
        }
        seen.insert(1, 0, 0, &budget).unwrap();
    }

    #[test]
    fn a_disk_of_any_size_fits_while_its_grains_ascend() {
        let (mut seen, budget) = (Seen::new(), Budget::new("test", 3 * COST));
        for grain in (0..1000 * GRAINS).step_by(4999) {
            seen.insert(grain, 0, 0, &budget).unwrap();
        }
        assert_eq!(seen.insert(1, 512, 0, &budget).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(seen.insert(seen.next - 1, 0, 0, &budget).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

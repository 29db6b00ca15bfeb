//! What tables have named and what has not arrived yet.

use std::collections::BTreeMap;

use diskimg_core::{Budget, LimitKind, Remedy, Result};

use crate::addr::{GuestOffset, HostOffset};
use crate::errors::FORMAT;

/// What one claim costs in its map, about.
const CLAIM_COST: u64 = 64;

/// Host bytes that stand verbatim for guest bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) host: HostOffset,
    pub(super) len: u64,
    pub(super) guest: GuestOffset,
    /// Whether another entry may name the same bytes.
    pub(super) shared: bool,
}

impl Run {
    pub(super) fn host_end(&self) -> u64 {
        self.host.plus(self.len).0
    }

    /// The run without its first `len` bytes.
    pub(super) fn without_first(mut self, len: u64) -> Self {
        self.host = self.host.plus(len);
        self.guest = GuestOffset(self.guest.0.saturating_add(len));
        self.len = self.len.saturating_sub(len);
        self
    }

    /// Makes the run longer by `next`, if that follows it on both sides.
    pub(super) fn extend(&mut self, next: &Self) -> bool {
        let follows = next.host.0 == self.host_end()
            && Some(next.guest.0) == self.guest.0.checked_add(self.len)
            && next.shared == self.shared;
        if follows {
            self.len = self.len.saturating_add(next.len);
        }
        follows
    }
}

/// A compressed cluster, and as much of it as has arrived.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) guest: GuestOffset,
    pub(super) bytes: Vec<u8>,
}

impl Packed {
    /// The host offset of the first byte that is missing.
    pub(super) fn next(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    fn cost(&self) -> u64 {
        CLAIM_COST.saturating_add(self.bytes.len() as u64)
    }
}

/// Claims by where they begin, or go on, in the file.
pub(super) struct Claims {
    runs: BTreeMap<u64, Vec<Run>>,
    packed: BTreeMap<u64, Vec<Packed>>,
    budget: Budget,
}

impl Claims {
    /// None yet, and `bytes` of memory for them.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            runs: BTreeMap::new(),
            packed: BTreeMap::new(),
            budget: Budget::new("tables of a stream", bytes),
        }
    }

    /// Spends memory that claims are counted in.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] when there is no more.
    pub(super) fn spend(&self, bytes: u64) -> Result<()> {
        self.budget
            .take(bytes)
            .map_err(|error| error.format(FORMAT).with_remedy(Remedy::RaiseLimit(LimitKind::Tables)))
    }

    /// Whether there is memory for so many more claims.
    pub(super) fn has_room(&self, claims: u64) -> bool {
        claims.saturating_mul(CLAIM_COST) <= self.budget.left()
    }

    pub(super) fn add_run(&mut self, run: Run) -> Result<()> {
        self.spend(CLAIM_COST)?;
        self.runs.entry(run.host.0).or_default().push(run);
        Ok(())
    }

    pub(super) fn add_packed(&mut self, packed: Packed) -> Result<()> {
        self.spend(packed.cost())?;
        self.packed.entry(packed.next()).or_default().push(packed);
        Ok(())
    }

    /// The runs that begin below `end`, in order.
    pub(super) fn runs_below(&mut self, end: u64) -> Vec<Run> {
        let taken = below(&mut self.runs, end);
        self.budget.give_back((taken.len() as u64).saturating_mul(CLAIM_COST));
        taken
    }

    /// The compressed clusters of which bytes below `end` are wanted next, in order.
    pub(super) fn packed_below(&mut self, end: u64) -> Vec<Packed> {
        let taken = below(&mut self.packed, end);
        self.budget.give_back(taken.iter().map(Packed::cost).sum());
        taken
    }
}

fn below<T>(map: &mut BTreeMap<u64, Vec<T>>, end: u64) -> Vec<T> {
    let mut taken = Vec::new();
    while let Some(entry) = map.first_entry().filter(|entry| *entry.key() < end) {
        taken.append(&mut entry.remove());
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn run(host: u64, len: u64, guest: u64) -> Run {
        Run { host: HostOffset(host), len, guest: GuestOffset(guest), shared: false }
    }

    #[test]
    fn a_run_grows_only_by_what_follows_on_both_sides() {
        let mut first = run(0, 512, 4096);
        assert!(first.extend(&run(512, 512, 4608)));
        assert!(!first.extend(&run(1024, 512, 8192)) && !first.extend(&run(4096, 512, 5120)));
        assert_eq!(first, run(0, 1024, 4096));
        assert_eq!(first.without_first(512), run(512, 512, 4608));
    }

    #[test]
    fn claims_come_in_the_order_of_the_file_and_give_their_memory_back() {
        let mut claims = Claims::new(3 * CLAIM_COST);
        for round in 0..100 {
            claims.add_run(run(2048, 512, 0)).unwrap();
            claims.add_run(run(1024, 512, 512)).unwrap();
            claims.add_run(run(1024, 512, 1024)).unwrap();
            let error = claims.add_run(run(4096, 512, 0)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit, "round {round}");
            assert!(claims.runs_below(1024).is_empty());
            let guests: Vec<u64> = claims.runs_below(4096).iter().map(|run| run.guest.0).collect();
            assert_eq!(guests, [512, 1024, 0]);
        }
    }
}

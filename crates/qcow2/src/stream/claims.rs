//! Host ranges that tables refer to and that have not been streamed yet.

use std::collections::BTreeMap;
use std::ops::Range;

use diskimg_core::{Budget, LimitKind, Remedy, Result};

use crate::addr::{GuestOffset, HostOffset};
use crate::errors::FORMAT;

/// Memory charged for one claim with its share of the map. An estimate.
const CLAIM_COST: u64 = 64;

/// A host range that stores a guest range verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostRun {
    pub(super) host: HostOffset,
    pub(super) len: u64,
    pub(super) guest: GuestOffset,
    /// True if another entry may refer to the same host bytes.
    pub(super) shared: bool,
}

impl HostRun {
    pub(super) fn host_end(&self) -> HostOffset {
        self.host.plus(self.len)
    }

    pub(super) fn guest_end(&self) -> GuestOffset {
        self.guest.plus(self.len)
    }

    /// Returns the run without its first `len` bytes.
    pub(super) fn without_first(mut self, len: u64) -> Self {
        self.host = self.host.plus(len);
        self.guest = self.guest.plus(len);
        self.len = self.len.saturating_sub(len);
        self
    }

    /// Extends the run by `next` if that continues it both in the file and on the disk. Returns true if it did.
    pub(super) fn extend(&mut self, next: &Self) -> bool {
        let continues = next.host == self.host_end()
            && Some(next.guest.0) == self.guest.0.checked_add(self.len)
            && next.shared == self.shared;
        if continues {
            self.len = self.len.saturating_add(next.len);
        }
        continues
    }
}

/// A compressed cluster and the bytes of it that were streamed so far.
#[derive(Debug)]
pub(super) struct CompressedClaim {
    pub(super) host: Range<u64>,
    pub(super) guest: GuestOffset,
    pub(super) bytes: Vec<u8>,
}

impl CompressedClaim {
    /// The host offset of the first missing byte.
    pub(super) fn next(&self) -> HostOffset {
        HostOffset(self.host.start).plus(self.bytes.len() as u64)
    }

    fn cost(&self) -> u64 {
        CLAIM_COST.saturating_add(self.bytes.len() as u64)
    }
}

/// All claims, sorted by the host offset of their first missing byte.
pub(super) struct Claims {
    runs: BTreeMap<HostOffset, Vec<HostRun>>,
    compressed: BTreeMap<HostOffset, Vec<CompressedClaim>>,
    budget: Budget,
}

impl Claims {
    /// No claims; they may use `bytes` of memory.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            runs: BTreeMap::new(),
            compressed: BTreeMap::new(),
            budget: Budget::new("tables of a stream", bytes),
        }
    }

    /// Takes `bytes` from the budget of the claims.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if the budget is exhausted.
    pub(super) fn spend(&self, bytes: u64) -> Result<()> {
        self.budget
            .take(bytes)
            .map_err(|error| error.format(FORMAT).with_remedy(Remedy::RaiseLimit(LimitKind::Tables)))
    }

    /// Returns true if the budget allows `claims` more claims.
    pub(super) fn has_room(&self, claims: u64) -> bool {
        claims.saturating_mul(CLAIM_COST) <= self.budget.left()
    }

    pub(super) fn add_run(&mut self, run: HostRun) -> Result<()> {
        self.spend(CLAIM_COST)?;
        self.runs.entry(run.host).or_default().push(run);
        Ok(())
    }

    pub(super) fn add_compressed(&mut self, claim: CompressedClaim) -> Result<()> {
        self.spend(claim.cost())?;
        self.compressed.entry(claim.next()).or_default().push(claim);
        Ok(())
    }

    /// Removes and returns the runs that start below `end`, in order.
    pub(super) fn take_runs_below(&mut self, end: HostOffset) -> Vec<HostRun> {
        let taken = take_below(&mut self.runs, end);
        self.budget.give_back((taken.len() as u64).saturating_mul(CLAIM_COST));
        taken
    }

    /// Removes and returns the compressed clusters whose first missing byte is below `end`, in order.
    pub(super) fn take_compressed_below(&mut self, end: HostOffset) -> Vec<CompressedClaim> {
        let taken = take_below(&mut self.compressed, end);
        self.budget.give_back(taken.iter().map(CompressedClaim::cost).sum());
        taken
    }
}

fn take_below<T>(map: &mut BTreeMap<HostOffset, Vec<T>>, end: HostOffset) -> Vec<T> {
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

    fn run(host: u64, len: u64, guest: u64) -> HostRun {
        HostRun { host: HostOffset(host), len, guest: GuestOffset(guest), shared: false }
    }

    #[test]
    fn run_is_extended_only_by_its_continuation_in_file_and_disk() {
        let mut first = run(0, 512, 4096);
        assert!(first.extend(&run(512, 512, 4608)));
        assert!(!first.extend(&run(1024, 512, 8192)) && !first.extend(&run(4096, 512, 5120)));
        assert_eq!(first, run(0, 1024, 4096));
        assert_eq!(first.without_first(512), run(512, 512, 4608));
    }

    #[test]
    fn claims_are_taken_in_file_order_and_give_their_memory_back() {
        let mut claims = Claims::new(3 * CLAIM_COST);
        for round in 0..100 {
            claims.add_run(run(2048, 512, 0)).unwrap();
            claims.add_run(run(1024, 512, 512)).unwrap();
            claims.add_run(run(1024, 512, 1024)).unwrap();
            let error = claims.add_run(run(4096, 512, 0)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Limit, "round {round}");
            assert!(claims.take_runs_below(HostOffset(1024)).is_empty());
            let taken = claims.take_runs_below(HostOffset(4096));
            let guests: Vec<u64> = taken.iter().map(|run| run.guest.0).collect();
            assert_eq!(guests, [512, 1024, 0]);
        }
    }
}

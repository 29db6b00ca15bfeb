//! L2 tables of a stream.

use diskimg_core::chunks;

use crate::addr::{Geometry, HostOffset};
use crate::entry_bits::COMPRESSED;

/// An L2 table, and the index of the L1 entry that refers to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct L2TableRef {
    pub(super) at: HostOffset,
    pub(super) l1_index: u64,
}

/// Iterates over the entries of an L2 table and their subcluster bitmaps (0 without extended entries).
pub(super) fn entries(table: &[u8], geometry: Geometry) -> impl Iterator<Item = (u64, u64)> + '_ {
    let entry_bytes = usize::try_from(geometry.l2_entry_bytes()).unwrap_or(8);
    table.chunks_exact(entry_bytes).filter_map(|entry| {
        let mut words = chunks(entry).map(|word| u64::from_be_bytes(*word));
        Some((words.next()?, words.next().unwrap_or(0)))
    })
}

/// The maximum number of claims that an L2 table makes. Entries whose clusters are consecutive share one.
pub(super) fn max_claims(table: &[u8], geometry: Geometry) -> u64 {
    /// The maximum number of runs of data in 32 subclusters.
    const MAX_RUNS: u64 = 16;
    let mut expected = None;
    let mut claims = 0_u64;
    for (entry, bitmap) in entries(table, geometry) {
        let is_mixed = geometry.extended_l2() && !matches!(bitmap & 0xFFFF_FFFF, 0 | 0xFFFF_FFFF);
        if entry != 0 && (is_mixed || expected != Some(entry)) {
            claims = claims.saturating_add(if is_mixed { MAX_RUNS } else { 1 });
        }
        expected =
            entry.checked_add(geometry.cluster_size()).filter(|_| !is_mixed && entry & COMPRESSED == 0);
    }
    claims
}

//! The alignment and order of the grains of an extent in its file.

use std::ops::Range;

use diskimg_core::HostOffset;

/// The places of all grains, summarised. Grains are added in the order of the disk.
#[derive(Default)]
pub(super) struct GrainOrder {
    /// All offsets, combined with OR. Its lowest bit is the alignment that they share.
    offsets: u64,
    first: Option<HostOffset>,
    disordered: bool,
    /// The end of the last grain added.
    last_end: HostOffset,
}

impl GrainOrder {
    /// Adds the grain at `host`. Returns true if it does not follow the one before immediately.
    pub(super) fn add(&mut self, host: &Range<HostOffset>) -> bool {
        let contiguous = self.first.is_none() || host.start == self.last_end;
        self.offsets |= host.start.0;
        self.disordered |= host.start < self.last_end;
        self.first = Some(self.first.map_or(host.start, |first| first.min(host.start)));
        self.last_end = host.end;
        !contiguous
    }

    /// The lowest offset of a grain; `None` without grains.
    pub(super) const fn first(&self) -> Option<HostOffset> {
        self.first
    }

    /// Returns true if a grain begins before the end of the one before it in the disk. If not, no two grains
    /// overlap.
    pub(super) const fn is_disordered(&self) -> bool {
        self.disordered
    }

    /// The largest power of two that divides `grain_bytes` and all offsets, 2^62 at most.
    pub(super) fn alignment(&self, grain_bytes: u64) -> u64 {
        let bits = (self.offsets | grain_bytes).trailing_zeros().min(62);
        1_u64 << bits
    }
}

//! The bitmap of an extended L2 entry, which gives the kind of each of the 32 subclusters.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Extended L2 Entries".

use diskimg_core::{Result, ensure};

use crate::addr::{HostOffset, SUBCLUSTERS};
use crate::errors::corrupt;

/// The kind of a subcluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subcluster {
    Unallocated,
    Zero,
    Data,
}

/// The subclusters of one cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SubclusterMap {
    /// The host cluster, if one is allocated; its subclusters need not contain data.
    pub(crate) host_cluster: Option<HostOffset>,
    allocated: u32,
    zero: u32,
}

impl SubclusterMap {
    /// Decodes the bitmap of the cluster at `host`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`], without an offset, for a subcluster that is both allocated and
    /// zero, or allocated without a host cluster.
    pub(crate) fn decode(bitmap: u64, host: Option<HostOffset>) -> Result<Self> {
        // The halves of a u64: lossless.
        let (allocated, zero) = ((bitmap & 0xFFFF_FFFF) as u32, (bitmap >> 32) as u32);
        let fault = || corrupt("subcluster bitmap").found_hex(bitmap);
        ensure(allocated & zero == 0, || fault().expected("no subcluster both allocated and zero"))?;
        if allocated != 0 && host.is_none() {
            return Err(fault().expected("no allocated subcluster, because the entry has no host offset"));
        }
        Ok(Self { host_cluster: host, allocated, zero })
    }

    /// The host cluster; offset 0 if none is allocated.
    pub(crate) fn host(self) -> HostOffset {
        self.host_cluster.unwrap_or(HostOffset(0))
    }

    /// Returns the kind of all subclusters; `None` if they differ.
    pub(crate) const fn uniform(self) -> Option<Subcluster> {
        match (self.allocated, self.zero) {
            (u32::MAX, _) => Some(Subcluster::Data),
            (_, u32::MAX) => Some(Subcluster::Zero),
            (0, 0) => Some(Subcluster::Unallocated),
            _ => None,
        }
    }

    /// Returns true if any subcluster contains data.
    pub(crate) const fn any_data(self) -> bool {
        self.allocated != 0
    }

    /// Returns the kind of subcluster `index`, which is below 32, and the number of consecutive subclusters of
    /// that kind, at least one.
    pub(crate) fn run(self, index: u32) -> (Subcluster, u32) {
        let index = index.min(SUBCLUSTERS - 1);
        let (allocated, zero) = (self.allocated >> index, self.zero >> index);
        let (kind, same) = match (allocated & 1, zero & 1) {
            (1, _) => (Subcluster::Data, allocated.trailing_ones()),
            (_, 1) => (Subcluster::Zero, zero.trailing_ones()),
            _ => (Subcluster::Unallocated, (allocated | zero).trailing_zeros()),
        };
        (kind, same.min(SUBCLUSTERS - index).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    #[test]
    fn runs_of_equal_subclusters_tile_the_cluster() {
        let bitmap = 0b1100_0000_0000_0000_0000_0000_0000_0011_u64;
        let map = SubclusterMap::decode(bitmap | 0b0100 << 32, Some(HostOffset(0))).unwrap();
        let mut runs = Vec::new();
        let mut at = 0;
        while at < SUBCLUSTERS {
            let (kind, len) = map.run(at);
            runs.push((at, kind, len));
            at += len;
        }
        use Subcluster::{Data, Unallocated, Zero};
        assert_eq!(runs, [(0, Data, 2), (2, Zero, 1), (3, Unallocated, 27), (30, Data, 2)]);
        assert_eq!(map.run(31), (Data, 1));
    }

    #[test]
    fn bitmap_of_one_kind_is_uniform() {
        let kind = |bitmap| SubclusterMap::decode(bitmap, Some(HostOffset(0))).unwrap().uniform();
        assert_eq!(kind(0), Some(Subcluster::Unallocated));
        assert_eq!(kind(0xFFFF_FFFF), Some(Subcluster::Data));
        assert_eq!(kind(0xFFFF_FFFF << 32), Some(Subcluster::Zero));
        assert_eq!(kind(1), None);
    }

    #[test]
    fn subcluster_allocated_and_zero_or_without_a_host_cluster_is_corrupt() {
        for (bitmap, host) in [(1 << 32 | 1, Some(HostOffset(0))), (1, None)] {
            assert_eq!(SubclusterMap::decode(bitmap, host).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}

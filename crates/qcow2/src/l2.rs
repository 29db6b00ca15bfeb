//! L2 entries, which give the kind and the place of each cluster.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "L2 table entry", "Standard Cluster Descriptor", "Extended L2
//! Entries".

use diskimg_core::{Result, ensure};

use crate::addr::{Geometry, HostOffset};
use crate::compressed::CompressedRange;
use crate::entry_bits::{COMPRESSED, COPIED, HOST_OFFSET, ZERO};
use crate::errors::corrupt;
use crate::header::Header;
use crate::subcluster::{Subcluster, SubclusterMap};

/// A decoded L2 entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClusterDescriptor {
    /// Not stored in this image; the backing file is visible. Only extended entries can have a host cluster
    /// allocated for it.
    Unallocated(Option<HostOffset>),
    /// Reads as zeros. A host cluster can be allocated for it.
    Zero(Option<HostOffset>),
    /// Stored verbatim at this offset.
    Data(HostOffset),
    /// Stored compressed.
    Compressed(CompressedRange),
    /// Has subclusters of different kinds.
    Mixed(SubclusterMap),
}

/// The properties of an image that decide how its L2 entries are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct L2Rules {
    pub(crate) geometry: Geometry,
    /// True if bit 0 means zeros: version 3 without extended entries.
    pub(crate) zero_flag: bool,
    /// True if the clusters are in an external data file, where offset 0 is valid.
    pub(crate) data_file: bool,
}

impl L2Rules {
    /// Returns the rules for an image. `data_file` is true if it has an external data file.
    pub(crate) const fn new(header: &Header, data_file: bool) -> Self {
        let geometry = header.geometry;
        Self { geometry, zero_flag: header.version >= 3 && !geometry.extended_l2(), data_file }
    }

    /// Decodes an entry. `bitmap` is the second word of an extended entry, 0 otherwise.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`], without an offset, for an entry that the specification forbids.
    pub(crate) fn decode(self, entry: u64, bitmap: u64) -> Result<ClusterDescriptor> {
        if entry & COMPRESSED != 0 {
            return self.compressed(entry, bitmap);
        }
        let reserved = !(HOST_OFFSET | COPIED | if self.zero_flag { ZERO } else { 0 });
        ensure(entry & reserved == 0, || {
            let expected = format!("bits {} to 8 and 56 to 61 to be 0", u8::from(self.zero_flag));
            corrupt("L2 entry").found_hex(entry).expected(expected)
        })?;
        let host = self.host(entry)?;
        if self.geometry.extended_l2() {
            let map = SubclusterMap::decode(bitmap, host)?;
            return Ok(match map.uniform() {
                Some(Subcluster::Unallocated) => ClusterDescriptor::Unallocated(host),
                Some(Subcluster::Zero) => ClusterDescriptor::Zero(host),
                Some(Subcluster::Data) => ClusterDescriptor::Data(map.host()),
                None => ClusterDescriptor::Mixed(map),
            });
        }
        Ok(match host {
            // QEMU reads offset 0 as "not allocated" here, even with a data file.
            _ if entry & ZERO != 0 => ClusterDescriptor::Zero(host.filter(|host| host.0 != 0)),
            Some(host) => ClusterDescriptor::Data(host),
            None => ClusterDescriptor::Unallocated(None),
        })
    }

    fn host(self, entry: u64) -> Result<Option<HostOffset>> {
        let offset = entry & HOST_OFFSET;
        if self.geometry.in_cluster(offset) != 0 {
            return Err(corrupt("L2 entry").found_hex(entry).expected(format_args!(
                "a cluster at a multiple of the cluster size {:#x}",
                self.geometry.cluster_size()
            )));
        }
        let present = offset != 0 || (self.data_file && entry & COPIED != 0);
        Ok(present.then_some(HostOffset(offset)))
    }

    fn compressed(self, entry: u64, bitmap: u64) -> Result<ClusterDescriptor> {
        if self.data_file {
            let expected = "no compressed cluster in an image with an external data file";
            return Err(corrupt("L2 entry").found_hex(entry).expected(expected));
        }
        ensure(bitmap == 0, || {
            corrupt("subcluster bitmap").found_hex(bitmap).expected("0 for a compressed cluster")
        })?;
        Ok(ClusterDescriptor::Compressed(CompressedRange::decode(entry, self.geometry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    const V3: L2Rules = L2Rules { geometry: Geometry::new(16, false), zero_flag: true, data_file: false };

    #[test]
    fn standard_entries_are_distinguished() {
        assert_eq!(V3.decode(0, 0).unwrap(), ClusterDescriptor::Unallocated(None));
        assert_eq!(V3.decode(COPIED, 0).unwrap(), ClusterDescriptor::Unallocated(None));
        assert_eq!(V3.decode(ZERO, 0).unwrap(), ClusterDescriptor::Zero(None));
        assert_eq!(V3.decode(COPIED | 0x50000, 0).unwrap(), ClusterDescriptor::Data(HostOffset(0x50000)));
        let allocated = ClusterDescriptor::Zero(Some(HostOffset(0x50000)));
        assert_eq!(V3.decode(COPIED | 0x50000 | ZERO, 0).unwrap(), allocated);
    }

    #[test]
    fn zero_flag_is_reserved_in_version_2_and_with_extended_entries() {
        let v2 = L2Rules { zero_flag: false, ..V3 };
        assert_eq!(v2.decode(ZERO, 0).unwrap_err().kind(), ErrorKind::Corrupt);
        let extended = L2Rules { geometry: Geometry::new(16, true), ..v2 };
        assert_eq!(extended.decode(0x50000 | ZERO, 0).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn offset_0_is_valid_in_an_external_data_file() {
        let external = L2Rules { data_file: true, ..V3 };
        assert_eq!(external.decode(COPIED, 0).unwrap(), ClusterDescriptor::Data(HostOffset(0)));
        assert_eq!(external.decode(0, 0).unwrap(), ClusterDescriptor::Unallocated(None));
        assert_eq!(external.decode(COPIED | ZERO, 0).unwrap(), ClusterDescriptor::Zero(None));
        assert_eq!(external.decode(COMPRESSED | 0x50000, 0).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn unaligned_offset_or_reserved_bit_is_corrupt() {
        for wrong in [0x50200, 0x50002, 1 << 56, 1 << 61] {
            assert_eq!(V3.decode(wrong, 0).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:#x}");
        }
    }

    #[test]
    fn compressed_cluster_has_no_subclusters() {
        let extended = L2Rules { geometry: Geometry::new(16, true), zero_flag: false, data_file: false };
        assert!(matches!(extended.decode(COMPRESSED | 0x50000, 0), Ok(ClusterDescriptor::Compressed(_))));
        assert_eq!(extended.decode(COMPRESSED | 0x50000, 1).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

//! L1 entries, which give the offsets of the L2 tables.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Cluster mapping", "L1 table entry".

use std::ops::Range;

use diskimg_core::{Error, Result, ensure};

use crate::addr::{Geometry, HostOffset};
use crate::entry_bits::{COPIED, HOST_OFFSET};
use crate::errors::{corrupt, truncated};

/// Returns the offset of the L2 table; `None` if nothing is allocated in the range that the entry maps.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`], without an offset, for reserved bits and unaligned tables.
pub(crate) fn decode(entry: u64, geometry: Geometry) -> Result<Option<HostOffset>> {
    ensure(entry & !(HOST_OFFSET | COPIED) == 0, || {
        corrupt("L1 entry").found_hex(entry).expected("bits 0 to 8 and 56 to 62 to be 0")
    })?;
    let offset = entry & HOST_OFFSET;
    if geometry.in_cluster(offset) != 0 {
        return Err(corrupt("L1 entry").found_hex(entry).expected(format_args!(
            "an L2 table at a multiple of the cluster size {:#x}",
            geometry.cluster_size()
        )));
    }
    Ok((offset != 0).then_some(HostOffset(offset)))
}

/// The error for an L1 table that ends past the end of the file.
pub(crate) fn truncated_table(l1: &Range<HostOffset>, file_size: u64) -> Error {
    let because = format!("it ends at byte {}, and the file ends at byte {file_size}", l1.end.0);
    truncated("L1 table").at(l1.start.0).because(because)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    #[test]
    fn entry_has_an_aligned_offset_and_the_copied_bit() {
        let geometry = Geometry::new(16, false);
        assert_eq!(decode(0, geometry).unwrap(), None);
        assert_eq!(decode(COPIED | 0x50000, geometry).unwrap(), Some(HostOffset(0x50000)));
        for wrong in [0x50200, 0x50001, 1 << 56, COPIED | 1 << 62] {
            assert_eq!(decode(wrong, geometry).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:#x}");
        }
    }
}

//! The bits of L1, L2 and refcount table entries.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Cluster mapping", "L1 table entry", "L2 table entry", "Standard
//! Cluster Descriptor" and "Refcount table entry".

use crate::addr::{Geometry, HostOffset};

/// Bits 9 to 55 of an L1 entry, of a standard cluster descriptor and of a bitmap table entry: a host offset.
pub(crate) const HOST_OFFSET: u64 = 0x00FF_FFFF_FFFF_FE00;
/// Bit 63 of an L1 or L2 entry: the refcount of the target is exactly one.
pub(crate) const COPIED: u64 = 1 << 63;
/// Bit 62 of an L2 entry: the cluster is compressed.
pub(crate) const COMPRESSED: u64 = 1 << 62;
/// Bit 0 of a standard cluster descriptor in version 3 without extended entries: the cluster reads as zeros.
pub(crate) const ZERO: u64 = 1 << 0;
/// Bits 9 to 63 of a refcount table entry: the offset of the refcount block.
pub(crate) const REFCOUNT_BLOCK_OFFSET: u64 = !0x1FF;

/// The start of the cluster that a refcount table entry refers to; `None` without a refcount block.
pub(crate) fn refcount_block(entry: u64, geometry: Geometry) -> Option<HostOffset> {
    let block = entry & REFCOUNT_BLOCK_OFFSET;
    let start = block.saturating_sub(geometry.in_cluster(block));
    (start != 0).then_some(HostOffset(start))
}

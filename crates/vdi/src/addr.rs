//! Addresses: which block a guest offset belongs to, and where a block lies.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` and `VDI.cpp` (`vdiSetupImageDesc`).

pub(crate) use diskimg_core::{GuestOffset, HostOffset};

/// Bytes of an entry of the block map. Set by the format.
pub(crate) const ENTRY_BYTES: u64 = 4;

/// The shape of an image: where the block map and the blocks are.
///
/// A block is its extra bytes, which are nobody's, and then its guest bytes; blocks lie one behind the other
/// from the data offset on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// Where the block map begins.
    pub(crate) map: HostOffset,
    /// Where the first block begins.
    pub(crate) data: HostOffset,
    /// log2 of the guest bytes of a block, at most 30.
    pub(crate) block_bits: u32,
    /// Bytes in front of the guest bytes of each block.
    pub(crate) extra: u64,
    /// Entries of the block map.
    pub(crate) blocks: u32,
}

impl Geometry {
    /// Guest bytes of a block.
    pub(crate) const fn block_bytes(&self) -> u64 {
        1 << self.block_bits
    }

    /// Bytes from a block in the file to the next.
    pub(crate) const fn stride(&self) -> u64 {
        self.block_bytes().saturating_add(self.extra)
    }

    /// The block of the disk that a guest offset belongs to.
    pub(crate) const fn block_of(&self, guest: GuestOffset) -> u64 {
        guest.0 >> self.block_bits
    }

    /// How far into its block a guest offset is.
    pub(crate) const fn in_block(&self, guest: GuestOffset) -> u64 {
        guest.0 & self.block_bytes().saturating_sub(1)
    }

    /// Where a block of the disk begins.
    pub(crate) const fn guest_start(&self, block: u64) -> GuestOffset {
        GuestOffset(block.saturating_mul(self.block_bytes()))
    }

    /// Where the guest bytes of the block `index` blocks into the data begin.
    pub(crate) fn host(&self, index: u32) -> HostOffset {
        self.data.plus(u64::from(index).saturating_mul(self.stride())).plus(self.extra)
    }

    /// Where the map's entry for a block of the disk is.
    pub(crate) const fn entry_at(&self, block: u64) -> HostOffset {
        self.map.plus(block.saturating_mul(ENTRY_BYTES))
    }

    /// Where the block map ends.
    pub(crate) fn map_end(&self) -> HostOffset {
        self.entry_at(self.blocks.into())
    }
}

//! Maps guest offsets to blocks, and blocks to host offsets.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDICore.h` and `VDI.cpp` (`vdiSetupImageDesc`).

pub(crate) use diskimg_core::{GuestOffset, HostOffset};

/// Bytes of an entry of the block map. Set by the format.
pub(crate) const ENTRY_BYTES: u64 = 4;

/// The layout of an image.
///
/// Blocks are contiguous from the data offset on. Each consists of its extra bytes, which the guest does not see,
/// and its guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// The start of the block map.
    pub(crate) map: HostOffset,
    /// The start of the first block.
    pub(crate) data: HostOffset,
    /// log2 of the guest bytes of a block, at most 30.
    pub(crate) block_bits: u32,
    /// Bytes before the guest bytes of each block.
    pub(crate) extra: u64,
    /// Entries of the block map.
    pub(crate) blocks: u32,
}

impl Geometry {
    /// Guest bytes of a block.
    pub(crate) const fn block_bytes(&self) -> u64 {
        1 << self.block_bits
    }

    /// Bytes from the start of a block in the file to the start of the next.
    pub(crate) const fn stride(&self) -> u64 {
        self.block_bytes().saturating_add(self.extra)
    }

    /// The guest block that contains a guest offset.
    pub(crate) const fn block_of(&self, guest: GuestOffset) -> u64 {
        guest.0 >> self.block_bits
    }

    /// The distance of a guest offset from the start of its block.
    pub(crate) const fn in_block(&self, guest: GuestOffset) -> u64 {
        guest.0 & self.block_bytes().saturating_sub(1)
    }

    /// The start of a guest block.
    pub(crate) const fn guest_start(&self, block: u64) -> GuestOffset {
        GuestOffset(block.saturating_mul(self.block_bytes()))
    }

    /// The start of the guest bytes of file block `index`.
    pub(crate) fn host(&self, index: u32) -> HostOffset {
        self.data.plus(u64::from(index).saturating_mul(self.stride())).plus(self.extra)
    }

    /// The offset of the map entry of a guest block.
    pub(crate) const fn entry_at(&self, block: u64) -> HostOffset {
        self.map.plus(block.saturating_mul(ENTRY_BYTES))
    }

    /// The end of the block map.
    pub(crate) fn map_end(&self) -> HostOffset {
        self.entry_at(self.blocks.into())
    }
}

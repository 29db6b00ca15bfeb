//! The offsets in an image being written.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDI.cpp` (`vdiInitHeader`) and `VDICore.h` (`VDI_DATA_ALIGN`).

use diskimg_core::{Remedy, Result};

use super::options::{Allocation, WriterOptions};
use crate::addr::{ENTRY_BYTES, Geometry, HostOffset};
use crate::errors::invalid;
use crate::header::{MIN_BLOCK_BITS, SECTOR};

/// Map and blocks begin at multiples of this many bytes, as in VirtualBox, which aligns them for flash memory.
const ALIGN: u64 = 1 << 20;
/// log2 of the largest block size, 64 MiB. Our limit: a conversion keeps some whole blocks per thread in memory.
const MAX_BLOCK_BITS: u32 = 26;
/// The maximum number of blocks. QEMU's limit (`VDI_BLOCKS_IN_IMAGE_MAX`), 512 TiB at 1 MiB. The format ends at twice
/// as many, where the data offset no longer fits its field.
const MAX_BLOCKS: u64 = 0x1FFF_FF80;

/// The layout of an image being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageLayout {
    /// The size of the disk in bytes, as the caller gave it.
    pub(super) size: u64,
    /// The size of the disk in the header: whole sectors.
    pub(super) size_in_header: u64,
    pub(super) allocation: Allocation,
    pub(super) geometry: Geometry,
}

impl ImageLayout {
    /// Checks the options and lays out the image.
    pub(super) fn new(options: &WriterOptions) -> Result<Self> {
        let block = options.block_size;
        let block_bits = block.trailing_zeros();
        if !block.is_power_of_two() || !(MIN_BLOCK_BITS..=MAX_BLOCK_BITS).contains(&block_bits) {
            return Err(invalid("option block_size").found(block).expected(format_args!(
                "a power of two from {} to {}",
                1 << MIN_BLOCK_BITS,
                1 << MAX_BLOCK_BITS
            )));
        }
        let size = options.virtual_size;
        let too_large = || {
            let most = MAX_BLOCKS.saturating_mul(block);
            let expected = format!("at most {most} bytes with blocks of {block} bytes");
            let error = invalid("virtual size").found(size).expected(expected);
            match size <= MAX_BLOCKS.saturating_mul(1 << MAX_BLOCK_BITS) {
                true => error.with_remedy(Remedy::SetOption(&[("block_size", "64M")])),
                false => error,
            }
        };
        let size_in_header = size.checked_next_multiple_of(SECTOR.into()).ok_or_else(too_large)?;
        let blocks = u32::try_from(size_in_header.div_ceil(block))
            .ok()
            .filter(|blocks| u64::from(*blocks) <= MAX_BLOCKS)
            .ok_or_else(too_large)?;
        let map_end = ALIGN.saturating_add(u64::from(blocks).saturating_mul(ENTRY_BYTES));
        let geometry = Geometry {
            map: HostOffset(ALIGN),
            data: HostOffset(map_end.next_multiple_of(ALIGN)),
            block_bits,
            extra: 0,
            blocks,
        };
        Ok(Self { size, size_in_header, allocation: options.allocation, geometry })
    }
}

//! The options of a writer.

/// The options of a VDI image. The default is VirtualBox's: a dynamic image with blocks of 1 MiB and random UUIDs.
///
/// ```
/// use diskimg_vdi::{Allocation, WriterOptions};
/// let options = WriterOptions {
///     virtual_size: 10 << 30,
///     allocation: Allocation::Fixed,
///     ..WriterOptions::default()
/// };
/// assert_eq!(options.block_size, 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// The size of the disk in bytes, below 2^63. The header states the next multiple of 512, and the additional
    /// bytes read as zeros: QEMU rounds other sizes up, VirtualBox down.
    ///
    /// VirtualBox rejects an image of size 0.
    pub virtual_size: u64,
    /// The time at which blocks are allocated.
    pub allocation: Allocation,
    /// The block size in bytes: a power of two from 512 to 64 MiB. QEMU reads only 1 MiB.
    pub block_size: u64,
    /// The UUID of the image in the byte order of its text form, not nil; random if not given.
    pub uuid: Option<[u8; 16]>,
    /// The UUID of the image's content, in the same form.
    pub modification_uuid: Option<[u8; 16]>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            virtual_size: 0,
            allocation: Allocation::Dynamic,
            block_size: 1 << 20,
            uuid: None,
            modification_uuid: None,
        }
    }
}

/// The time at which the blocks of an image are allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Allocation {
    /// Allocation by the first write: blocks of zeros need no space.
    Dynamic,
    /// Allocation before the first write: all blocks are in the file, in the order of the disk. Unwritten blocks are
    /// zeroed in the file, which needs space if the sink stores zeros.
    Fixed,
}

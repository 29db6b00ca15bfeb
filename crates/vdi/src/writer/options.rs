//! How an image is written.

/// How a VDI image is written. The default is what VirtualBox makes: a dynamic image with blocks of 1 MiB and
/// random UUIDs.
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
    /// Size of the disk in bytes, below 2^63. The header states the next multiple of 512, and what is added
    /// reads as zeros: of an odd size QEMU would make more and VirtualBox less.
    ///
    /// VirtualBox refuses an image of size 0.
    pub virtual_size: u64,
    /// When blocks get their place.
    pub allocation: Allocation,
    /// Bytes in a block: a power of two from 512 to 64 MiB. QEMU reads only 1 MiB.
    pub block_size: u64,
    /// The image's UUID in the byte order of its text form, not nil; random if not given.
    pub uuid: Option<[u8; 16]>,
    /// The UUID of the image's content, likewise.
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

/// When the blocks of an image get their place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Allocation {
    /// When they are written: blocks of zeros take no place.
    Dynamic,
    /// At once: all blocks are in the file, in the order of the disk. Blocks that are not written are zeroed
    /// in the file, which takes space if the file below does that for zeros.
    Fixed,
}

//! The interface between a format and the reader of its compressed units.

use std::ops::Range;

use diskimg_core::{BlockSource, GuestOffset, Result};

/// The place of one compressed unit in its file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompressedUnit {
    /// The bytes to read, all inside the file. The compressed data may end earlier.
    pub host: Range<u64>,
    /// True if the file ends before the unit does.
    pub truncated: bool,
}

/// The compressed units of an image, or of one of its files.
pub trait UnitMap {
    /// The state that decompression keeps from one unit to the next. A thread owns it while it reads.
    type Codec;

    /// Creates the state of a new codec.
    fn new_codec(&self) -> Self::Codec;

    /// The decompressed size of a unit in bytes. Units start at multiples of it.
    fn unit_size(&self) -> u64;

    /// The file that holds the compressed bytes.
    fn source(&self) -> &dyn BlockSource;

    /// Returns the place of the unit that contains `guest`.
    ///
    /// # Errors
    /// If the unit is not compressed, or its entry is damaged.
    fn unit(&self, guest: GuestOffset) -> Result<CompressedUnit>;

    /// Decompresses the unit that starts at `start` into `output`, which is one unit long. `input` holds the
    /// bytes of `unit.host`.
    ///
    /// # Errors
    /// If `input` is damaged, or too short for the part of the unit that belongs to the disk.
    fn decode(
        &self,
        codec: &mut Self::Codec,
        unit: &CompressedUnit,
        start: GuestOffset,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<()>;

    /// The offset by which the unit that starts at `start` is cached. Maps that share a [`crate::units::UnitReader`]
    /// must not give two units the same offset.
    fn cache_key(&self, start: GuestOffset) -> GuestOffset {
        start
    }
}

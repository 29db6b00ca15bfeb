//! Reading the compressed units of an image: qcow2 clusters, VMDK grains.
//!
//! A format implements [`UnitMap`]: where the compressed bytes of a unit are, and how to decompress them. A
//! [`UnitReader`] does the rest: it reads the bytes of neighbouring units in one call, decompresses whole
//! units straight into the caller's buffer, and caches the units that were read only in part.
//!
//! ```
//! use diskimg_codec::cluster::{Deflater, Inflater};
//! use diskimg_codec::units::{CompressedUnit, UnitMap, UnitReader};
//! use diskimg_core::{BlockSource, GuestOffset, Memory, Result};
//!
//! /// A file that is one compressed unit.
//! struct OneUnit(Memory);
//!
//! impl UnitMap for OneUnit {
//!     type Codec = Inflater;
//!
//!     fn new_codec(&self) -> Inflater {
//!         Inflater::new()
//!     }
//!
//!     fn unit_size(&self) -> u64 {
//!         4096
//!     }
//!
//!     fn source(&self) -> &dyn BlockSource {
//!         &self.0
//!     }
//!
//!     fn unit(&self, _start: GuestOffset) -> Result<CompressedUnit> {
//!         Ok(CompressedUnit { host: 0..self.0.size(), truncated: false })
//!     }
//!
//!     fn decode(
//!         &self,
//!         inflater: &mut Inflater,
//!         _unit: &CompressedUnit,
//!         _start: GuestOffset,
//!         input: &[u8],
//!         output: &mut [u8],
//!     ) -> Result<()> {
//!         inflater.raw_deflate(input, output)
//!     }
//! }
//!
//! let mut packed = vec![0; 4096];
//! let len = Deflater::new(None)?.raw_deflate(&[7; 4096], &mut packed)?.expect("sevens compress well");
//! packed.truncate(len);
//!
//! let mut read = [0; 3];
//! UnitReader::new().read(&OneUnit(Memory::new(packed)), GuestOffset(1000), &mut read)?;
//! assert_eq!(read, [7, 7, 7]);
//! # Ok::<(), diskimg_core::Error>(())
//! ```

mod unit_cache;
mod unit_map;
mod unit_reader;

#[cfg(test)]
mod tests;

pub use unit_map::{CompressedUnit, UnitMap};
pub use unit_reader::UnitReader;

//! The markers that precede grains and metadata in a stream-optimised extent.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". Type 4 is not
//! documented; open-vmdk's `vmware_vmdk.h` and VirtualBox know it from images of vSphere.
//!
//! A marker begins at a multiple of 512 bytes with `u64 val, u32 size`. If `size` is not 0, that many compressed
//! bytes of a grain follow. If it is 0, `u32 type` follows, and `val` sectors of metadata follow the sector of
//! the marker.

use diskimg_core::{HostOffset, Result};
use nom::number::complete::{le_u32, le_u64};
use nom::{IResult, Parser};

use crate::addr::SECTOR;
use crate::errors::corrupt;

/// Bytes of a metadata marker, which are enough to identify any marker.
pub(crate) const MARKER_LENGTH: usize = 16;
/// Bytes of a grain marker, in front of the compressed data.
pub(crate) const GRAIN_HEADER: usize = 12;

/// A parsed marker, its numbers as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marker {
    /// A grain: its first guest sector, and the length in bytes of the zlib stream that follows.
    Grain { lba: u64, bytes: u32 },
    /// Only zeros follow.
    EndOfStream,
    /// Sectors of metadata follow.
    Metadata { kind: Metadata, sectors: u64 },
}

/// The content of the sectors after a metadata marker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Metadata {
    GrainTable = 1,
    GrainDirectory = 2,
    /// A copy of the header with the offset of the grain directory.
    Footer = 3,
    /// Undocumented data that vSphere writes now and then. Readers do not need it.
    Progress = 4,
}

impl Metadata {
    /// The marker's type, the word at byte 12.
    pub(crate) const fn code(self) -> u32 {
        self as u32
    }
}

impl Marker {
    /// Parses the marker in `bytes`, which is at byte `at` of the file.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] for an unknown type, for an end-of-stream marker with sectors after
    /// it, and for metadata that ends past 2^63 bytes.
    pub(crate) fn parse(bytes: &[u8; MARKER_LENGTH], at: HostOffset) -> Result<Self> {
        let (_, (val, size, kind)) =
            words(bytes).map_err(|_| corrupt("marker").at(at.0).expected("16 bytes"))?;
        if size != 0 {
            return Ok(Self::Grain { lba: val, bytes: size });
        }
        let kind = match kind {
            0 if val == 0 => return Ok(Self::EndOfStream),
            0 => {
                let expected = "no sectors after it";
                return Err(corrupt("end-of-stream marker").at(at.0).found(val).expected(expected));
            }
            1 => Metadata::GrainTable,
            2 => Metadata::GrainDirectory,
            3 => Metadata::Footer,
            4 => Metadata::Progress,
            other => {
                return Err(corrupt("marker type").at(at.plus(12).0).found(other).expected("0 to 4"));
            }
        };
        let end = val
            .checked_add(1)
            .and_then(|sectors| sectors.checked_mul(SECTOR))
            .and_then(|len| at.0.checked_add(len));
        match end {
            Some(end) if i64::try_from(end).is_ok() => Ok(Self::Metadata { kind, sectors: val }),
            _ => {
                let found = format!("{val} sectors");
                Err(corrupt("marker").at(at.0).found(found).expected("metadata that ends before 2^63"))
            }
        }
    }
}

/// The maximum number of bytes of a compressed grain. Incompressible data grows, but no encoder doubles it. A limit of
/// QEMU (`vmdk_read_extent`), with room for the few bytes of overhead of a tiny stream.
pub(crate) const fn most_compressed(grain_bytes: u64) -> u64 {
    grain_bytes.saturating_mul(2).saturating_add(512)
}

fn words(bytes: &[u8]) -> IResult<&[u8], (u64, u32, u32)> {
    (le_u64, le_u32, le_u32).parse(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::ErrorKind;

    fn marker(val: u64, size: u32, kind: u32) -> Result<Marker> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&val.to_le_bytes());
        bytes[8..12].copy_from_slice(&size.to_le_bytes());
        bytes[12..].copy_from_slice(&kind.to_le_bytes());
        Marker::parse(&bytes, HostOffset(65_536))
    }

    #[test]
    fn marker_is_identified_by_size_and_type() {
        assert_eq!(marker(128, 300, 0xDEAD_BEEF).unwrap(), Marker::Grain { lba: 128, bytes: 300 });
        assert_eq!(marker(0, 0, 0).unwrap(), Marker::EndOfStream);
        for kind in [Metadata::GrainTable, Metadata::GrainDirectory, Metadata::Footer, Metadata::Progress] {
            assert_eq!(marker(4, 0, kind.code()).unwrap(), Marker::Metadata { kind, sectors: 4 });
        }
    }

    #[test]
    fn marker_of_unknown_type_or_endless_metadata_is_corrupt() {
        for (val, kind, at) in [(1, 5, 65_548), (1, u32::MAX, 65_548), (7, 0, 65_536), (1 << 63, 4, 65_536)] {
            let error = marker(val, 0, kind).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(at)), "{error}");
        }
        // Exactly 2^63 bytes with the marker's own sector.
        assert!(marker((1 << 54) - 130, 0, 4).is_ok());
        assert!(marker((1 << 54) - 129, 0, 4).is_err());
    }
}

//! The trait of readable disks.

use std::ops::Range;
use std::sync::Arc;

use crate::{Error, ErrorKind, Extent, ExtentKind, Location, Result};

/// A virtual disk that can be read from any thread. All offsets and lengths are bytes. The size never
/// changes.
///
/// A host file is a source, and an image is a source over another source. Windows, memory, network and callbacks are
/// sources too. A minimal source has two methods:
///
/// ```
/// use diskimg_core::{BlockSource, Result, check_range};
///
/// /// A disk whose bytes are their offset modulo 251.
/// struct Painted(u64);
///
/// impl BlockSource for Painted {
///     fn size(&self) -> u64 {
///         self.0
///     }
///     fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
///         check_range(offset, buf.len() as u64, self.0)?;
///         for (byte, at) in buf.iter_mut().zip(offset..) {
///             *byte = (at % 251) as u8;
///         }
///         Ok(())
///     }
/// }
///
/// let mut byte = [0];
/// Painted(1000).read_at(300, &mut byte)?;
/// assert_eq!(byte, [49]);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub trait BlockSource: Send + Sync {
    /// The virtual size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes at `offset`. Never short.
    ///
    /// Unallocated ranges read as zeros. Layers below are read by [`crate::Chain`], not by the layer.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBounds`] for a range past [`BlockSource::size`]; an empty `buf` at `size()` is valid.
    /// Otherwise the errors of the image or its source. After an error the content of `buf` is undefined.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Returns the extent that starts at `range.start`, clipped to `range.end`.
    ///
    /// It is at least one byte and may be shorter than the whole run: only the metadata for `range.start` is read,
    /// and [`crate::Extents`] merges runs. By default the range is [`ExtentKind::Data`] at the location that
    /// [`BlockSource::locate`] returns.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBounds`] for a range that is empty or ends past [`BlockSource::size`].
    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let location = self.locate(range.clone());
        Ok(Extent { location, ..Extent::new(range, ExtentKind::Data) })
    }

    /// Returns where `range` is stored verbatim, if that is known without I/O (flat sources). A format queries its
    /// source. Each member of the location covers all of `range` or is `None`.
    fn locate(&self, range: Range<u64>) -> Location<'_> {
        let _ = range;
        Location::default()
    }

    /// The unit in bytes that is decoded as a whole: reading a part of it costs the time and memory of all of it. 1 if
    /// nothing is decoded.
    fn decode_unit(&self) -> u64 {
        1
    }
}

/// Implements [`BlockSource`] for a pointer to a source.
macro_rules! forward_to_source {
    ($pointer:ty) => {
        impl<S: BlockSource + ?Sized> BlockSource for $pointer {
            fn size(&self) -> u64 {
                (**self).size()
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                (**self).read_at(offset, buf)
            }
            fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
                (**self).extent_at(range)
            }
            fn locate(&self, range: Range<u64>) -> Location<'_> {
                (**self).locate(range)
            }
            fn decode_unit(&self) -> u64 {
                (**self).decode_unit()
            }
        }
    };
}

forward_to_source!(Arc<S>);
forward_to_source!(&S);

/// Checks that `len` bytes at `offset` are within a disk of `size` bytes: the first line of most `read_at`s.
///
/// # Errors
/// [`ErrorKind::OutOfBounds`] if they are not, or if the end overflows.
pub fn check_range(offset: u64, len: u64, size: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::new(ErrorKind::OutOfBounds)
            .field("range")
            .found(format_args!("{len} bytes at {offset}"))
            .expected(format_args!("a range on a disk of {size} bytes"))),
    }
}

/// Checks that `range` is a non-empty range of a disk of `size` bytes: the first line of most `extent_at`s.
///
/// # Errors
/// [`ErrorKind::OutOfBounds`] if it is empty or ends past the end of the disk.
pub fn check_extent_range(range: &Range<u64>, size: u64) -> Result<()> {
    if range.is_empty() {
        return Err(Error::new(ErrorKind::OutOfBounds)
            .field("range")
            .found(format_args!("{}..{}", range.start, range.end))
            .expected("at least one byte"));
    }
    check_range(range.start, crate::range::len(range), size)
}

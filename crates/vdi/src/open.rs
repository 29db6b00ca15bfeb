//! Opening: everything that is checked once, before the first guest byte is read.

use std::fmt;
use std::sync::Arc;

use diskimg_core::{BlockSource, Image, ImageInfo, Limits, OpenOptions, Result};

use crate::block_map::BlockMap;
use crate::describe::describe;
use crate::errors::invalid;
use crate::header::Header;

/// Bytes of a file that are read to find the header. Every header that VirtualBox or QEMU writes ends before.
const FIRST: u64 = 512;

/// A VDI image as a disk to read. One layer: blocks that were never written read as zeros, and the parent of
/// a differencing or undo image is only reported.
///
/// Any number of threads may read at once; no lock is held while bytes are read.
///
/// ```
/// use diskimg_core::{ErrorKind, Memory, OpenOptions};
/// use diskimg_vdi::Vdi;
/// use std::sync::Arc;
///
/// let not_an_image = Arc::new(Memory::new(vec![0; 512]));
/// let error = Vdi::open(not_an_image, &OpenOptions::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownFormat);
/// ```
pub struct Vdi {
    pub(crate) source: Arc<dyn BlockSource>,
    pub(crate) map: BlockMap,
    pub(crate) info: ImageInfo,
}

impl fmt::Debug for Vdi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vdi").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Vdi {
    /// Opens one layer of an image.
    ///
    /// The disk's size is that of the header, to the byte: QEMU would round it up to a sector and VirtualBox
    /// down. Blocks marked free are [`diskimg_core::ExtentKind::Unallocated`], those marked zero
    /// [`diskimg_core::ExtentKind::Zero`], also over a parent. Reads the header alone; the block map is read
    /// in pages when they are first needed.
    ///
    /// Damage is reported where it is met: guest bytes whose block lies behind the end of the file are
    /// [`diskimg_core::ErrorKind::Truncated`], never zeros.
    ///
    /// Each entry of the block map is taken at its word. Two blocks of the disk that are the same block of the
    /// file read alike, as in QEMU; that is damage, but to find it takes the whole map, so that it is left to
    /// [`crate::DRIVER`]'s check. A stream is decoded by the same rule.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::UnknownFormat`] without the signature;
    /// [`diskimg_core::ErrorKind::Unsupported`] for other versions, types, flags and sector sizes;
    /// [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit;
    /// [`diskimg_core::ErrorKind::Truncated`] for a file that ends inside its header or block map;
    /// [`diskimg_core::ErrorKind::InvalidInput`] when `options` name a snapshot, for there are none inside;
    /// [`diskimg_core::ErrorKind::Corrupt`] for fields that cannot be.
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        if let Some(selector) = &options.snapshot {
            return Err(invalid("snapshot")
                .found(format_args!("{selector:?}"))
                .expected("none: a VDI image has no snapshots inside"));
        }
        let header = read_header(source.as_ref())?;
        header.check_readable(&options.limits)?;
        header.check_map_in_file(source.size())?;
        header.check_data_behind_map()?;
        let info = describe(&header, &options.limits, source.size());
        let map = BlockMap::new(Arc::clone(&source), header.geometry, &options.limits);
        Ok(Self { source, map, info })
    }
}

/// Opens one layer: [`diskimg_core::Driver::open`] of this format.
///
/// # Errors
/// As [`Vdi::open`].
pub(crate) fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    Ok(Arc::new(Vdi::open(source, options)?))
}

/// Reads what an image claims, whatever it may be that keeps it from being opened: a block map cut off,
/// unknown flags, a disk larger than the limit. These are findings here.
///
/// ```
/// use diskimg_core::{ErrorKind, Limits, Memory};
/// let empty = Memory::new(Vec::new());
/// let error = diskimg_vdi::inspect(&empty, &Limits::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Truncated);
/// assert_eq!(error.to_string(), "vdi: header at byte 0 is 0 bytes, expected at least 456");
/// ```
///
/// # Errors
/// When the header itself cannot be: [`diskimg_core::ErrorKind::UnknownFormat`],
/// [`diskimg_core::ErrorKind::Truncated`], [`diskimg_core::ErrorKind::Unsupported`],
/// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Limit`].
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    Ok(describe(&read_header(source)?, limits, source.size()))
}

pub(crate) fn read_header(source: &dyn BlockSource) -> Result<Header> {
    let len = usize::try_from(FIRST.min(source.size())).unwrap_or_default();
    let mut bytes = vec![0; len];
    source.read_at(0, &mut bytes)?;
    Header::parse(&bytes)
}

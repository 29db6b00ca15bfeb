//! Opens an image: all checks before the first guest byte is read.

use std::fmt;
use std::sync::Arc;

use diskimg_core::{BlockSource, ImageInfo, Limits, MetadataCache, OpenOptions, Result};

use crate::block_map::BlockMap;
use crate::describe::describe;
use crate::errors::invalid;
use crate::header::Header;

/// Bytes read to parse the header. All headers that VirtualBox and QEMU write fit.
const HEAD_BYTES: u64 = 512;

/// A VDI image, opened for reading as one layer: blocks that were never written read as zeros. The parent of a
/// differencing or undo image is only reported.
///
/// Any number of threads may read at the same time; no lock is held during I/O.
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
    /// Only the header is read; pages of the block map are read when they are first needed. The size of the disk is
    /// the size in the header, to the byte: QEMU rounds it up to a sector, VirtualBox down. Free blocks are
    /// [`diskimg_core::ExtentKind::Unallocated`]. Zero blocks are [`diskimg_core::ExtentKind::Zero`], even over a
    /// parent.
    ///
    /// Damage is reported when it is read: guest bytes whose block is past the end of the file are
    /// [`diskimg_core::ErrorKind::Truncated`], never zeros.
    ///
    /// Two guest blocks in the same file block read alike, as in QEMU. That is damage, but finding it takes the
    /// whole map: the check of [`crate::DRIVER`] reports it. Streams are decoded by the same rule.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::UnknownFormat`] without the signature;
    /// [`diskimg_core::ErrorKind::Unsupported`] for other versions, types, flags and sector sizes;
    /// [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limit;
    /// [`diskimg_core::ErrorKind::Truncated`] for a file that ends inside its header or block map;
    /// [`diskimg_core::ErrorKind::InvalidInput`] if `options` select a snapshot: the format has none;
    /// [`diskimg_core::ErrorKind::Corrupt`] for invalid fields.
    pub fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Self> {
        if let Some(selector) = &options.snapshot {
            let expected = "none: VDI images have no internal snapshots";
            return Err(invalid("snapshot").found(format_args!("{selector:?}")).expected(expected));
        }
        let header = read_header(source.as_ref())?;
        header.check_readable(&options.limits)?;
        header.check_map_in_file(source.size())?;
        header.check_data_past_map()?;
        let info = describe(&header, &options.limits, source.size());
        let cache = MetadataCache::in_group(options.limits.metadata_cache, &options.caches);
        let map = BlockMap::new(Arc::clone(&source), header.geometry, cache);
        Ok(Self { source, map, info })
    }
}

/// Describes an image by its header, even if it cannot be opened: a truncated block map, unknown flags and a disk
/// larger than the limit are findings.
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
/// If the header is invalid: [`diskimg_core::ErrorKind::UnknownFormat`],
/// [`diskimg_core::ErrorKind::Truncated`], [`diskimg_core::ErrorKind::Unsupported`],
/// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Limit`].
pub fn inspect(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    Ok(describe(&read_header(source)?, limits, source.size()))
}

pub(crate) fn read_header(source: &dyn BlockSource) -> Result<Header> {
    let len = usize::try_from(HEAD_BYTES.min(source.size())).unwrap_or_default();
    let mut bytes = vec![0; len];
    source.read_at(0, &mut bytes)?;
    Header::parse(&bytes)
}

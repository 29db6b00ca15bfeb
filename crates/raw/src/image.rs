//! A source read as a raw disk.

use std::ops::Range;
use std::sync::Arc;

use diskimg_core::{BlockSource, Extent, Finding, Image, ImageInfo, Limits, Location, Result};

use crate::content::Content;
use crate::format::RAW;
use crate::head::read_head;
use crate::optical::findings;
use crate::partitions;
use crate::recognise::recognise_head;

/// Any source read as a raw disk. Its description contains what its first bytes indicate.
pub struct RawImage {
    source: Arc<dyn BlockSource>,
    info: ImageInfo,
}

impl RawImage {
    /// Reads the first bytes of `source` and describes them.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] for a disk larger than the limits allow; the errors of reading.
    ///
    /// ```
    /// use diskimg_core::{BlockSource, Image, Limits, Memory};
    /// use diskimg_raw::RawImage;
    /// use std::sync::Arc;
    ///
    /// let mut bytes = vec![0; 40_000];
    /// bytes[32_769..32_774].copy_from_slice(b"CD001");
    /// let disc = RawImage::new(Arc::new(Memory::new(bytes)), &Limits::default())?;
    /// assert!(disc.info().is_optical_disc);
    /// assert_eq!(disc.size(), 40_000);
    /// # Ok::<(), diskimg_core::Error>(())
    /// ```
    pub fn new(source: Arc<dyn BlockSource>, limits: &Limits) -> Result<Self> {
        let info = describe(source.as_ref(), limits)?;
        Ok(Self { source, info })
    }
}

/// Describes a raw disk by its first bytes.
pub(crate) fn describe(source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let size = source.size();
    limits.check_virtual_size(size).map_err(|error| error.format(RAW))?;
    let head = read_head(source)?;
    let content = recognise_head(&head, Some(size));
    let mut info = ImageInfo::new(RAW, size);
    info.content = content.map(Content::name);
    info.is_optical_disc = content.is_some_and(Content::is_optical_disc);
    info.findings = findings(&head, size);
    if let Some(end) = partitions::table_end(&head).filter(|end| *end > size && !info.is_optical_disc) {
        let message = format!("the partition table describes a disk of {end} bytes, and this one has {size}");
        info.findings.push(Finding::warning("partition_table", message).at(size));
    }
    if size == 0 {
        info.findings.push(Finding::warning("empty", "the disk has no bytes"));
    }
    Ok(info)
}

impl BlockSource for RawImage {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.source.read_at(offset, buf)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        self.source.extent_at(range)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        self.source.locate(range)
    }

    fn decode_unit(&self) -> u64 {
        self.source.decode_unit()
    }
}

impl Image for RawImage {
    fn info(&self) -> &ImageInfo {
        &self.info
    }
}

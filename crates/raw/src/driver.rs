//! The driver of the format `raw`.

use std::sync::Arc;

use diskimg_core::{BlockSource, Driver, ErrorKind, Image, OpenOptions, Result, Verdict};

use crate::decoder::RawDecoder;
use crate::error::error;
use crate::format::RAW;
use crate::image::{RawImage, describe};
use crate::raw_sink;

/// The format `raw`: every byte of the file is a byte of the disk.
///
/// Its probe never returns yes, because every file is a valid raw disk, and guessing raw is how untrusted images reach
/// files of the host. A caller requests raw explicitly, or decides with [`crate::recognise`].
///
/// ```
/// use diskimg_core::{BlockSource, Memory, OpenOptions, Verdict};
/// use diskimg_raw::DRIVER;
/// use std::sync::Arc;
///
/// assert_eq!((DRIVER.probe)(&[0; 512]), Verdict::No);
/// let disk = (DRIVER.open)(Arc::new(Memory::new(vec![1; 1000])), &OpenOptions::default())?;
/// assert_eq!(disk.info().virtual_size, 1000);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub static DRIVER: Driver = Driver::new(RAW, |_| Verdict::No, describe, open)
    .with_description("the bytes of the disk without metadata; also ISO images")
    .with_extensions(&["raw", "img", "iso"])
    .with_stream(|limits| Ok(Box::new(RawDecoder::new(limits))))
    .with_writer(raw_sink::create, raw_sink::measure);

fn open(source: Arc<dyn BlockSource>, options: &OpenOptions<'_>) -> Result<Arc<dyn Image>> {
    if let Some(selector) = &options.snapshot {
        return Err(error(ErrorKind::InvalidInput, "snapshot")
            .found(format_args!("{selector:?}"))
            .expected("none: a raw disk has no snapshots"));
    }
    Ok(Arc::new(RawImage::new(source, &options.limits)?))
}

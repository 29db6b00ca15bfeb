//! Sources of any kind that may hold a compressed image.

use std::io::Read;
use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{BlockSource, Result};

use crate::disk::Disk;
use crate::inspect::{Inspection, Sizes};
use crate::open::Opener;
use crate::stream::StreamInput;

impl Opener {
    /// Opens the image that a source of any kind holds, unwrapped if it is compressed and
    /// [`Opener::unwrap`] says so: what [`Opener::open`] does with a file.
    ///
    /// # Errors
    /// As [`Opener::open`].
    ///
    /// ```
    /// use diskimg::{BlockSource, Memory, Opener};
    /// use std::sync::Arc;
    /// let mut opener = Opener::new();
    /// opener.allow_raw = true;
    /// assert_eq!(opener.open_any(Arc::new(Memory::new(vec![1; 512])))?.size(), 512);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    pub fn open_any(&self, source: Arc<dyn BlockSource>) -> Result<Disk> {
        match self.wrapper_of(&source)? {
            None => self.open_source(source),
            Some(wrapper) => {
                let sizes = Sizes::of(&source);
                Ok(self.unwrapped(source, wrapper)?.into_disk(self, &())?.out_of(sizes))
            }
        }
    }

    /// Reads what the image in a source of any kind claims, unwrapped if it is compressed and
    /// [`Opener::unwrap`] says so: what [`Opener::inspect`] does with a file.
    ///
    /// # Errors
    /// As [`Opener::inspect`].
    pub fn inspect_any(&self, source: Arc<dyn BlockSource>) -> Result<Inspection> {
        let sizes = Sizes::of(&source);
        match self.wrapper_of(&source)? {
            None => Ok(Inspection::new(self.inspect_source(&source)?, None, sizes)),
            Some(_) => {
                let inside = self.inspect_stream(InOrder { source, position: 0 })?;
                Ok(Inspection::new(inside.info, inside.wrapper, sizes))
            }
        }
    }

    fn unwrapped(&self, source: Arc<dyn BlockSource>, wrapper: Wrapper) -> Result<StreamInput> {
        let stream = InOrder { source, position: 0 };
        StreamInput::decoded(Box::new(self.decode(stream, wrapper)?), wrapper, self)
    }
}

/// A source, read from its first byte to its last.
struct InOrder {
    source: Arc<dyn BlockSource>,
    position: u64,
}

impl Read for InOrder {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.size().saturating_sub(self.position);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        self.source.read_at(self.position, buf)?;
        self.position = self.position.saturating_add(len as u64);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Image, Memory};
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_image_in_memory_is_unwrapped() {
        let packed = gz(&[7; 100_000]);
        let source: Arc<dyn BlockSource> = Arc::new(Memory::new(packed.clone()));
        let mut opener = Opener::new();
        opener.allow_raw = true;
        let disk = opener.open_any(Arc::clone(&source)).unwrap();
        assert_eq!((disk.size(), disk.wrapper()), (100_000, Some(Wrapper::Gzip)));
        let inspection = opener.inspect_any(source).unwrap();
        assert_eq!(inspection.info.virtual_size, disk.info().virtual_size);
        assert_eq!(inspection.file_size, Some(packed.len() as u64));
        assert_eq!(disk.inspection(), inspection);
    }

    #[test]
    fn what_is_compressed_stays_so_if_it_is_not_to_be_unwrapped() {
        let packed = gz(&[7; 100_000]);
        let mut opener = Opener::new();
        (opener.unwrap, opener.format) = (false, Some(diskimg_raw::DRIVER.format));
        let disk = opener.open_any(Arc::new(Memory::new(packed.clone()))).unwrap();
        assert_eq!((disk.size(), disk.wrapper()), (packed.len() as u64, None));
    }
}

//! What a target would take up, before it is written.

use diskimg_core::{BlockSource, CreateOptions, Error, ErrorKind, Extents, Result};

use crate::convert::Target;

/// Bytes that the file of a target would have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// At most so many for this disk as it is: holes and known zeros take none, nor does compression count.
    pub required: u64,
    /// At most so many when every byte of the disk is written.
    pub fully_allocated: u64,
}

impl Target {
    /// Measures what this target would take up with the disk `source`, as `qemu-img measure` does: only its extents
    /// are looked at. For raw that is the size of the disk, whose holes take no blocks of the file system all the
    /// same.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a format that cannot be measured; as [`Target::create`] for options that cannot
    /// be meant; what the source gives.
    ///
    /// ```
    /// use diskimg::{Memory, Target, driver};
    /// let disk = Memory::new(vec![1; 100_000]);
    /// let measured = Target::file("any", driver("qcow2")?.format).measure(&disk)?;
    /// assert_eq!(measured.required, measured.fully_allocated);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    pub fn measure(&self, source: &dyn BlockSource) -> Result<Measured> {
        let size = source.size();
        if self.format == diskimg_raw::DRIVER.format {
            return Ok(Measured { required: size, fully_allocated: size });
        }
        if self.format != diskimg_qcow2::DRIVER.format {
            return Err(Error::new(ErrorKind::Unsupported).format(self.format).because("cannot be measured"));
        }
        let options = CreateOptions {
            virtual_size: size,
            compress: self.compress,
            level: self.level,
            settings: self.settings.clone(),
            siblings: None,
        };
        let stored = Extents::new(source, 0..size).filter_map(|extent| match extent {
            Ok(extent) if extent.kind.reads_as_zeros() => None,
            extent => Some(extent.map(|extent| extent.range())),
        });
        let measure = diskimg_qcow2::measure(&options, stored)?;
        Ok(Measured { required: measure.required, fully_allocated: measure.fully_allocated })
    }
}

//! What a target would take up, before it is written.

use std::ops::Range;

use diskimg_core::{BlockSource, Error, ErrorKind, Extents, Measured, Result};

use crate::convert::Target;
use crate::drivers::driver_of;

impl Target {
    /// Measures what this target would take up with the disk `source`; only its extents are looked at. For raw that
    /// is the size of the disk, whose holes take no blocks of the file system all the same; for an image of several
    /// files their sum, the names of which follow from the target's, or from `disk` where it has none. The numbers of
    /// raw and qcow2 are those of `qemu-img measure`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a format that cannot be written; as [`Target::create`] for options that cannot
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
        let mut stored = Extents::new(source, 0..source.size()).filter_map(|extent| match extent {
            Ok(extent) if extent.kind.reads_as_zeros() => None,
            extent => Some(extent.map(|extent| extent.range())),
        });
        self.measured(source.size(), Some(&mut stored))
    }

    /// Measures what this target would take up if a disk of `size` bytes were created and not written.
    ///
    /// # Errors
    /// As [`Target::measure`].
    pub fn measure_empty(&self, size: u64) -> Result<Measured> {
        self.measured(size, None)
    }

    fn measured(
        &self,
        size: u64,
        data: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
    ) -> Result<Measured> {
        let measure = driver_of(self.format)?.measure.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported).format(self.format).because("cannot be measured")
        })?;
        measure(&self.measure_options(size)?, data)
    }
}

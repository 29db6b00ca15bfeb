//! The size of a target before it is written.

use std::ops::Range;

use diskimg_core::{
    BlockSource, Error, ErrorKind, Extent, Extents, Fault, Location, Measured, Progress, Result,
};

use crate::convert::Target;
use crate::disk::Disk;
use crate::drivers::driver_of;
use crate::preallocated::PreallocatedFiles;

impl Target {
    /// Measures the size of this target with the disk `source`. Only the extents are read. For raw this is the size of
    /// the disk, in whole sectors if [`Target::whole_sectors`] is set, although holes use no blocks of the file system. For an image of several files it is their sum; the
    /// files are named after the target, or `disk` if it has no name. The results for raw and qcow2 are those of
    /// `qemu-img measure`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a format that cannot be written; as [`Target::create`] for invalid options; errors
    /// of the source.
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

    /// Measures the size of this target with an opened disk, as [`Target::measure`] does, but does not count data in holes
    /// of preallocated images ([`PreallocatedFiles`]). The results for raw and qcow2 are those of `qemu-img measure`.
    ///
    /// ```
    /// use diskimg::{BlockSource, Opener, Target, driver};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let disk = Opener::new().open(&path)?;
    /// let measured = Target::file("any", driver("raw")?.format).measure_disk(&disk)?;
    /// assert_eq!(measured.required, disk.size());
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Target::measure`].
    pub fn measure_disk(&self, disk: &Disk) -> Result<Measured> {
        self.measure_disk_with(disk, &())
    }

    /// Measures as [`Target::measure_disk`] does. Reports the guest bytes whose tables were read to `progress`, which may
    /// stop it.
    ///
    /// # Errors
    /// As [`Target::measure`]; [`ErrorKind::Cancelled`] if `progress` stops it.
    pub fn measure_disk_with(&self, disk: &Disk, progress: &dyn Progress) -> Result<Measured> {
        let reported = ReportedExtents { disk, progress };
        let mut extents = Extents::new(&reported, 0..disk.size());
        let mut files = PreallocatedFiles::new(disk);
        let mut rest: Option<Extent<'_>> = None;
        let mut stored = std::iter::from_fn(|| {
            loop {
                let extent = match rest.take().map_or_else(|| extents.next(), |rest| Some(Ok(rest)))? {
                    Ok(extent) => extent,
                    Err(error) => return Some(Err(error)),
                };
                let (is_stored, len) = match files.stored_run(&extent) {
                    Ok(run) => run,
                    Err(error) => return Some(Err(error)),
                };
                rest = Some(extent.without_first(len)).filter(|rest| rest.len > 0);
                if is_stored {
                    return Some(Ok(extent.truncated(len).range()));
                }
            }
        });
        self.measured(disk.size(), Some(&mut stored))
    }

    /// Measures the size of this target for an empty disk of `size` bytes.
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
            Error::new(ErrorKind::Unsupported)
                .format(self.format)
                .because("cannot be measured")
                .with_fault(Fault::Caller)
        })?;
        measure(&self.measure_options(size)?, data)
    }
}

/// A disk that reports the progress of a walk over its extents.
struct ReportedExtents<'a> {
    disk: &'a Disk,
    progress: &'a dyn Progress,
}

impl BlockSource for ReportedExtents<'_> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, buf)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let extent = self.disk.extent_at(range)?;
        self.progress.report(extent.len).map(|()| extent)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        self.disk.locate(range)
    }
}

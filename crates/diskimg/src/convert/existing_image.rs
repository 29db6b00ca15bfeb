//! An existing image that is rewritten.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskimg_core::{
    BlockSource, DenyReferences, Driver, Error, ErrorKind, Extent, Extents, Fault, Format, Image, ImageInfo,
    Limits, OpenOptions, Printable, ReferenceRole, Resolver, Result, Setting, range, zeros,
};
use diskimg_raw::FileSource;

use crate::drivers::driver_of;
use crate::resolve::WithinDirectory;

/// Bytes that are searched for data at a time.
const STEP: u64 = 1 << 20;

/// An existing image whose size and settings a conversion in place keeps.
pub(super) struct ExistingImage {
    driver: &'static Driver,
    image: Arc<dyn Image>,
    settings: Vec<Setting>,
}

impl ExistingImage {
    /// Opens the image in `file`. Its extents are opened in the directory of `path`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an image with a backing file, parent, data file, snapshot or bitmap; otherwise
    /// the reason why the file is not an image that can be rewritten.
    pub(super) fn open(format: Format, file: File, path: Option<&Path>) -> Result<Self> {
        let driver = driver_of(format)?;
        let source: Arc<dyn BlockSource> = Arc::new(FileSource::new(file)?);
        let resolver: Box<dyn Resolver> = match path {
            Some(path) => Box::new(WithinDirectory::of_image(path)?),
            None => Box::new(DenyReferences),
        };
        let options =
            OpenOptions { limits: Limits::default(), resolver: &*resolver, ..OpenOptions::default() };
        let image = (driver.open)(Arc::clone(&source), &options).map_err(|error| {
            Error::new(error.kind())
                .format(format)
                .because(format_args!("not an image that can be written in place: {error}"))
                .with_fault(error.fault())
                .with_os_error(error.os_error())
        })?;
        check_alone(image.info())?;
        let settings_of = driver
            .settings_of
            .ok_or_else(|| Error::new(ErrorKind::Unsupported).format(format).with_fault(Fault::Caller))?;
        let settings = settings_of(&source, image.info())?;
        Ok(Self { driver, image, settings })
    }

    /// The virtual size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.image.size()
    }

    /// The settings that create an image like this one.
    pub(super) fn settings(&self, is_allocated: bool) -> Vec<Setting> {
        let mut settings = self.settings.clone();
        if is_allocated && self.driver.settings.iter().any(|help| help.name == "preallocation") {
            settings.push(Setting { name: "preallocation".to_owned(), value: "metadata".to_owned() });
        }
        settings
    }

    /// Checks that a disk of `size` bytes fits.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming both sizes.
    pub(super) fn check_size(&self, size: Option<u64>) -> Result<()> {
        let own = self.size();
        match size.filter(|size| *size > own) {
            Some(size) => Err(self.refused(format_args!(
                "has a virtual size of {own} bytes, which is smaller than the disk of {size} bytes"
            ))),
            None => Ok(()),
        }
    }

    /// Checks that the image consists of the files at these paths in addition to its own.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if its extents have other names.
    pub(super) fn check_extents(&self, paths: &[PathBuf]) -> Result<()> {
        let names = paths.iter().filter_map(|path| Some(path.file_name()?.as_encoded_bytes()));
        let names: BTreeSet<&[u8]> = names.collect();
        let references = &self.image.info().references;
        let own: BTreeSet<&[u8]> = references.iter().map(|reference| reference.name.as_slice()).collect();
        if own == names {
            return Ok(());
        }
        let other = own.difference(&names).next().copied().unwrap_or_default();
        let other = Printable::new(other);
        Err(self.refused(format_args!("consists of other files than the new one would: {other}")))
    }

    /// Checks that the image reads as zeros. Returns true if all of it is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it stores other bytes.
    pub(super) fn check_empty(&self) -> Result<bool> {
        let size = self.size();
        let mut is_allocated = size > 0;
        let mut buf = vec![0; usize::try_from(STEP.min(size)).unwrap_or_default()];
        for extent in Extents::new(&self.image, 0..size) {
            let extent = extent?;
            is_allocated &= extent.location.host.is_some() || extent.reserved.is_some();
            if !extent.kind.reads_as_zeros() {
                self.check_zeros(&extent, &mut buf)?;
            }
        }
        Ok(is_allocated)
    }

    /// Checks that a stored extent reads as zeros. Holes of the host file are not read.
    fn check_zeros(&self, extent: &Extent<'_>, buf: &mut [u8]) -> Result<()> {
        let Some(host) = extent.location.host else {
            return self.check_range(extent.range(), buf);
        };
        let file = FileSource::new(host.file.try_clone()?)?;
        let end = host.offset.saturating_add(extent.len).min(file.size());
        for stored in Extents::new(&file, host.offset..end) {
            let stored = stored?;
            if !stored.kind.reads_as_zeros() {
                let start = extent.offset.saturating_add(range::len(&(host.offset..stored.offset)));
                self.check_range(start..start.saturating_add(stored.len), buf)?;
            }
        }
        Ok(())
    }

    fn check_range(&self, range: Range<u64>, buf: &mut [u8]) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at.saturating_add(STEP));
            let bytes = buf.get_mut(..range::buffer_len(&(at..end))).unwrap_or_default();
            self.image.read_at(at, bytes)?;
            if !zeros::is_zero(bytes) {
                return Err(self.refused("stores data").guest(at));
            }
            at = end;
        }
        Ok(())
    }

    fn refused(&self, because: impl Display) -> Error {
        refused(self.driver.format, because)
    }
}

/// Checks that nothing but the guest's data would be lost, or be missing, if an image were rewritten.
fn check_alone(info: &ImageInfo) -> Result<()> {
    let other = info.references.iter().find(|reference| reference.role != ReferenceRole::Extent);
    let reason: &str = match other {
        Some(other) => &format!("refers to another one: {}", Printable::new(&other.name)),
        None if !info.snapshots.is_empty() => "has internal snapshots",
        None if info.details.iter().any(|(name, _)| name == "bitmaps") => "has bitmaps",
        None if info.corrupt => "is marked as corrupt",
        None => return Ok(()),
    };
    Err(refused(info.format, reason))
}

fn refused(format: Format, because: impl Display) -> Error {
    Error::new(ErrorKind::InvalidInput).format(format).because(format_args!("the existing image {because}"))
}

//! The options of a target for the writers of files and formats.

use std::sync::Arc;

use diskimg_core::{
    BlockSink, CreateOptions, Error, ErrorKind, Fault, NullSink, Remedy, Result, Setting, Siblings,
};
use diskimg_raw::{MAX_FILE_LEN, Preallocation, SinkOptions};

use super::sibling_files::SiblingFiles;
use super::target::{Target, TargetPlace};
use super::whole_sector_sink::whole_sectors;
use crate::drivers::driver_of;

impl Target {
    /// Adds the format to a sink that stores the file. Raw adds nothing.
    pub(super) fn formatted(
        &self,
        sink: Box<dyn BlockSink>,
        settings: &[Setting],
        size: Option<u64>,
        siblings: Option<Arc<dyn Siblings>>,
    ) -> Result<Box<dyn BlockSink>> {
        self.check_reserved_space()?;
        if self.is_raw() {
            return self.check_raw_options(size).map(|()| sink);
        }
        let driver = driver_of(self.format)?;
        let create = driver.create.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .format(self.format)
                .because("writing is not supported")
                .with_fault(Fault::Caller)
        })?;
        let virtual_size = size.ok_or_else(|| {
            Error::new(ErrorKind::NeedsSeek)
                .format(self.format)
                .because("the format needs the size of the disk before its data")
        })?;
        create(sink, &self.create_options(virtual_size, settings, siblings))
    }

    fn create_options(
        &self,
        virtual_size: u64,
        settings: &[Setting],
        siblings: Option<Arc<dyn Siblings>>,
    ) -> CreateOptions {
        let (compress, level, settings) = (self.compress, self.level, settings.to_vec());
        CreateOptions { virtual_size, compress, level, settings, siblings }
    }

    /// The options for measuring the image that [`Target::create`] would make. Sibling files are named but not
    /// created.
    pub(crate) fn measure_options(&self, virtual_size: u64) -> Result<CreateOptions> {
        if self.is_raw() {
            self.check_raw_options(Some(virtual_size))?;
            let virtual_size = if self.rounds_up() { whole_sectors(virtual_size) } else { virtual_size };
            // `create` ignores them, too.
            return Ok(CreateOptions { virtual_size, ..CreateOptions::default() });
        }
        let siblings = self
            .path()
            .and_then(|path| SiblingFiles::of(path, Box::new(|_, _| Ok(Box::new(NullSink::default())))));
        Ok(self.create_options(virtual_size, &self.settings, siblings))
    }

    /// Refuses preallocation where there is no file to reserve space in.
    fn check_reserved_space(&self) -> Result<()> {
        let of_raw = match self.preallocation {
            Preallocation::Off => None,
            Preallocation::Falloc => Some("falloc"),
            Preallocation::Full => Some("full"),
        };
        let of_image = self.image_preallocation().filter(|mode| matches!(*mode, "falloc" | "full"));
        let mode = match &self.place {
            TargetPlace::Path(_) | TargetPlace::File(_) => None,
            TargetPlace::Stream(_) => of_image.or(of_raw),
            TargetPlace::Sink(_) => of_image,
        };
        // Programs search for this text of qemu-img.
        match mode {
            Some(mode) => Err(Error::new(ErrorKind::InvalidInput).format(self.format).because(format_args!(
                "Unsupported preallocation mode '{mode}': only a file or block device has space to reserve"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses options that raw does not support.
    fn check_raw_options(&self, size: Option<u64>) -> Result<()> {
        if let Some(size) = size.filter(|size| *size > MAX_FILE_LEN) {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .field("size")
                .found(size)
                .expected(format_args!("at most {MAX_FILE_LEN} bytes")));
        }
        if self.compress || self.level.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .because("cannot be compressed")
                .with_remedy(Remedy::CompressAfterwards { or_format: "qcow2" }));
        }
        match self.settings.first() {
            Some(setting) => {
                Err(setting.invalid("no setting of this name: raw has only preallocation and nocow"))
            }
            None => Ok(()),
        }
    }

    /// The options of the file. A raw file has the size of the disk; the file of an image grows.
    pub(super) fn sink_options(&self, size: Option<u64>) -> SinkOptions {
        SinkOptions {
            size: size.filter(|_| self.is_raw()),
            zeros: self.stored_zeros(),
            preallocation: self.preallocation,
            direct: self.direct,
            sync: self.durable,
            write_through: self.write_through,
            no_copy_on_write: self.no_copy_on_write,
            ..SinkOptions::default()
        }
    }
}

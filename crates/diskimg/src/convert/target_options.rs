//! The options of a target for the writers of files and formats.

use std::sync::Arc;

use diskimg_core::{BlockSink, CreateOptions, Error, ErrorKind, NullSink, Remedy, Result, Setting, Siblings};
use diskimg_raw::SinkOptions;

use super::sibling_files::SiblingFiles;
use super::target::Target;
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
        if self.is_raw() {
            return self.check_raw_options().map(|()| sink);
        }
        let driver = driver_of(self.format)?;
        let create = driver.create.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported).format(self.format).because("writing is not supported")
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
            self.check_raw_options()?;
            // `create` ignores them, too.
            return Ok(CreateOptions { virtual_size, ..CreateOptions::default() });
        }
        let siblings = self
            .path()
            .and_then(|path| SiblingFiles::of(path, Box::new(|_, _| Ok(Box::new(NullSink::default())))));
        Ok(self.create_options(virtual_size, &self.settings, siblings))
    }

    /// Refuses options that raw does not support.
    fn check_raw_options(&self) -> Result<()> {
        if self.compress || self.level.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .because("cannot be compressed")
                .with_remedy(Remedy::CompressAfterwards { or_format: "qcow2" }));
        }
        match self.settings.first() {
            Some(setting) => Err(setting.invalid("no setting of this name: raw has only preallocation")),
            None => Ok(()),
        }
    }

    /// The options of the file. A raw file has the size of the disk; the file of an image grows.
    pub(super) fn sink_options(&self, size: Option<u64>) -> SinkOptions {
        SinkOptions {
            size: size.filter(|_| self.is_raw()),
            preallocation: self.preallocation,
            direct: self.direct,
            sync: self.durable,
            ..SinkOptions::default()
        }
    }
}

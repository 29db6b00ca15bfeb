//! Refuses targets that would overwrite the source of a conversion.

use std::fs::Metadata;
use std::path::Path;

use diskimg_core::{BlockSource, Error, ErrorKind, Result};

use super::target::{Target, TargetPlace, at_path};
use crate::disk::Disk;
use crate::host_id::HostId;
use crate::stream_input::StreamInput;

impl Target {
    /// Checks that no file that this target writes, replaces or removes is one that the disk is read from: the image
    /// itself, the compressed file that contained it, or a file that it refers to.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is.
    pub(super) fn ensure_not_source(&self, disk: &Disk) -> Result<()> {
        self.ensure_not_read(Some(disk.size()), &|file| disk.reads_from(file))
    }

    /// Checks this target like [`Target::check`], for the size that the head of the stream records, and that no file of
    /// this target is the one that the stream is read from. A raw disk must also fit as its GPT records it.
    ///
    /// # Errors
    /// As [`Target::check`] and [`Target::ensure_not_source`].
    pub(super) fn check_stream(&self, stream: &StreamInput) -> Result<()> {
        let size = stream.least_virtual_size();
        if let Some(origin) = stream.origin {
            self.ensure_not_read(size, &|file| HostId::of(file) == Some(origin))?;
        }
        self.check(size)?;
        stream.gpt_size().map_or(Ok(()), |size| self.check_stated_size(size))
    }

    fn ensure_not_read(&self, size: Option<u64>, is_read: &dyn Fn(&Metadata) -> bool) -> Result<()> {
        if let TargetPlace::File(_) = &self.place {
            return match self.open_target()? {
                Some(file) if is_read(&file.metadata()?) => Err(source_is_target()),
                _ => Ok(()),
            };
        }
        let ensure = |path: &Path| match path.metadata() {
            Ok(file) if is_read(&file) => Err(at_path(source_is_target(), path)),
            _ => Ok(()),
        };
        // The names of the other files need a target that can be written. The source may not be one.
        let Some(path) = self.path() else { return Ok(()) };
        ensure(path)?;
        self.files(size).map_err(|error| at_path(error, path))?.iter().try_for_each(|path| ensure(path))
    }
}

fn source_is_target() -> Error {
    Error::new(ErrorKind::InvalidInput).because(
        "it is the source, or a file that the source refers to: the conversion would destroy its own source",
    )
}

//! Creating the sink of a target.

use std::path::Path;
use std::sync::{Arc, Mutex};

use diskimg_core::{BlockSink, Error, ErrorKind, Result};
use diskimg_raw::{FileSink, Preallocation, SinkOptions, StreamSink, open_target};

use super::publishing_sink::{ImageFileRole, ImageFiles, PublishingSink};
use super::sibling_files::{CreateSibling, new_siblings};
use super::target::{Target, TargetPlace, at_path};
use super::whole_sector_sink::{WholeSectorSink, whole_sectors};

impl Target {
    /// Returns true if the target can be created before the size of the disk is known.
    pub(super) fn accepts_unknown_size(&self) -> bool {
        // Preallocation needs the size before the first byte.
        self.is_raw() && self.preallocation == Preallocation::Off
    }

    /// Creates the target for a disk of `size` bytes; `None` if the size becomes known only at the end, which only a
    /// raw target without preallocation accepts.
    ///
    /// A new file appears when the sink is finished, complete and durable. It never appears if the sink is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if the file exists and must not be replaced; [`ErrorKind::InvalidInput`] if a setting is invalid;
    /// [`ErrorKind::NeedsSeek`] if a stream cannot have this layout; [`ErrorKind::Unsupported`] if the format cannot be
    /// written; [`ErrorKind::Io`].
    pub fn create(&self, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let length = size.filter(|_| self.is_raw());
        match &self.place {
            TargetPlace::Stream(stream) => {
                let sink = StreamSink::new(take(stream, "stream")?, length);
                self.formatted(Box::new(sink), &self.settings, size, None)
            }
            TargetPlace::Sink(create) => {
                self.formatted(take(create, "sink")?(length)?, &self.settings, size, None)
            }
            TargetPlace::File(file) => {
                self.check(size)?;
                self.write_into(take(file, "file")?, None, None, size)
            }
            TargetPlace::Path(path) if self.writes_in_place() => self.create_in_place(path, size),
            TargetPlace::Path(path) => self.create_file(path, size),
        }
    }

    fn create_file(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.check_replaced_files(size)?;
        let files = Arc::new(ImageFiles::new(self.unfinished.clone(), self.durable, self.lock));
        let file = files.create(path, self.overwrite)?;
        let length = if self.rounds_up() { size.map(whole_sectors) } else { size };
        let options = SinkOptions { is_zero: true, ..self.sink_options(length) };
        // The file may be at the end of a symbolic link, and the others are found in its own directory.
        let create = CreateSibling { overwrite: self.overwrite, options, cancel: self.cancel.clone() };
        let siblings = new_siblings(file.target(), create, Arc::clone(&files));
        let mut sink: Box<dyn BlockSink> =
            Box::new(FileSink::cancellable(file.file()?, options, self.cancel.clone())?);
        if self.rounds_up() && size.is_none() {
            sink = Box::new(WholeSectorSink::new(sink));
        }
        let sink = self.formatted(sink, &self.settings, size, siblings)?;
        Ok(Box::new(PublishingSink { sink, file, role: ImageFileRole::Main(files) }))
    }

    fn create_in_place(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let write = || {
            let file = open_target(path, true)?;
            let lock = self.take_lock(&file, path)?;
            self.check_existing(&file, Some(path), size)?;
            self.write_into(file, lock, Some(path), size)
        };
        write().map_err(|error| at_path(error, path))
    }
}

/// Takes a value that can be used once.
fn take<T>(once: &Mutex<Option<T>>, name: &str) -> Result<T> {
    once.lock().map_or(None, |mut once| once.take()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput).because(format_args!("the {name} is already in use"))
    })
}

#[cfg(test)]
mod tests {
    use diskimg_core::Format;

    use super::*;

    #[test]
    fn sink_receives_the_bytes_of_the_file_once() {
        let kept = diskimg_core::MemorySink::new(1 << 20);
        let target = Target::sink(Box::new(kept.clone()), Format::new("qcow2"));
        target.create(Some(1 << 20)).unwrap().finish().unwrap();
        assert_eq!(kept.bytes()[..4], *b"QFI\xfb");
        assert_eq!(target.create(Some(1 << 20)).err().unwrap().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn level_is_refused_without_compression() {
        for format in ["raw", "qcow2", "vdi", "vmdk"] {
            let kept = diskimg_core::MemorySink::new(1 << 20);
            let target = Target::sink(Box::new(kept.clone()), Format::new(format));
            let error = Target { level: Some(5), ..target }.create(Some(1 << 20)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{format}: {error}");
            assert!(kept.bytes().is_empty(), "{format}");
        }
    }

    #[test]
    fn file_written_in_place_must_have_room_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, [7; 4096]).unwrap();
        let target = Target { in_place: true, ..Target::file(&path, diskimg_raw::DRIVER.format) };
        let error = target.create(Some(4097)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(&path).unwrap(), [7; 4096]);
        target.create(Some(4000)).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [&[0; 4000][..], &[7; 96]].concat());
        target.create(Some(4096)).unwrap().finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0; 4096]);
    }
}

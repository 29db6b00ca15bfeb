//! Where a conversion goes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diskimg_core::{BlockSink, CreateOptions, Error, ErrorKind, Format, Remedy, Result, Setting, Siblings};
use diskimg_raw::{FileSink, Preallocation, SinkOptions, StreamSink};

use super::atomic::{Publishing, Unpublished};
use super::sibling_files::{Part, SiblingFiles};
use crate::disk::Disk;
use crate::drivers::driver_of;

/// Where a conversion goes, and as what.
///
/// ```
/// use diskimg::{BlockSink, Format, Target};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// let target = Target::file(&path, diskimg::driver("qcow2")?.format);
/// let sink = target.create(Some(1 << 30))?;
/// sink.write_at(4096, b"first bytes")?;
/// assert!(!path.exists(), "nothing is there before it is whole");
/// sink.finish()?;
/// assert!(path.exists());
/// # Ok::<(), diskimg::Error>(())
/// ```
#[non_exhaustive]
pub struct Target {
    /// The file, device or stream.
    pub place: TargetPlace,
    /// The format it gets.
    pub format: Format,
    /// Whether units are stored compressed.
    pub compress: bool,
    /// The compression level; the method's default if not given. Refused where nothing is compressed.
    pub level: Option<i32>,
    /// The format's own settings.
    pub settings: Vec<Setting>,
    /// Whether a file that exists is replaced.
    pub overwrite: bool,
    /// Whether a file that exists is written into, in place, and nothing is created. It has to be at least
    /// as large as the disk; a longer raw one keeps its length, and the bytes behind the disk. Block devices are
    /// always written so.
    pub in_place: bool,
    /// Whether a target written in place is known to read as zeros.
    pub is_zero: bool,
    /// How much of a raw file gets its space at once.
    pub preallocation: Preallocation,
    /// Whether the file is written past the page cache (`O_DIRECT`), where the system can.
    pub direct: bool,
    /// Whether the bytes, and the name, are on disk when the sink is finished. Default yes.
    pub durable: bool,
}

/// A file, device, stream or sink.
pub enum TargetPlace {
    /// A file or block device.
    Path(PathBuf),
    /// Bytes in order, nothing else: a pipe, a socket, standard output.
    Stream(Mutex<Option<Box<dyn Write + Send>>>),
    /// A sink that takes the bytes of the file in any order, and grows: a caller's own, or an open file.
    Sink(Mutex<Option<Box<dyn BlockSink>>>),
}

impl Target {
    /// A file or block device of this format, everything else as it is by default.
    #[must_use]
    pub fn file(path: impl AsRef<Path>, format: Format) -> Self {
        Self::new(TargetPlace::Path(path.as_ref().to_owned()), format)
    }

    /// A stream of this format.
    #[must_use]
    pub fn stream(stream: impl Write + Send + 'static, format: Format) -> Self {
        Self::new(TargetPlace::Stream(Mutex::new(Some(Box::new(stream)))), format)
    }

    /// The file that a sink takes, of this format. What concerns files alone ([`Target::overwrite`],
    /// [`Target::in_place`], [`Target::preallocation`], [`Target::direct`], [`Target::durable`]) is the
    /// sink's business then. For raw the sink gets the disk itself, and has to take its size.
    #[must_use]
    pub fn sink(sink: Box<dyn BlockSink>, format: Format) -> Self {
        Self::new(TargetPlace::Sink(Mutex::new(Some(sink))), format)
    }

    fn new(place: TargetPlace, format: Format) -> Self {
        Self {
            place,
            format,
            compress: false,
            level: None,
            settings: Vec::new(),
            overwrite: false,
            in_place: false,
            is_zero: false,
            preallocation: Preallocation::Off,
            direct: false,
            durable: true,
        }
    }

    /// Whether a file or device that is there already is written into: [`Target::in_place`], and every block device.
    #[must_use]
    pub fn writes_in_place(&self) -> bool {
        match &self.place {
            TargetPlace::Path(path) => self.in_place || is_device(path),
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => false,
        }
    }

    /// Makes sure that the disk about to be converted is not read from what this target would overwrite in place:
    /// the image itself, or a file below it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is.
    pub fn ensure_not_source(&self, disk: &Disk) -> Result<()> {
        let TargetPlace::Path(path) = &self.place else { return Ok(()) };
        match path.metadata() {
            Ok(there) if self.writes_in_place() && disk.reads_from(&there) => {
                Err(at_path(Error::new(ErrorKind::InvalidInput), path)
                    .because("it is read from: written in place it would destroy its own source"))
            }
            _ => Ok(()),
        }
    }

    /// Creates the target for a disk of `size` bytes; `None` when that is known only at its end, which only
    /// raw can take.
    ///
    /// A new file appears when the sink is finished, whole and durable, and not at all if it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the file exists and may not be replaced, or a setting cannot be
    /// meant; [`ErrorKind::NeedsSeek`] when a stream is to get a layout that cannot be written in order;
    /// [`ErrorKind::Unsupported`] when the format cannot be written; [`ErrorKind::Io`].
    pub fn create(&self, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        match &self.place {
            TargetPlace::Stream(stream) => self.create_stream(stream, size),
            TargetPlace::Sink(sink) => self.formatted(take(sink, "sink")?, size, None),
            TargetPlace::Path(path) if self.writes_in_place() => self.create_in_place(path, size),
            TargetPlace::Path(path) => self.create_file(path, size),
        }
    }

    fn create_file(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let file = Unpublished::new(path, self.overwrite)?;
        let options = SinkOptions { is_zero: true, ..self.sink_options(size) };
        let made = Arc::default();
        let siblings = SiblingFiles::of(path, self.overwrite, options, &made);
        let sink = self.formatted(Box::new(FileSink::new(file.file()?, options)?), size, siblings)?;
        Ok(Box::new(Publishing { sink, file, part: Part::Image(made), durable: self.durable }))
    }

    fn create_in_place(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.check(size)?;
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(|e| at_path(e.into(), path))?;
        let there = file.metadata().map_err(|e| at_path(e.into(), path))?;
        if let Some(size) = size.filter(|size| self.is_raw() && there.is_file() && there.len() < *size) {
            let error = Error::new(ErrorKind::InvalidInput).found(format_args!("{} bytes long", there.len()));
            return Err(at_path(error.expected(format_args!("at least the disk's {size} bytes")), path));
        }
        let options = SinkOptions { is_zero: self.is_zero, keep_longer: true, ..self.sink_options(size) };
        let sink = FileSink::new(file, options).map_err(|e| at_path(e, path))?;
        self.formatted(Box::new(sink), size, None)
    }

    fn create_stream(
        &self,
        stream: &Mutex<Option<Box<dyn Write + Send>>>,
        size: Option<u64>,
    ) -> Result<Box<dyn BlockSink>> {
        let length = if self.is_raw() { size } else { None };
        self.formatted(Box::new(StreamSink::new(take(stream, "stream")?, length)), size, None)
    }

    /// The image over a sink that holds its file; raw needs nothing more.
    pub(super) fn formatted(
        &self,
        sink: Box<dyn BlockSink>,
        size: Option<u64>,
        siblings: Option<Arc<dyn Siblings>>,
    ) -> Result<Box<dyn BlockSink>> {
        if self.is_raw() {
            return self.check_plain().map(|()| sink);
        }
        let driver = driver_of(self.format)?;
        let create = driver.create.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported).format(self.format).because("this build cannot write it")
        })?;
        let virtual_size = size.ok_or_else(|| {
            Error::new(ErrorKind::NeedsSeek)
                .format(self.format)
                .because("needs the size of the disk before its data")
        })?;
        create(sink, &self.create_options(virtual_size, siblings))
    }

    fn create_options(&self, virtual_size: u64, siblings: Option<Arc<dyn Siblings>>) -> CreateOptions {
        let (compress, level, settings) = (self.compress, self.level, self.settings.clone());
        CreateOptions { virtual_size, compress, level, settings, siblings }
    }

    /// The options by which an image is measured that [`Target::create`] would make; of the files beside it only the
    /// names are asked for.
    pub(crate) fn measure_options(&self, virtual_size: u64) -> Result<CreateOptions> {
        if self.is_raw() {
            self.check_plain()?;
            // Ignored by `create` too.
            return Ok(CreateOptions { virtual_size, ..CreateOptions::default() });
        }
        let siblings = match &self.place {
            TargetPlace::Path(path) => SiblingFiles::of(path, false, SinkOptions::default(), &Arc::default()),
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => None,
        };
        Ok(self.create_options(virtual_size, siblings))
    }

    /// Whether the options can be meant for a raw disk.
    fn check_plain(&self) -> Result<()> {
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

    fn is_raw(&self) -> bool {
        self.format == diskimg_raw::DRIVER.format
    }

    /// A raw disk has the size of its file; an image's file grows as it is written.
    fn sink_options(&self, size: Option<u64>) -> SinkOptions {
        SinkOptions {
            size: if self.is_raw() { size } else { None },
            preallocation: self.preallocation,
            direct: self.direct,
            sync: self.durable,
            ..SinkOptions::default()
        }
    }
}

/// What is there once, and then in use.
fn take<T>(once: &Mutex<Option<T>>, what: &str) -> Result<T> {
    once.lock().map_or(None, |mut once| once.take()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput).because(format_args!("the {what} is already in use"))
    })
}

fn at_path(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.field(format!("target '{}'", path.display())) }
}

#[cfg(unix)]
pub(super) fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

#[cfg(not(unix))]
pub(super) fn is_device(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_takes_the_bytes_of_the_file() {
        let kept = diskimg_core::MemorySink::new(1 << 20);
        let target = Target::sink(Box::new(kept.clone()), Format::new("qcow2"));
        target.create(Some(1 << 20)).unwrap().finish().unwrap();
        assert_eq!(kept.bytes()[..4], *b"QFI\xfb");
        assert_eq!(target.create(Some(1 << 20)).err().unwrap().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_level_is_refused_where_nothing_is_compressed() {
        for format in ["raw", "qcow2", "vdi", "vmdk"] {
            let kept = diskimg_core::MemorySink::new(1 << 20);
            let target = Target::sink(Box::new(kept.clone()), Format::new(format));
            let error = Target { level: Some(5), ..target }.create(Some(1 << 20)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{format}: {error}");
            assert!(kept.bytes().is_empty(), "{format}");
        }
    }

    #[test]
    fn a_file_written_in_place_has_room_for_the_disk() {
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

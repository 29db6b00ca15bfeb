//! Where a conversion goes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diskimg_core::{
    BlockSink, BlockSource, CreateOptions, Error, ErrorKind, Format, Remedy, Result, Setting, Siblings,
};
use diskimg_raw::{FileSink, Preallocation, SinkOptions, StreamSink};

use super::atomic::{Publishing, Unpublished};
use super::sibling_files::{Part, SiblingFiles};
use crate::disk::Disk;
use crate::drivers::driver_of;
use crate::host_id::HostId;
use crate::stream_input::StreamInput;

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
    /// Writes into a file or block device that exists, and creates none. A raw target keeps its length, and its bytes
    /// past the disk; it has to be at least as large as the disk, whatever it holds. Any other target has to be an empty
    /// image of the format: one that reads as zeros and has no backing file, parent, data file, snapshot or bitmap. It is
    /// written again with its own size and settings; the disk may be smaller. If not set, a block device is overwritten
    /// with a new image.
    pub in_place: bool,
    /// Assumes that a raw target written in place reads as zeros.
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
    /// A file or block device that is open for reading and writing. A file is emptied first, unless
    /// [`Target::in_place`] is set.
    File(Mutex<Option<File>>),
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

    /// An open file or block device of this format.
    #[must_use]
    pub fn open_file(file: File, format: Format) -> Self {
        Self::new(TargetPlace::File(Mutex::new(Some(file))), format)
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

    /// Returns true if an existing file or device is written: with [`Target::in_place`], and for block devices and open
    /// files.
    #[must_use]
    pub fn writes_in_place(&self) -> bool {
        match &self.place {
            TargetPlace::Path(path) => self.in_place || is_device(path),
            TargetPlace::File(_) => true,
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => false,
        }
    }

    /// Checks that no file of this target, written, replaced or removed, is one that the disk is read from: the image
    /// itself, the compressed file it came in, or a file that it refers to.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is.
    pub fn ensure_not_source(&self, disk: &Disk) -> Result<()> {
        self.ensure_not_read(Some(disk.size()), &|file| disk.reads_from(file))
    }

    /// Checks this target as [`Target::check`] does, for the size that the first bytes of a stream record, and that no file
    /// of this target is the one that the stream is read from.
    ///
    /// # Errors
    /// As [`Target::check`] and [`Target::ensure_not_source`].
    pub fn check_stream(&self, stream: &StreamInput) -> Result<()> {
        let size = stream.virtual_size();
        self.check(size)?;
        match stream.origin() {
            Some(origin) => self.ensure_not_host(origin, size),
            None => Ok(()),
        }
    }

    /// Checks that no file of this target is `file`, which a disk of `size` bytes is read from.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if one is.
    pub fn ensure_not_file(&self, file: &Metadata, size: Option<u64>) -> Result<()> {
        match HostId::of(file) {
            Some(source) => self.ensure_not_host(source, size),
            None => Ok(()),
        }
    }

    fn ensure_not_host(&self, source: HostId, size: Option<u64>) -> Result<()> {
        self.ensure_not_read(size, &|file| HostId::of(file) == Some(source))
    }

    fn ensure_not_read(&self, size: Option<u64>, is_read: &dyn Fn(&Metadata) -> bool) -> Result<()> {
        if let TargetPlace::File(_) = &self.place {
            return match self.open_target()? {
                Some(file) if is_read(&file.metadata()?) => Err(source_is_target()),
                _ => Ok(()),
            };
        }
        for path in self.files(size)? {
            if path.metadata().is_ok_and(|there| is_read(&there)) {
                return Err(at_path(source_is_target(), &path));
            }
        }
        Ok(())
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
            TargetPlace::Sink(sink) => self.formatted(take(sink, "sink")?, &self.settings, size, None),
            TargetPlace::File(file) => {
                self.check(size)?;
                self.write_into(take(file, "file")?, None, size)
            }
            TargetPlace::Path(path) if self.writes_in_place() => self.create_in_place(path, size),
            TargetPlace::Path(path) => self.create_file(path, size),
        }
    }

    fn create_file(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let file = Unpublished::new(path, self.overwrite)?;
        let options = SinkOptions { is_zero: true, ..self.sink_options(size) };
        let made = Arc::default();
        let siblings = SiblingFiles::of(path, self.overwrite, options, &made);
        let sink = Box::new(FileSink::new(file.file()?, options)?);
        let sink = self.formatted(sink, &self.settings, size, siblings)?;
        Ok(Box::new(Publishing { sink, file, part: Part::Image(made), durable: self.durable }))
    }

    fn create_in_place(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.check(size)?;
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(|e| at_path(e.into(), path))?;
        self.write_into(file, Some(path), size).map_err(|e| at_path(e, path))
    }

    fn create_stream(
        &self,
        stream: &Mutex<Option<Box<dyn Write + Send>>>,
        size: Option<u64>,
    ) -> Result<Box<dyn BlockSink>> {
        let length = if self.is_raw() { size } else { None };
        let sink = Box::new(StreamSink::new(take(stream, "stream")?, length));
        self.formatted(sink, &self.settings, size, None)
    }

    /// The image over a sink that holds its file; raw needs nothing more.
    pub(super) fn formatted(
        &self,
        sink: Box<dyn BlockSink>,
        settings: &[Setting],
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
            TargetPlace::File(_) | TargetPlace::Stream(_) | TargetPlace::Sink(_) => None,
        };
        Ok(self.create_options(virtual_size, &self.settings, siblings))
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

    pub(super) fn is_raw(&self) -> bool {
        self.format == diskimg_raw::DRIVER.format
    }

    /// A raw disk has the size of its file; an image's file grows as it is written.
    pub(super) fn sink_options(&self, size: Option<u64>) -> SinkOptions {
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

fn source_is_target() -> Error {
    Error::new(ErrorKind::InvalidInput)
        .because("the disk is read from it: the conversion would destroy its own source")
}

pub(super) fn at_path(error: Error, path: &Path) -> Error {
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

//! The target of a conversion.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diskimg_core::{BlockSink, CreateOptions, Error, ErrorKind, Format, Remedy, Result, Setting, Siblings};
use diskimg_raw::{FileSink, Preallocation, SinkOptions, StreamSink};

use super::image_files::{ImageFileRole, ImageFiles};
use super::publishing_sink::PublishingSink;
use super::sibling_files::SiblingFiles;
use super::unpublished_file::UnpublishedFile;
use crate::drivers::driver_of;

/// The target of a conversion: its place, its format and its options.
///
/// ```
/// use diskimg::{BlockSink, Format, Target};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// let target = Target::file(&path, diskimg::driver("qcow2")?.format);
/// let sink = target.create(Some(1 << 30))?;
/// sink.write_at(4096, b"first bytes")?;
/// assert!(!path.exists(), "the file appears when it is complete");
/// sink.finish()?;
/// assert!(path.exists());
/// # Ok::<(), diskimg::Error>(())
/// ```
#[non_exhaustive]
pub struct Target {
    pub(super) place: TargetPlace,
    /// The format of the target.
    pub format: Format,
    /// Compresses clusters or grains.
    pub compress: bool,
    /// The compression level; `None` is the default of the method. Refused unless the target is compressed.
    pub level: Option<i32>,
    /// The settings of the format.
    pub settings: Vec<Setting>,
    /// Replaces an existing file.
    pub overwrite: bool,
    /// Writes into an existing file or block device and creates none. A raw target keeps its length and its bytes past
    /// the disk; it must be at least as large as the disk, and its content does not matter. Any other target must be
    /// an empty image of the format: one that reads as zeros and has no backing file, parent, data file, snapshot or
    /// bitmap. It is rewritten with its own size and settings; the disk may be smaller. If not set, a block device is
    /// overwritten with a new image.
    pub in_place: bool,
    /// Assumes that a raw target written in place reads as zeros.
    pub is_zero: bool,
    /// The space that is allocated for a raw file at once.
    pub preallocation: Preallocation,
    /// Bypasses the page cache (`O_DIRECT`) where the system supports it.
    pub direct: bool,
    /// If set, the data and the file name are on disk when the sink is finished. Set by default.
    pub durable: bool,
}

/// The place of a target. Open files, streams and sinks are used once.
pub(super) enum TargetPlace {
    /// A file or block device.
    Path(PathBuf),
    /// A file or block device that is open for reading and writing.
    File(Mutex<Option<File>>),
    /// A byte stream.
    Stream(Mutex<Option<Box<dyn Write + Send>>>),
    /// A sink of the caller, created for a size.
    Sink(Mutex<Option<SinkFn>>),
}

/// Creates the sink of a file for a raw disk of this size; `None` for other formats or an unknown size.
type SinkFn = Box<dyn FnOnce(Option<u64>) -> Result<Box<dyn BlockSink>> + Send>;

impl Target {
    /// A file or block device of this format with default options.
    #[must_use]
    pub fn file(path: impl AsRef<Path>, format: Format) -> Self {
        Self::new(TargetPlace::Path(path.as_ref().to_owned()), format)
    }

    /// A file or block device that is open for reading and writing. A file is emptied first, unless
    /// [`Target::in_place`] is set.
    #[must_use]
    pub fn open_file(file: File, format: Format) -> Self {
        Self::new(TargetPlace::File(Mutex::new(Some(file))), format)
    }

    /// A byte stream of this format: a pipe, a socket, standard output.
    #[must_use]
    pub fn stream(stream: impl Write + Send + 'static, format: Format) -> Self {
        Self::new(TargetPlace::Stream(Mutex::new(Some(Box::new(stream)))), format)
    }

    /// A sink that stores the bytes of a file of this format. It must accept any order and any offset; for raw, the
    /// bytes of the file are those of the disk. The options of files ([`Target::overwrite`], [`Target::in_place`],
    /// [`Target::preallocation`], [`Target::direct`], [`Target::durable`]) have no effect.
    #[must_use]
    pub fn sink(sink: Box<dyn BlockSink>, format: Format) -> Self {
        Self::sink_with(|_| Ok(sink), format)
    }

    /// Like [`Target::sink`], with a sink that is created when the conversion starts. `create` receives the size of a
    /// raw disk; `None` for other formats, and if the size becomes known only at the end.
    #[must_use]
    pub fn sink_with(
        create: impl FnOnce(Option<u64>) -> Result<Box<dyn BlockSink>> + Send + 'static,
        format: Format,
    ) -> Self {
        Self::new(TargetPlace::Sink(Mutex::new(Some(Box::new(create)))), format)
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

    /// The path of a file or block device; `None` for open files, streams and sinks.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            TargetPlace::Path(path) => Some(path),
            TargetPlace::File(_) | TargetPlace::Stream(_) | TargetPlace::Sink(_) => None,
        }
    }

    /// Returns true if an existing file or device is written: with [`Target::in_place`], and for block devices and
    /// open files.
    #[must_use]
    pub fn writes_in_place(&self) -> bool {
        match &self.place {
            TargetPlace::Path(path) => self.in_place || is_device(path),
            TargetPlace::File(_) => true,
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => false,
        }
    }

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
    /// [`ErrorKind::InvalidInput`] if the file exists and must not be replaced, or a setting is invalid;
    /// [`ErrorKind::NeedsSeek`] if a stream cannot have this layout; [`ErrorKind::Unsupported`] if the format cannot be
    /// written; [`ErrorKind::Io`].
    pub fn create(&self, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        match &self.place {
            TargetPlace::Stream(stream) => self.create_stream(stream, size),
            TargetPlace::Sink(create) => {
                let sink = take(create, "sink")?(size.filter(|_| self.is_raw()))?;
                self.formatted(sink, &self.settings, size, None)
            }
            TargetPlace::File(file) => {
                self.check(size)?;
                self.write_into(take(file, "file")?, None, size)
            }
            TargetPlace::Path(path) if self.writes_in_place() => self.create_in_place(path, size),
            TargetPlace::Path(path) => self.create_file(path, size),
        }
    }

    fn create_file(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        let file = UnpublishedFile::new(path, self.overwrite)?;
        let options = SinkOptions { is_zero: true, ..self.sink_options(size) };
        let files = Arc::new(ImageFiles::default());
        let siblings = SiblingFiles::of(path, self.overwrite, options, &files);
        let sink = Box::new(FileSink::new(file.file()?, options)?);
        let sink = self.formatted(sink, &self.settings, size, siblings)?;
        Ok(Box::new(PublishingSink { sink, file, role: ImageFileRole::Main(files), durable: self.durable }))
    }

    fn create_in_place(&self, path: &Path, size: Option<u64>) -> Result<Box<dyn BlockSink>> {
        self.check(size)?;
        let file = File::options().read(true).write(true).open(path).map_err(|e| at_path(e.into(), path))?;
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
            .and_then(|path| SiblingFiles::of(path, false, SinkOptions::default(), &Arc::default()));
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

    pub(super) fn is_raw(&self) -> bool {
        self.format == diskimg_raw::DRIVER.format
    }

    /// The options of the file. A raw file has the size of the disk; the file of an image grows.
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

/// Takes a value that can be used once.
fn take<T>(once: &Mutex<Option<T>>, name: &str) -> Result<T> {
    once.lock().map_or(None, |mut once| once.take()).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput).because(format_args!("the {name} is already in use"))
    })
}

/// Names the target at `path` in an error.
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

//! The target of a conversion.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{BlockSink, Cancel, Error, Format, Result, Setting};
use diskimg_raw::{Preallocation, StoredZeros};

use super::mount_point::is_mounted_file;
use super::unfinished_files::UnfinishedFiles;
use crate::host_id::HostId;

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
    pub(super) unfinished: UnfinishedFiles,
    /// The format of the target.
    pub format: Format,
    /// Compresses clusters or grains.
    pub compress: bool,
    /// The compression level; `None` is the default of the method. Refused unless the target is compressed.
    pub level: Option<i32>,
    /// The settings of the format.
    pub settings: Vec<Setting>,
    /// Replaces an existing file, or an image on a block device by another image.
    pub overwrite: bool,
    /// Writes into an existing file or block device and creates none. A raw target keeps its length and its bytes past
    /// the disk; it must be at least as large as the disk, and its content does not matter. Any other target must be
    /// an empty image of the format: one that reads as zeros and has no backing file, parent, data file, snapshot or
    /// bitmap. It is rewritten with its own size and settings; the disk may be smaller. If not set, a block device is
    /// overwritten with a new image; one that holds an image already, only with [`Target::overwrite`].
    pub in_place: bool,
    /// Assumes that a raw target written in place reads as zeros.
    pub is_zero: bool,
    /// Rounds the length of a new raw file up to whole sectors of 512 bytes with zeros, as `qemu-img` does. Files and
    /// devices that are written in place, streams and sinks have the length of the disk.
    pub whole_sectors: bool,
    /// The space that is allocated for a raw file before the first write. qcow2 has a setting for it.
    pub preallocation: Preallocation,
    /// Stores zeros like other data, also where the source has holes: nothing of the disk is a hole of the target. A
    /// block device receives all bytes; a raw file is allocated.
    pub store_zeros: bool,
    /// Bypasses the page cache (`O_DIRECT`) where the system supports it.
    pub direct: bool,
    /// If set, each write waits until its bytes are on stable storage, as with `O_DSYNC`.
    pub write_through: bool,
    /// Turns off copy-on-write of new files on btrfs, as QEMU's option `nocow`. Without effect elsewhere.
    pub no_copy_on_write: bool,
    /// If set, the data and the file name are on disk when the sink is finished. Set by default.
    pub durable: bool,
    /// If set, QEMU's locks are taken on files and block devices that are written in place, and a file that another
    /// process has locked is not replaced ([`InUse`](diskimg_core::ErrorKind::InUse)); see [`ImageLock`]. Set by
    /// default: writing the disk of a running virtual machine destroys it. It concerns targets with a path
    /// ([`Target::file`]), never open files.
    ///
    /// [`ImageLock`]: diskimg_raw::ImageLock
    pub lock: bool,
    /// Stops the writing of files ([`Cancelled`](diskimg_core::ErrorKind::Cancelled)) once it is triggered: also the
    /// preallocation in [`Target::create`], and what a sink fills when it is finished. A conversion also stops by its own
    /// progress.
    pub cancel: Option<Arc<Cancel>>,
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
            unfinished: UnfinishedFiles::default(),
            format,
            compress: false,
            level: None,
            settings: Vec::new(),
            overwrite: false,
            in_place: false,
            is_zero: false,
            whole_sectors: false,
            preallocation: Preallocation::Off,
            store_zeros: false,
            direct: false,
            write_through: false,
            no_copy_on_write: false,
            durable: true,
            lock: true,
            cancel: None,
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

    /// The files that are being written for this target, for a program that ends without waiting for the conversion,
    /// such as after a second signal.
    #[must_use]
    pub fn unfinished(&self) -> UnfinishedFiles {
        self.unfinished.clone()
    }

    /// True if a disk gets whole sectors in this target.
    pub(super) fn rounds_up(&self) -> bool {
        let is_new_file = matches!(self.place, TargetPlace::Path(_)) && !self.writes_in_place();
        self.whole_sectors && self.is_raw() && is_new_file
    }

    /// Returns true if the target is a block device.
    pub(super) fn is_on_device(&self) -> bool {
        match &self.place {
            TargetPlace::Path(path) => is_device(path),
            TargetPlace::File(file) => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let status = file.as_ref().and_then(|file| file.metadata().ok());
                status.is_some_and(|status| matches!(HostId::of(&status), Some(HostId::Device(_))))
            }
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => false,
        }
    }

    /// The way in which the file stores zeros: as the options say, and as the preallocation of an image requires.
    pub(super) fn stored_zeros(&self) -> StoredZeros {
        let of_image = match self.image_preallocation() {
            Some("falloc") => StoredZeros::Allocated,
            Some("full") => StoredZeros::Written,
            _ => StoredZeros::Deallocated,
        };
        let of_disk = match self.store_zeros {
            true if self.is_raw() && !self.is_on_device() => StoredZeros::Allocated,
            true => StoredZeros::Written,
            false => StoredZeros::Deallocated,
        };
        of_image.max(of_disk)
    }

    /// The setting of an image that reserves space in its file.
    pub(super) fn image_preallocation(&self) -> Option<&str> {
        let last = self.settings.iter().rfind(|setting| setting.name == "preallocation")?;
        (!self.is_raw()).then_some(last.value.as_str())
    }

    pub(super) fn is_raw(&self) -> bool {
        self.format == diskimg_raw::DRIVER.format
    }

    /// Returns true if an existing file or device is written: with [`Target::in_place`], for block devices and open
    /// files, and for a file to replace that is a mount point, as in a container.
    #[must_use]
    pub fn writes_in_place(&self) -> bool {
        match &self.place {
            TargetPlace::Path(path) => {
                self.in_place || is_device(path) || (self.overwrite && is_mounted_file(path))
            }
            TargetPlace::File(_) => true,
            TargetPlace::Stream(_) | TargetPlace::Sink(_) => false,
        }
    }
}

/// Names the target at `path` in an error.
pub(super) fn at_path(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.file(format!("target '{}'", path.display())) }
}

pub(super) fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| matches!(HostId::of(&there), Some(HostId::Device(_))))
}

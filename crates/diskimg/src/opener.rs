//! The options for opening an image, and the choice of its driver.

use std::sync::Arc;

use diskimg_codec::{TRAILING_DATA, Wrapper};
use diskimg_core::{
    BlockSource, Cancel, DenyReferences, Driver, Error, ErrorKind, Finding, Format, ImageInfo, LimitKind,
    Limits, Remedy, Resolver, Result, Severity, SnapshotSelector,
};

use crate::drivers::Drivers;
use crate::locking::Locking;
use crate::parent_file::ParentFile;
use crate::sniff::{FileParts, Sniffed};
use crate::spool::Spool;
use crate::stoppable::check_cancel;

/// The format of a disk without any structure of an image.
const RAW: Format = diskimg_raw::DRIVER.format;

/// Opens images. The defaults suit images from untrusted sources: the format is recognised by content and never assumed
/// to be raw, no name inside the image is followed, and memory and sizes are bounded.
///
/// ```
/// use diskimg::{BlockSource, Opener};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.raw");
/// # std::fs::write(&path, vec![0; 1 << 20]).unwrap();
/// let mut opener = Opener::new();
/// opener.allow_raw = true;
/// let disk = opener.open(&path)?;
/// assert_eq!(disk.size(), 1 << 20);
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Opener {
    /// The format of the image inside any compression. `None` probes; a given format is used without probing.
    pub format: Option<Format>,
    /// Reads an unrecognised image as raw.
    pub allow_raw: bool,
    /// Decompresses gz, xz and zst files, one level deep.
    pub decompress: bool,
    /// The storage for a compressed or streamed image that needs random access.
    pub spool: Spool,
    /// The resources that an image may use.
    pub limits: Limits,
    /// Decides which names inside an image are followed. Those in a disk that is a member of an archive are never
    /// followed.
    pub resolver: Arc<dyn Resolver>,
    /// The files below the image, nearest first. They replace the names that the image records; the resolver opens the
    /// rest. More files than the image has layers below it are an error ([`InvalidInput`](ErrorKind::InvalidInput)).
    /// [`Opener::check`] reads only their headers, [`Opener::inspect`] ignores them.
    pub parents: Vec<ParentFile>,
    /// The formats of the layers below the image, nearest first, whether they are in `parents` or found by their names.
    /// They replace the formats that the images record, and name those that the images do not record. More formats than
    /// layers are an error.
    pub parent_formats: Vec<Format>,
    /// Accepts a parent with another content id or UUID than the image records. It is a finding of
    /// [`Severity::Warning`](crate::Severity::Warning) then: the disk may be a mixture of two versions.
    pub allow_parent_mismatch: bool,
    /// The name of the member to read from an archive: a tar, an OVA, a Vagrant box, from a file or a stream, compressed
    /// or not. `None` reads the only disk. With the format raw or [`Opener::allow_raw`], a member that no content
    /// identifies is read as a raw disk. A file that is no archive is an error
    /// ([`InvalidInput`](ErrorKind::InvalidInput)) if a member is named.
    pub member: Option<String>,
    /// Verifies the disk of an OVA if the manifest of the archive has its digest. A conversion of a disk with another
    /// digest is an error ([`Corrupt`](ErrorKind::Corrupt)) and leaves no target. Reading, comparing and checking an
    /// uncompressed disk of an archive in a file do not verify it, because they do not read all of the member.
    ///
    /// ```
    /// use diskimg::Opener;
    /// let mut opener = Opener::new();
    /// assert!(opener.verify);
    /// opener.verify = false;
    /// ```
    pub verify: bool,
    /// Reads a file that is, by its own structure, one part or one layer of a larger disk: an extent of a split VMDK, a
    /// delta without its descriptor. Bytes of the disk that it does not store read as zeros. [`Opener::check`] and
    /// [`Opener::inspect`] accept such a file anyway.
    pub allow_part: bool,
    /// An internal snapshot to read instead of the active state.
    ///
    /// ```
    /// use diskimg::{ErrorKind, Opener, SnapshotSelector};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.qcow2");
    /// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
    /// let mut opener = Opener::new();
    /// opener.snapshot = Some(SnapshotSelector::Name("before upgrade".into()));
    /// let error = opener.open(&path).err().expect("the image has no snapshot");
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    pub snapshot: Option<SnapshotSelector>,
    /// Refuses an image with a finding of [`Severity::Warning`] or worse: unusual or damaged, but readable. References to
    /// other files are neither: [`Opener::resolver`] decides on them. A conversion then leaves no target, also if only the
    /// end of a stream shows it.
    ///
    /// ```
    /// use diskimg::{ErrorKind, Memory, Opener};
    /// use std::sync::Arc;
    /// let mut disc = vec![0; 100_000];
    /// disc[32_768..32_774].copy_from_slice(b"\x01CD001"); // a volume descriptor without a block size
    /// let mut opener = Opener::new();
    /// opener.strict = true;
    /// let error = opener.open_source(Arc::new(Memory::new(disc))).err().expect("an unusual disc");
    /// assert_eq!(error.kind(), ErrorKind::Corrupt);
    /// ```
    pub strict: bool,
    /// Describes a compressed image by its head only, without the comparison of its tables with its length: for programs
    /// that need the format and size fast. See [`Opener::inspect`](crate::Opener::inspect).
    pub heads_only: bool,
    /// Bypasses the page cache (`O_DIRECT`) where the system supports it.
    pub direct: bool,
    /// The treatment of files that other processes use. By default, an image that another process has locked for
    /// writing is refused: it would read as a mixture of old and new data.
    pub locking: Locking,
    /// Threads that decode a compressed file; 0 means one per core.
    pub threads: u32,
    /// Stops the reading of a compressed image or a stream ([`ErrorKind::Cancelled`]) once it is triggered, also while the
    /// image is opened: a compressed image is then decoded whole. Without effect on a disk that is open.
    ///
    /// ```
    /// use diskimg::{Cancel, ErrorKind, Opener};
    /// use std::sync::Arc;
    /// let (mut opener, cancel) = (Opener::new(), Arc::new(Cancel::default()));
    /// opener.cancel = Some(Arc::clone(&cancel));
    /// cancel.trigger();
    /// let error = opener.stream(std::io::Cursor::new(vec![0; 512])).err().expect("a cancelled stream");
    /// assert_eq!(error.kind(), ErrorKind::Cancelled);
    /// ```
    pub cancel: Option<Arc<Cancel>>,
    /// The formats that are recognised and read.
    pub(crate) drivers: Drivers,
    /// True for the bytes of a member, which are not searched for another archive.
    pub(crate) is_inside_archive: bool,
}

impl Default for Opener {
    fn default() -> Self {
        Self {
            format: None,
            allow_raw: false,
            decompress: true,
            spool: Spool::default(),
            limits: Limits::default(),
            resolver: Arc::new(DenyReferences),
            parents: Vec::new(),
            parent_formats: Vec::new(),
            allow_parent_mismatch: false,
            member: None,
            allow_part: false,
            verify: true,
            snapshot: None,
            strict: false,
            heads_only: false,
            direct: false,
            locking: Locking::default(),
            threads: 0,
            cancel: None,
            drivers: Drivers::default(),
            is_inside_archive: false,
        }
    }
}

impl Opener {
    /// An opener with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads images of these formats instead of those of this build, [`drivers`](crate::drivers()): formats of the
    /// caller's own, or fewer. They count wherever an image is read: recognised, described, opened, checked, probed in a
    /// stream, in compressed files and archives, and as the files below an image. Of two drivers with the same name the
    /// first one counts, so that a driver of one's own can replace one of this build.
    ///
    /// A file in a format of this build that is left out is refused as unsupported; it is not read as raw. Without the
    /// driver [`raw::DRIVER`](crate::raw::DRIVER), raw disks are refused too. Targets are written in the formats of this
    /// build. A [`Driver`] recognises a file by its first 68 KiB. The example `custom_format` has a driver of one's own.
    ///
    /// ```
    /// use diskimg::{ErrorKind, Opener, Target, driver};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("disk.vdi");
    /// # Target::file(&path, driver("vdi")?.format).create(Some(1 << 20))?.finish()?;
    /// let two = Opener::new().with_drivers([driver("qcow2")?, driver("raw")?]);
    /// assert_eq!(two.open(&path).err().map(|error| error.kind()), Some(ErrorKind::Unsupported));
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    #[must_use]
    pub fn with_drivers(mut self, drivers: impl IntoIterator<Item = &'static Driver>) -> Self {
        self.drivers = Drivers::of(drivers);
        self
    }

    /// The formats that are recognised and read, in the order in which they are probed.
    #[must_use]
    pub fn drivers(&self) -> &[&'static Driver] {
        self.drivers.list()
    }

    /// Sets a limit: a field of [`Opener::limits`], or the size of the temporary files of [`Opener::spool`].
    ///
    /// ```
    /// use diskimg::{LimitKind, Opener};
    /// let mut opener = Opener::new();
    /// opener.set_limit(LimitKind::DecoderMemory, 256 << 20)?;
    /// assert_eq!(opener.limits.decoder_memory, 256 << 20);
    /// # Ok::<(), diskimg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a value that the limit cannot have. Without temporary files their limit has no
    /// effect.
    pub fn set_limit(&mut self, kind: LimitKind, value: u64) -> Result<()> {
        match (kind, &mut self.spool) {
            (LimitKind::TemporaryFiles, Spool::Temporary { limit, .. }) => *limit = value,
            (LimitKind::TemporaryFiles, Spool::Never) => {}
            _ => self.limits.set(kind, value)?,
        }
        Ok(())
    }

    /// The driver for an image with these parts: that of the given format, or of the recognised one.
    ///
    /// # Errors
    /// As [`crate::sniff()`]; [`ErrorKind::Unsupported`] for a recognised format without a driver.
    pub(crate) fn driver_for(&self, parts: FileParts<'_>) -> Result<&'static Driver> {
        if let Some(format) = self.format {
            return self.drivers.named(format.name());
        }
        let raw = || self.drivers.find(RAW).ok_or_else(|| unsupported(RAW));
        match parts.sniff(&self.drivers) {
            Ok(Sniffed::Image(format)) => self.drivers.find(format).ok_or_else(|| unsupported(format)),
            Ok(Sniffed::Raw(_)) => raw(),
            Ok(Sniffed::Wrapped(_)) if !self.decompress && self.allow_raw => raw(),
            Ok(Sniffed::Wrapped(wrapper)) if !self.decompress => Err(kept_compressed(wrapper)),
            Ok(Sniffed::Wrapped(wrapper)) => Err(nested(wrapper)),
            Ok(Sniffed::Known(format)) => Err(unsupported(format)),
            Err(error) if error.kind() == ErrorKind::UnknownFormat && self.allow_raw => raw(),
            Err(error) if self.is_inside_archive && self.member.is_none() => Err(of_member(error)),
            Err(error) => Err(error),
        }
    }

    /// Accepts an image with these findings, as [`Opener::strict`] says.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] with the first finding that is not accepted; as [`check_trailing_data`].
    pub(crate) fn accept(&self, format: Format, findings: &[Finding]) -> Result<()> {
        check_trailing_data(format, findings)?;
        let refused = findings
            .iter()
            .find(|finding| self.strict && finding.severity >= Severity::Warning && !is_reference(finding));
        let Some(finding) = refused else { return Ok(()) };
        let error = Error::new(ErrorKind::Corrupt).format(format).field(finding.check);
        let error = error.because(format_args!("{}, which a strict opening refuses", finding.message));
        Err(match finding.offset {
            Some(offset) => error.at(offset),
            None => error,
        })
    }

    /// # Errors
    /// [`ErrorKind::Cancelled`] once [`Opener::cancel`] is triggered.
    pub(crate) fn check_cancel(&self) -> Result<()> {
        check_cancel(self.cancel.as_deref())
    }

    /// True if an archive is opened as the disk in it. As raw, an archive is its own bytes, unless a member is named.
    pub(crate) fn unpacks(&self) -> bool {
        let is_own_bytes = self.format == Some(RAW) && self.member.is_none();
        !self.is_inside_archive && !is_own_bytes
    }
}

/// Describes the image in a source with its driver.
///
/// # Errors
/// Those of the driver; [`ErrorKind::Limit`] for a disk larger than [`Limits::virtual_size`], of every format.
pub(crate) fn describe(driver: &Driver, source: &dyn BlockSource, limits: &Limits) -> Result<ImageInfo> {
    let info = (driver.inspect)(source, limits)?;
    limits.check_virtual_size(info.virtual_size).map_err(|error| error.format(driver.format))?;
    Ok(info)
}

/// True if the finding states that the image refers to another file, which the resolver allows or refuses.
fn is_reference(finding: &Finding) -> bool {
    finding.severity == Severity::Unsafe
        && ["backing_file", "data_file", "extents", "parent"].contains(&finding.check)
}

/// Refuses a truncated image if bytes after the compressed data were ignored: they may be the rest of the image.
///
/// # Errors
/// [`ErrorKind::Truncated`].
pub(crate) fn check_trailing_data(format: Format, findings: &[Finding]) -> Result<()> {
    let find = |check: &[&str]| findings.iter().find(|finding| check.contains(&finding.check));
    match (find(&[TRAILING_DATA]), find(&["truncated", "truncated_cluster", "partition_table"])) {
        (Some(trailing), Some(shorter)) => Err(Error::new(ErrorKind::Truncated)
            .format(format)
            .field("image")
            .because(format_args!("{}, but {}", shorter.message, trailing.message))),
        _ => Ok(()),
    }
}

/// The error about the bytes of a member of an archive that is not named, with the remedy that works for them.
pub(crate) fn of_member(error: Error) -> Error {
    match error.remedy() {
        Some(Remedy::AllowRaw) => error.with_remedy(Remedy::AllowRawMember),
        _ => error,
    }
}

fn kept_compressed(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Unsupported)
        .format(Format::new(wrapper.name()))
        .because("the image is compressed and decompression is disabled")
        .with_remedy(Remedy::Decompress)
}

fn nested(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Limit)
        .format(Format::new(wrapper.name()))
        .because("compressed inside a compressed file; only one level is decompressed")
}

/// The error for a format that is recognised but not supported.
pub(crate) fn unsupported(format: Format) -> Error {
    Error::new(ErrorKind::Unsupported).format(format).because("the format is recognised but not supported")
}

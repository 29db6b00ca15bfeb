//! Opening images, wrapped or not, with what lies below them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_codec::{DecompressOptions, DecompressReader, Wrapper};
use diskimg_core::{
    BlockSource, DenyReferences, Driver, Error, ErrorKind, Format, Image, Limits, OpenOptions, Reference,
    Remedy, Resolver, Result, SnapshotSelector,
};
use diskimg_raw::{FileSource, SourceOptions};

use crate::disk::Disk;
use crate::drivers::driver_of;
use crate::inspect::Sizes;
use crate::resolve::relative_to;
use crate::sniff::{Ends, Parts, Sniffed};
use crate::spool::Spool;
use crate::stream::StreamInput;

/// How images are opened. The defaults suit images from strangers: the format is recognised by the bytes,
/// never guessed to be raw; nothing a name inside the image points to is opened; every cost is bounded.
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
    /// The format of the (unwrapped) image; `None` recognises it. A pinned format is never second-guessed.
    pub format: Option<Format>,
    /// Whether what nothing recognises is read as raw.
    pub allow_raw: bool,
    /// Whether gz, xz and zst files are unwrapped, one level deep.
    pub unwrap: bool,
    /// Where an image goes that is compressed, or comes from a stream, and has to be read out of order.
    pub spool: Spool,
    /// What an image may cost.
    pub limits: Limits,
    /// Who may follow names inside an image.
    pub resolver: Arc<dyn Resolver>,
    /// The files below the image, nearest first, for an image that does not name them or may not be followed.
    /// The resolver is asked for those that are not here. More of them than the image has below it are an error
    /// ([`InvalidInput`](diskimg_core::ErrorKind::InvalidInput)): it would be read without what it was given.
    /// [`Opener::check`] and [`Opener::inspect`], which read one layer, do not look at them.
    pub parents: Vec<Arc<dyn BlockSource>>,
    /// The name of the disk to read in an OVA that holds several, be it a file or a stream.
    pub member: Option<String>,
    /// An internal snapshot to read instead of the active state.
    pub snapshot: Option<SnapshotSelector>,
    /// Whether files are read past the page cache (`O_DIRECT`), where the system can.
    pub direct: bool,
    /// Threads that decode a compressed file; 0 for one a core.
    pub threads: u32,
}

impl Default for Opener {
    fn default() -> Self {
        Self {
            format: None,
            allow_raw: false,
            unwrap: true,
            spool: Spool::default(),
            limits: Limits::default(),
            resolver: Arc::new(DenyReferences),
            parents: Vec::new(),
            member: None,
            snapshot: None,
            direct: false,
            threads: 0,
        }
    }
}

impl Opener {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the image in a file or block device, and every layer below it that the resolver allows.
    ///
    /// A compressed file is decoded into an anonymous temporary file first, as [`Opener::spool`] allows.
    ///
    /// # Errors
    /// What is wrong with the file, in one line, of the kind that says what to do about it: see
    /// [`ErrorKind`](diskimg_core::ErrorKind). [`Denied`](diskimg_core::ErrorKind::Denied) when the image needs another file and may not have it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Disk> {
        let path = path.as_ref();
        let source = self.file(path)?;
        match self.wrapper_of(&source)? {
            None => self.open_source(Arc::new(source)),
            Some(wrapper) => {
                Ok(self.wrapped(path, wrapper)?.into_disk(self, &())?.out_of(Sizes::of(&source)))
            }
        }
    }

    /// Opens the image that a source of any kind holds; it is taken as it is, never unwrapped.
    ///
    /// # Errors
    /// As [`Opener::open`].
    #[allow(clippy::needless_pass_by_value, reason = "callers hand the source over")]
    pub fn open_source(&self, source: Arc<dyn BlockSource>) -> Result<Disk> {
        self.open_unwrapped(&source, None)
    }

    /// Begins to read an image that arrives once, in order: a pipe, a download. It is unwrapped if it is
    /// compressed, and of an OVA it is the disk inside; whether it can be converted as it comes is for
    /// [`StreamInput`] to say.
    ///
    /// # Errors
    /// [`UnknownFormat`](diskimg_core::ErrorKind::UnknownFormat) and the like, by the first bytes; of an OVA, by
    /// those of the disk.
    pub fn arriving(&self, stream: impl Read + Send + 'static) -> Result<StreamInput> {
        StreamInput::new(Box::new(stream), self)
    }

    /// The image in a file, as it should be converted: read at random where that is possible, or from the
    /// front to the back if it is compressed.
    ///
    /// # Errors
    /// As [`Opener::open`] and [`Opener::arriving`].
    pub fn input(&self, path: impl AsRef<Path>) -> Result<Input> {
        let path = path.as_ref();
        let source = self.file(path)?;
        Ok(match self.wrapper_of(&source)? {
            None => Input::Disk(self.open_source(Arc::new(source))?),
            Some(wrapper) => Input::StreamInput(self.wrapped(path, wrapper)?),
        })
    }

    /// A host file as a source.
    pub(crate) fn file(&self, path: &Path) -> Result<FileSource> {
        FileSource::open_with(path, &SourceOptions { direct: self.direct }).map_err(|e| name_file(e, path))
    }

    /// How a file is compressed, if unwrapping is asked for.
    pub(crate) fn wrapper_of(&self, source: &dyn BlockSource) -> Result<Option<Wrapper>> {
        if !self.unwrap {
            return Ok(None);
        }
        let mut magic = [0; 8];
        let len = usize::try_from(source.size().min(8)).unwrap_or(8);
        let magic = magic.get_mut(..len).unwrap_or_default();
        source.read_at(0, magic)?;
        Ok(Wrapper::recognise(magic))
    }

    pub(crate) fn wrapped(&self, path: &Path, wrapper: Wrapper) -> Result<StreamInput> {
        let file = File::open(path).map_err(|e| name_file(e.into(), path))?;
        StreamInput::decoded(Box::new(self.decode(file, wrapper)?), wrapper, self)
    }

    pub(crate) fn decode<R: Read + Send>(&self, stream: R, wrapper: Wrapper) -> Result<DecompressReader<R>> {
        let options = DecompressOptions { threads: self.threads, ..DecompressOptions::default() };
        DecompressReader::with_options(stream, wrapper, &self.limits, &options)
    }

    pub(crate) fn open_unwrapped(
        &self,
        source: &Arc<dyn BlockSource>,
        wrapper: Option<Wrapper>,
    ) -> Result<Disk> {
        let (source, member) = self.unpacked(source)?;
        self.open_image(&source, wrapper, member)
    }

    /// Opens an image that was unwrapped and unpacked already.
    pub(crate) fn open_image(
        &self,
        source: &Arc<dyn BlockSource>,
        wrapper: Option<Wrapper>,
        member: Option<String>,
    ) -> Result<Disk> {
        let driver = self.driver_for(Ends::of(source)?.as_parts())?;
        let opened = Opened::default();
        let top = self.layer(driver, Arc::clone(source), b"", self.snapshot.clone(), &opened)?;
        let below = self.below(source, &top, &opened)?;
        Disk::new(Arc::clone(source), opened.into_inner(), top, below, wrapper, member)
    }

    /// The driver that reads an image with these parts: the pinned format, or what its bytes say.
    ///
    /// # Errors
    /// As [`crate::sniff()`]; [`Unsupported`](diskimg_core::ErrorKind::Unsupported) for a known format this build cannot
    /// read.
    pub(crate) fn driver_for(&self, parts: Parts<'_>) -> Result<&'static Driver> {
        if let Some(format) = self.format {
            return driver_of(format);
        }
        match parts.sniff() {
            Ok(Sniffed::Image(format)) => driver_of(format),
            Ok(Sniffed::Raw(_)) => Ok(&diskimg_raw::DRIVER),
            Ok(Sniffed::Wrapped(_)) if !self.unwrap && self.allow_raw => Ok(&diskimg_raw::DRIVER),
            Ok(Sniffed::Wrapped(wrapper)) if !self.unwrap => Err(kept_wrapped(wrapper)),
            Ok(Sniffed::Wrapped(wrapper)) => Err(nested(wrapper)),
            Ok(Sniffed::Known(format)) => Err(unsupported(format)),
            Err(error) if error.kind() == ErrorKind::UnknownFormat && self.allow_raw => {
                Ok(&diskimg_raw::DRIVER)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn layer(
        &self,
        driver: &Driver,
        source: Arc<dyn BlockSource>,
        reached_by: &[u8],
        snapshot: Option<SnapshotSelector>,
        opened: &Opened,
    ) -> Result<Arc<dyn Image>> {
        let resolver = FromDirectory { resolver: &*self.resolver, referrer: reached_by, opened };
        (driver.open)(source, &OpenOptions { limits: self.limits.clone(), resolver: &resolver, snapshot })
    }
}

/// An image on its way into a conversion.
pub enum Input {
    /// Readable at random.
    Disk(Disk),
    /// Arrives once, in order.
    StreamInput(StreamInput),
}

/// What was opened besides an image itself.
#[derive(Default)]
pub(crate) struct Opened(Mutex<Vec<Arc<dyn BlockSource>>>);

impl Opened {
    pub(crate) fn add(&self, source: &Arc<dyn BlockSource>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(source));
    }

    fn into_inner(self) -> Vec<Arc<dyn BlockSource>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads names inside an image from the directory that image lies in.
struct FromDirectory<'a> {
    resolver: &'a dyn Resolver,
    referrer: &'a [u8],
    opened: &'a Opened,
}

impl Resolver for FromDirectory<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        let name = relative_to(self.referrer, &reference.name);
        let source = self.resolver.resolve(&Reference { name, ..reference.clone() })?;
        self.opened.add(&source);
        Ok(source)
    }
}

/// An error of the operating system says which file it is about.
pub(crate) fn name_file(error: Error, path: &Path) -> Error {
    if error.field_name().is_some() { error } else { error.field(format!("'{}'", path.display())) }
}

fn kept_wrapped(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Unsupported)
        .format(Format::new(wrapper.name()))
        .because("it is compressed, and not to be unwrapped")
        .with_remedy(Remedy::ReadCompressedBytes)
}

fn nested(wrapper: Wrapper) -> Error {
    Error::new(ErrorKind::Limit)
        .format(Format::new(wrapper.name()))
        .because("compressed inside a compressed file; only one level is unwrapped")
}

fn unsupported(format: Format) -> Error {
    Error::new(ErrorKind::Unsupported).format(format).because("recognised, but this build cannot read it")
}

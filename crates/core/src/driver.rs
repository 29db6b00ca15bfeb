//! The interface of a format.

use std::ops::Range;
use std::sync::Arc;

use crate::{
    BlockSink, BlockSource, CacheGroup, CheckReport, DenyReferences, Finding, Format, Image, ImageInfo,
    Limits, Measured, Progress, Resolver, Result, Setting, SettingHelp, Siblings, StreamDecoder,
};

/// Compares the tables of an image that was described with the length of its file: the type of [`Driver::survey`].
pub type SurveyFn = fn(&dyn BlockSource, &ImageInfo, &Limits) -> Vec<Finding>;

/// Recognises a format by the first bytes of a file: the type of [`Driver::probe`].
pub type ProbeFn = fn(&[u8]) -> Verdict;

/// Describes an image: the type of [`Driver::inspect`].
pub type InspectFn = fn(&dyn BlockSource, &Limits) -> Result<ImageInfo>;

/// Opens one layer of an image for reading: the type of [`Driver::open`].
pub type OpenFn = fn(Arc<dyn BlockSource>, &OpenOptions<'_>) -> Result<Arc<dyn Image>>;

/// Creates a stream decoder: the type of [`Driver::stream`].
pub type StreamFn = fn(&Limits) -> Result<Box<dyn StreamDecoder>>;

/// Reads the settings of an existing image: the type of [`Driver::settings_of`].
pub type SettingsOfFn = fn(&dyn BlockSource, &ImageInfo) -> Result<Vec<Setting>>;

/// Creates an image over a sink that grows: the type of [`Driver::create`].
pub type CreateFn = fn(Box<dyn BlockSink>, &CreateOptions) -> Result<Box<dyn BlockSink>>;

/// Measures the image that [`Driver::create`] would create with these options for a disk with data in these
/// ranges: the type of [`Driver::measure`]. The ranges ascend and do not overlap; `None` is a disk that is
/// created and not written.
pub type MeasureFn =
    fn(&CreateOptions, Option<&mut dyn Iterator<Item = Result<Range<u64>>>>) -> Result<Measured>;

/// Checks the structure of one layer of an image and opens no files but those of the layer: the type of
/// [`Driver::check`].
pub type CheckFn = fn(Arc<dyn BlockSource>, &OpenOptions<'_>) -> Result<CheckReport>;

/// The functions and properties of a format: one `static` per format, listed by the facade or passed to its opener.
/// Nothing registers itself.
///
/// ```
/// use diskimg_core::{Driver, Error, ErrorKind, Format, ImageInfo, Verdict};
/// const OWN: Format = Format::new("own");
/// static DRIVER: Driver = Driver::new(
///     OWN,
///     |head| if head.starts_with(b"OWN!") { Verdict::Yes } else { Verdict::No },
///     |source, _| Ok(ImageInfo::new(OWN, source.size())),
///     |_, _| Err(Error::new(ErrorKind::Unsupported).format(OWN)),
/// )
/// .with_description("images of our own");
/// assert_eq!((DRIVER.probe)(b"OWN!...."), Verdict::Yes);
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Driver {
    /// The format's name.
    pub format: Format,
    /// A description of one line.
    pub description: &'static str,
    /// The usual file name extensions without the dot, the most common one first.
    pub extensions: &'static [&'static str],
    /// Recognises the format by the first bytes of a file. A pure function that reads fixed offsets.
    pub probe: ProbeFn,
    /// Describes an image. Opens no other file and reads as little as possible.
    pub inspect: InspectFn,
    /// Compares the tables of an image with the length of its file and returns findings: structures past the end of the
    /// file, and clusters in which it ends. [`Driver::inspect`] returns no such findings, because it reads no tables.
    /// Reads at most [`Limits::metadata_cache`] bytes of tables, and returns a finding if there are more. `None` if the
    /// format has no tables.
    pub survey: Option<SurveyFn>,
    /// Opens one layer for reading. A backing file is only reported; the facade opens chains.
    pub open: OpenFn,
    /// Creates a decoder of a streamed image, if the format can be streamed.
    pub stream: Option<StreamFn>,
    /// Creates an image over a sink that grows, if the format can be written.
    pub create: Option<CreateFn>,
    /// Measures the size of an image before it is created, if the format can be written.
    pub measure: Option<MeasureFn>,
    /// Checks the structure of an image, if the format has any to check.
    pub check: Option<CheckFn>,
    /// The settings that [`CreateOptions::settings`] may contain.
    pub settings: &'static [SettingHelp],
    /// Reads the settings that create an image like the one in a file, which was opened with this description: its units,
    /// version and layout, but neither its size nor what identifies its content. An error for an image that
    /// [`Driver::create`] cannot write. `None` if the format has no settings.
    pub settings_of: Option<SettingsOfFn>,
}

impl Driver {
    /// Creates a driver of a format that can be read and nothing else: no streams, no writing, no check.
    #[must_use]
    pub const fn new(format: Format, probe: ProbeFn, inspect: InspectFn, open: OpenFn) -> Self {
        Self {
            format,
            description: "",
            extensions: &[],
            probe,
            inspect,
            survey: None,
            open,
            stream: None,
            create: None,
            measure: None,
            check: None,
            settings: &[],
            settings_of: None,
        }
    }

    /// Sets [`Driver::description`].
    #[must_use]
    pub const fn with_description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Sets [`Driver::extensions`].
    #[must_use]
    pub const fn with_extensions(mut self, extensions: &'static [&'static str]) -> Self {
        self.extensions = extensions;
        self
    }

    /// Sets [`Driver::survey`].
    #[must_use]
    pub const fn with_survey(mut self, survey: SurveyFn) -> Self {
        self.survey = Some(survey);
        self
    }

    /// Sets [`Driver::stream`].
    #[must_use]
    pub const fn with_stream(mut self, stream: StreamFn) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Sets [`Driver::create`] and [`Driver::measure`].
    #[must_use]
    pub const fn with_writer(mut self, create: CreateFn, measure: MeasureFn) -> Self {
        self.create = Some(create);
        self.measure = Some(measure);
        self
    }

    /// Sets [`Driver::check`].
    #[must_use]
    pub const fn with_check(mut self, check: CheckFn) -> Self {
        self.check = Some(check);
        self
    }

    /// Sets [`Driver::settings`] and [`Driver::settings_of`].
    #[must_use]
    pub const fn with_settings(mut self, settings: &'static [SettingHelp], of: SettingsOfFn) -> Self {
        self.settings = settings;
        self.settings_of = Some(of);
        self
    }
}

/// The answer of a probe over a prefix of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not this format, whatever follows.
    No,
    /// This format.
    Yes,
    /// At least this many bytes are needed. If the file is shorter, the answer is no.
    NeedBytes(usize),
}

/// Options for opening an image.
#[derive(Clone)]
pub struct OpenOptions<'a> {
    /// The limits on its cost.
    pub limits: Limits,
    /// Resolves references in the image. By default all are denied.
    pub resolver: &'a dyn Resolver,
    /// An internal snapshot to read instead of the active state.
    pub snapshot: Option<SnapshotSelector>,
    /// Receives the progress of [`Driver::check`] in guest bytes and may stop it. [`Driver::open`] ignores it.
    pub progress: &'a dyn Progress,
    /// The caches that share [`Limits::metadata_cache`] with those of the opened layer.
    pub caches: CacheGroup,
}

impl OpenOptions<'_> {
    /// Reports that a check has done `bytes` more guest bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) if the caller stops the check.
    pub fn advance(&self, bytes: u64) -> Result<()> {
        self.progress.report(bytes)
    }
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            resolver: &DenyReferences,
            snapshot: None,
            progress: &(),
            caches: CacheGroup::default(),
        }
    }
}

/// Selects an internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSelector {
    /// The snapshot with this id.
    Id(String),
    /// The first snapshot with this name.
    Name(String),
    /// The snapshot with this id, or else the first with this name.
    IdOrName(String),
}

/// Options for creating an image.
#[derive(Clone, Default)]
pub struct CreateOptions {
    /// The size of the disk in bytes. A format that counts in sectors rounds up and pads with zeros.
    pub virtual_size: u64,
    /// If set, units are stored compressed.
    pub compress: bool,
    /// The compression level; `None` is the default of the method. Refused if nothing is compressed.
    pub level: Option<i32>,
    /// Settings of the format as typed by the user: `cluster_size=2M`.
    pub settings: Vec<Setting>,
    /// Creates the other files of an image of several files. If `None`, only images of one file can be written.
    pub siblings: Option<Arc<dyn Siblings>>,
}

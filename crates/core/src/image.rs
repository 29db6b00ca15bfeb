//! Images and their description.

use crate::{BlockSource, Error, ErrorKind, Format, Identity, Reference, Remedy, Result};

/// A [`BlockSource`] of an image format that describes itself.
pub trait Image: BlockSource {
    /// The description of the image.
    fn info(&self) -> &ImageInfo;
}

/// The description of an image. These are claims of the image, not verified facts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// The format.
    pub format: Format,
    /// The name of the layout, if the format has several: `streamOptimized`, `dynamic`.
    pub subformat: Option<String>,
    /// The version of the format.
    pub version: Option<u32>,
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The size in bytes of a cluster, grain or block, if the format allocates in units.
    pub allocation_unit: Option<u64>,
    /// The compression method of the header, if it has one: `zlib`, `zstd`.
    pub compression: Option<&'static str>,
    /// The encryption method, if the content is encrypted: `aes`, `luks`.
    pub encryption: Option<&'static str>,
    /// True if the last writer did not close the image cleanly.
    pub dirty: bool,
    /// True if a writer marked the image as corrupt.
    pub corrupt: bool,
    /// True if the file is, by its own structure, one part or one layer of a larger disk that another file describes.
    /// The finding `part` has the reason.
    pub is_part: bool,
    /// The references to other files, none of which was opened.
    pub references: Vec<Reference>,
    /// The identity by which overlays refer to the image.
    pub identity: Identity,
    /// The internal snapshots.
    pub snapshots: Vec<Snapshot>,
    /// The content that the first bytes of a raw disk indicate.
    pub content: Option<&'static str>,
    /// True if the content is an optical disc (ISO 9660 or UDF), to be attached as a CD-ROM.
    pub is_optical_disc: bool,
    /// Facts specific to the format, in the order and with the names of `qemu-img info` where it has them.
    pub details: Vec<(String, Detail)>,
    /// Facts that an importer should know before it trusts the image.
    pub findings: Vec<Finding>,
}

impl ImageInfo {
    /// Creates the description of an image of this format and virtual size in bytes, without further facts.
    #[must_use]
    pub fn new(format: Format, virtual_size: u64) -> Self {
        Self {
            format,
            subformat: None,
            version: None,
            virtual_size,
            allocation_unit: None,
            compression: None,
            encryption: None,
            dirty: false,
            corrupt: false,
            is_part: false,
            references: Vec::new(),
            identity: Identity::default(),
            snapshots: Vec::new(),
            content: None,
            is_optical_disc: false,
            details: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Checks that the file is not a part of a larger disk, unless `allow_part` is set.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] with the reason.
    ///
    /// ```
    /// use diskimg_core::{Format, ImageInfo};
    /// let whole = ImageInfo::new(Format::new("test"), 512);
    /// assert!(whole.check_whole(false).is_ok());
    /// let mut part = whole;
    /// part.is_part = true;
    /// assert!(part.check_whole(false).is_err() && part.check_whole(true).is_ok());
    /// ```
    pub fn check_whole(&self, allow_part: bool) -> Result<()> {
        if !self.is_part || allow_part {
            return Ok(());
        }
        let finding = self.findings.iter().find(|finding| finding.check == "part");
        let because = finding.map_or("part of a larger disk", |finding| finding.message.as_str());
        let error = Error::new(ErrorKind::Denied).format(self.format).because(because);
        let error = match finding.and_then(|finding| finding.offset) {
            Some(at) => error.at(at),
            None => error,
        };
        Err(error.with_remedy(Remedy::AllowPart))
    }
}

/// A fact specific to a format.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Yes or no.
    Flag(bool),
    /// A count or a size. Its unit is in the name.
    Number(u64),
    /// Text, not escaped for a terminal.
    Text(String),
    /// A file of the image, by its name in the image; empty for the file of the image itself, which may have been
    /// renamed. Not escaped for a terminal.
    File(String),
    /// A list of facts.
    List(Vec<Detail>),
    /// Facts with names, in order.
    Table(Vec<(String, Detail)>),
}

/// An internal snapshot in the list of its image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The unique id, not escaped for a terminal.
    pub id: String,
    /// The name, not escaped for a terminal.
    pub name: String,
    /// The size of the disk in bytes when the snapshot was taken.
    pub virtual_size: u64,
    /// The size of the saved machine state in bytes; 0 if there is none.
    pub vm_state_size: u64,
    /// The time when it was taken, in seconds since 1970 (UTC).
    pub date_seconds: u32,
    /// The nanoseconds of that second.
    pub date_nanoseconds: u32,
    /// The time that the guest had been running, in nanoseconds.
    pub vm_clock_nanoseconds: u64,
    /// The instruction count of the machine, if recorded.
    pub icount: Option<u64>,
}

impl Snapshot {
    /// Creates the description of a snapshot without machine state that was taken at an unknown time, of a disk of
    /// `virtual_size` bytes.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, virtual_size: u64) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            virtual_size,
            vm_state_size: 0,
            date_seconds: 0,
            date_nanoseconds: 0,
            vm_clock_nanoseconds: 0,
            icount: None,
        }
    }
}

/// The severity of a [`Finding`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Informative. Reading is not affected.
    Note,
    /// Unusual or damaged, but readable; or encrypted, or otherwise described only.
    Warning,
    /// The image should not be used if it is untrusted: it refers to other files or cannot be what it claims.
    Unsafe,
}

/// A fact about an image that an importer should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// A short name for programs. `backing_file`, `data_file` and `unknown_features` are the names of the safety
    /// checks of OpenStack's oslo.utils.
    pub check: &'static str,
    /// A message of one line, with escaped names.
    pub message: String,
    /// The byte offset in the image file, if the finding has one.
    pub offset: Option<u64>,
}

impl Finding {
    /// Creates a finding without an offset.
    #[must_use]
    pub fn new(severity: Severity, check: &'static str, message: impl Into<String>) -> Self {
        Self { severity, check, message: message.into(), offset: None }
    }

    /// Creates a finding of [`Severity::Note`].
    #[must_use]
    pub fn note(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, message)
    }

    /// Creates a finding of [`Severity::Warning`].
    #[must_use]
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, message)
    }

    /// Creates a finding of [`Severity::Unsafe`].
    #[must_use]
    pub fn hazard(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Unsafe, check, message)
    }

    /// Adds the byte offset in the image file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

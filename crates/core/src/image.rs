//! A source that came from a format and can describe itself.

use crate::{BlockSource, Format, Identity, Reference};

/// A [`BlockSource`] that came from a format and can describe itself.
pub trait Image: BlockSource {
    /// What the image says about itself.
    fn info(&self) -> &ImageInfo;
}

/// What an image says about itself: claims of its bytes, not promises of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInfo {
    /// The format.
    pub format: Format,
    /// The format's own name for the layout, where it has several: `streamOptimized`, `dynamic`.
    pub subformat: Option<String>,
    /// The version number of the format.
    pub version: Option<u32>,
    /// Size in bytes of the disk the guest sees.
    pub virtual_size: u64,
    /// Bytes of a cluster, grain or block, where the format allocates by such units.
    pub allocation_unit: Option<u64>,
    /// How units are compressed, if the header names a method: `zlib`, `zstd`.
    pub compression: Option<&'static str>,
    /// How the content is encrypted, if it is: `aes`, `luks`.
    pub encryption: Option<&'static str>,
    /// Whether the image was not closed cleanly by its last writer.
    pub dirty: bool,
    /// Whether a writer marked the image as corrupt.
    pub corrupt: bool,
    /// Names inside the image that point outside it, none of them opened.
    pub references: Vec<Reference>,
    /// What the image is known by to those that are based on it.
    pub identity: Identity,
    /// Internal snapshots.
    pub snapshots: Vec<Snapshot>,
    /// What the guest's bytes begin with, where the format is raw and the bytes say.
    pub content: Option<&'static str>,
    /// Whether the content is an optical disc (ISO 9660 or UDF), to be attached as a CD-ROM.
    pub is_optical_disc: bool,
    /// Facts only this format has, in the order and by the names that `qemu-img info` uses where it has them.
    pub details: Vec<(String, Detail)>,
    /// What a careful importer should know before it trusts the image.
    pub findings: Vec<Finding>,
}

impl ImageInfo {
    /// An image of this format and virtual size in bytes about which nothing else is known.
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
            references: Vec::new(),
            identity: Identity::default(),
            snapshots: Vec::new(),
            content: None,
            is_optical_disc: false,
            details: Vec::new(),
            findings: Vec::new(),
        }
    }
}

/// A fact that only one format has.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Yes or no.
    Flag(bool),
    /// A count or a size; the name says the unit.
    Number(u64),
    /// Text; not yet escaped for a terminal.
    Text(String),
    /// A file of the image, by the name that the image has for it; empty for the image's own file, whatever that
    /// is called now. Not yet escaped for a terminal.
    File(String),
    /// Several facts of one kind.
    List(Vec<Detail>),
    /// Facts by name, in order.
    Table(Vec<(String, Detail)>),
}

/// An internal snapshot, as its image lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The unique id; not yet escaped for a terminal.
    pub id: String,
    /// The name; not yet escaped for a terminal.
    pub name: String,
    /// Size in bytes of the disk when the snapshot was taken.
    pub virtual_size: u64,
    /// Bytes of saved machine state; 0 without.
    pub vm_state_size: u64,
    /// When it was taken, seconds since 1970 (UTC).
    pub date_seconds: u32,
    /// Nanoseconds of that second.
    pub date_nanoseconds: u32,
    /// How long the guest had been running, in nanoseconds.
    pub vm_clock_nanoseconds: u64,
    /// The machine's instruction count, if it was recorded.
    pub icount: Option<u64>,
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Good to know; reading is not affected.
    Note,
    /// Unusual or damaged, yet readable.
    Warning,
    /// Should not be used as it comes from a stranger: it reaches outside itself or cannot be what it claims.
    Unsafe,
}

/// Something that a careful importer should know about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A short name for programs; `backing_file`, `data_file` and `unknown_features` are those of the
    /// safety checks of OpenStack's oslo.utils.
    pub check: &'static str,
    /// One line for people, names escaped.
    pub message: String,
    /// The byte offset in the image file, if there is one place.
    pub offset: Option<u64>,
}

impl Finding {
    /// A finding without a place.
    #[must_use]
    pub fn new(severity: Severity, check: &'static str, message: impl Into<String>) -> Self {
        Self { severity, check, message: message.into(), offset: None }
    }

    /// The same, with the byte offset in the image file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }
}

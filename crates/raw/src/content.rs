//! The content of raw disks.

/// The content that the first bytes of a raw disk indicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// An ISO 9660 disc, possibly with Joliet, Rock Ridge, El Torito or a partition table (a hybrid).
    Iso9660,
    /// ISO 9660 and UDF on one disc, as on Windows installation media.
    UdfBridge,
    /// A disc with only UDF.
    Udf,
    /// A CD-ROM dump with all 2352 bytes of each sector, with ISO 9660. A guest needs only the 2048 data bytes of
    /// each.
    RawCdSectors,
    /// A disk with a GUID partition table.
    Gpt,
    /// A disk with a master boot record that has partitions.
    Mbr,
    /// A file system, volume or swap area on the whole disk, by its name in `blkid`: `ext4`, `ntfs`.
    FileSystem(&'static str),
    /// Only zeros in the examined bytes.
    Zeros,
}

impl Content {
    /// The short lower-case name in JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso9660 => "iso9660",
            Self::UdfBridge => "iso9660+udf",
            Self::Udf => "udf",
            Self::RawCdSectors => "cd-sectors",
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::FileSystem(name) => name,
            Self::Zeros => "zeros",
        }
    }

    /// True if this is an optical disc, to be attached to a machine as a CD-ROM.
    #[must_use]
    pub const fn is_optical_disc(self) -> bool {
        matches!(self, Self::Iso9660 | Self::UdfBridge | Self::Udf | Self::RawCdSectors)
    }
}

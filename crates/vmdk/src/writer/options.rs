//! How an image is written.

/// The content id of an image whose maker sets none: `disk` in ASCII. A constant, so that the same disk and
/// the same options give the same file; QEMU and VMware draw it at random. Whoever makes differencing images
/// over several bases gives each base its own, so that they are told apart.
pub const DEFAULT_CID: u32 = 0x6469_736B;

/// How a VMDK image is written. The default is what `qemu-img create` makes: monolithicSparse, grains of
/// 64 KiB, an IDE disk.
///
/// ```
/// use diskimg_vmdk::{AdapterType, Subformat, WriterOptions};
/// let options = WriterOptions {
///     virtual_size: 10 << 30,
///     subformat: Subformat::StreamOptimized,
///     adapter_type: AdapterType::LsiLogic,
///     ..WriterOptions::default()
/// };
/// assert_eq!(options.grain_size, 65_536);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Size of the disk in bytes: at least 1, below 2^63. The format counts whole sectors: the image has the
    /// next multiple of 512, and what is added reads as zeros.
    pub virtual_size: u64,
    /// Of which files the image consists, and how these are laid out.
    pub subformat: Subformat,
    /// Bytes in a grain, the unit in which sparse extents give out space: a power of two from 4 KiB to
    /// 64 KiB. Flat extents have none.
    pub grain_size: u64,
    /// Marks a sparse image so that a table entry may stand for a grain of zeros when it is changed later:
    /// version 2 of the header. Not for streamOptimized, which has version 3. This writer leaves grains of
    /// zeros out, which reads the same.
    pub zeroed_grain: bool,
    /// The controller that the disk is meant for.
    pub adapter_type: AdapterType,
    /// The virtual hardware version to name: 4 is the oldest that reads the format, and what QEMU names.
    pub hardware_version: u32,
    /// The version of the guest's tools to name; `i32::MAX`, which stands for tools that the guest's own
    /// system takes care of, is what QEMU names.
    pub tools_version: u32,
    /// The content id. `u32::MAX` stands for no parent and cannot be one.
    pub cid: u32,
    /// The level of deflate for streamOptimized: 1 (fast) to 9 (small); 6 if not given. The others are not
    /// compressed and have none.
    pub level: Option<i32>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            virtual_size: 0,
            subformat: Subformat::MonolithicSparse,
            grain_size: 65_536,
            zeroed_grain: false,
            adapter_type: AdapterType::Ide,
            hardware_version: 4,
            tools_version: 0x7FFF_FFFF,
            cid: DEFAULT_CID,
            level: None,
        }
    }
}

/// Of which files an image consists, and how these are laid out: the `createType` of its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subformat {
    /// One file that grows.
    MonolithicSparse,
    /// One file, compressed, written once and in order: what OVF packages hold.
    StreamOptimized,
    /// A descriptor and one file of the guest's bytes, `NAME-flat.vmdk`.
    MonolithicFlat,
    /// A descriptor and files that grow, for 2047 MiB of the disk each, `NAME-s001.vmdk` and so on.
    TwoGbMaxExtentSparse,
    /// A descriptor and files of the guest's bytes, just below 2 GiB each, `NAME-f001.vmdk` and so on.
    TwoGbMaxExtentFlat,
    /// As [`Subformat::MonolithicFlat`], described as disks on ESXi data stores are.
    Vmfs,
}

impl Subformat {
    /// All of them, the default first.
    pub(super) const ALL: [Self; 6] = [
        Self::MonolithicSparse,
        Self::StreamOptimized,
        Self::MonolithicFlat,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
        Self::Vmfs,
    ];

    /// The name as it stands in a descriptor, and as `-o subformat=` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::StreamOptimized => "streamOptimized",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Self::Vmfs => "vmfs",
        }
    }

    /// Whether the guest's bytes are in files beside the image's own, which then is only a descriptor.
    #[must_use]
    pub const fn has_siblings(self) -> bool {
        !matches!(self, Self::MonolithicSparse | Self::StreamOptimized)
    }

    /// Whether space is given out by grains.
    pub(super) const fn has_grains(self) -> bool {
        matches!(self, Self::MonolithicSparse | Self::StreamOptimized | Self::TwoGbMaxExtentSparse)
    }
}

/// The controller that a disk is meant for: the `ddb.adapterType` of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AdapterType {
    /// IDE.
    Ide,
    /// BusLogic SCSI.
    BusLogic,
    /// LSI Logic parallel SCSI.
    LsiLogic,
    /// LSI Logic SAS.
    LsiSas,
    /// VMware's paravirtual SCSI.
    Pvscsi,
    /// SATA.
    Sata,
    /// NVM Express.
    Nvme,
    /// SCSI of ESX Server before version 3.
    LegacyEsx,
}

impl AdapterType {
    /// All of them, the default first.
    pub(super) const ALL: [Self; 8] = [
        Self::Ide,
        Self::BusLogic,
        Self::LsiLogic,
        Self::LsiSas,
        Self::Pvscsi,
        Self::Sata,
        Self::Nvme,
        Self::LegacyEsx,
    ];

    /// The name as it stands in a descriptor, and as `-o adapter_type=` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::BusLogic => "buslogic",
            Self::LsiLogic => "lsilogic",
            Self::LsiSas => "lsisas",
            Self::Pvscsi => "pvscsi",
            Self::Sata => "sata",
            Self::Nvme => "nvme",
            Self::LegacyEsx => "legacyESX",
        }
    }
}

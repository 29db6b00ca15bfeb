//! The options of a writer.

/// The options of a VMDK image. The default is that of `qemu-img create`: monolithicSparse, grains of 64 KiB, an IDE
/// disk.
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
    /// The size of the disk in bytes: at least 1, below 2^63. The format counts sectors: the image has the next multiple
    /// of 512, and the additional bytes read as zeros.
    pub virtual_size: u64,
    /// The files of the image and their layout.
    pub subformat: Subformat,
    /// The grain size in bytes, the allocation unit of sparse extents: a power of two from 4 KiB to 64 KiB. Flat extents
    /// have no grains.
    pub grain_size: u64,
    /// Sets the flag that allows table entries for grains of zeros when a sparse image is changed later: version 2 of the
    /// header. Not for streamOptimized, which has version 3. This writer never stores grains of zeros.
    pub zeroed_grain: bool,
    /// The controller of the disk.
    pub adapter_type: AdapterType,
    /// The virtual hardware version in the descriptor: 4 is the oldest that reads the format, and QEMU's default.
    pub hardware_version: u32,
    /// The version of the guest's tools in the descriptor. QEMU's default is `i32::MAX`: tools that the guest's operating
    /// system manages.
    pub tools_version: u32,
    /// The content id, by which a differencing image identifies its parent; `None` for a random one. Set it to get the same
    /// bytes each time. `u32::MAX`, which means no parent, is invalid.
    pub cid: Option<u32>,
    /// The deflate level of streamOptimized: 1 (fast) to 9 (small); 6 if not given. Other subformats are not compressed
    /// and accept no level.
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
            cid: None,
            level: None,
        }
    }
}

/// The files of an image and their layout: the `createType` of its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Subformat {
    /// One file that grows.
    MonolithicSparse,
    /// One compressed file, written once and in order: the form of disks in OVF packages.
    StreamOptimized,
    /// A descriptor and one flat file, `NAME-flat.vmdk`.
    MonolithicFlat,
    /// A descriptor and sparse files for 2047 MiB of the disk each, `NAME-s001.vmdk` and so on.
    TwoGbMaxExtentSparse,
    /// A descriptor and flat files of just below 2 GiB each, `NAME-f001.vmdk` and so on.
    TwoGbMaxExtentFlat,
    /// The files of [`Subformat::MonolithicFlat`], with the descriptor of a disk on an ESXi data store.
    Vmfs,
}

impl Subformat {
    /// All values, the default first.
    pub(crate) const ALL: [Self; 6] = [
        Self::MonolithicSparse,
        Self::StreamOptimized,
        Self::MonolithicFlat,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
        Self::Vmfs,
    ];

    /// The name in descriptors and in `-o subformat=`.
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

    /// True if the guest's bytes are in other files, and the image's own file is only a descriptor.
    #[must_use]
    pub const fn has_siblings(self) -> bool {
        !matches!(self, Self::MonolithicSparse | Self::StreamOptimized)
    }

    /// True if space is allocated in grains.
    pub(super) const fn has_grains(self) -> bool {
        matches!(self, Self::MonolithicSparse | Self::StreamOptimized | Self::TwoGbMaxExtentSparse)
    }
}

/// The controller of a disk: the `ddb.adapterType` of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AdapterType {
    /// IDE.
    Ide,
    /// BusLogic SCSI.
    BusLogic,
    /// LSI Logic parallel SCSI.
    LsiLogic,
    /// LSI Logic SAS.
    LsiSas,
    /// VMware paravirtual SCSI.
    Pvscsi,
    /// SATA.
    Sata,
    /// NVM Express.
    Nvme,
    /// The SCSI controller of ESX Server before version 3.
    LegacyEsx,
}

impl AdapterType {
    /// All values, the default first.
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

    /// The name in descriptors and in `-o adapter_type=`.
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

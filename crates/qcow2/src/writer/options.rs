//! The options of a writer.

use crate::header::Compression;

/// The options of a qcow2 image. The default is that of `qemu-img create`: version 3, clusters of 64 KiB, 16-bit
/// refcounts, not compressed.
///
/// ```
/// use diskimg_qcow2::{Compression, WriterOptions};
/// let options = WriterOptions {
///     virtual_size: 10 << 30,
///     compress: true,
///     compression_type: Compression::Zstd,
///     ..WriterOptions::default()
/// };
/// assert_eq!(options.cluster_size, 65_536);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// The size of the disk in bytes, below 2^63. The header counts sectors: it states the next multiple of 512, and
    /// the additional bytes read as zeros.
    pub virtual_size: u64,
    /// The version of the format.
    pub version: Version,
    /// The cluster size in bytes: a power of two from 512 to 2 MiB, with [`WriterOptions::extended_l2`] from 16 KiB.
    pub cluster_size: u64,
    /// Compresses whole clusters that become smaller.
    pub compress: bool,
    /// The compression method in the header, also if no cluster is compressed. Zstd needs version 3, and QEMU 5.1 or
    /// later to read it.
    pub compression_type: Compression,
    /// The compression level; the method's default if not given. Only with [`WriterOptions::compress`].
    pub level: Option<i32>,
    /// The bits of a refcount: 1, 2, 4, 8, 16, 32 or 64; 16 in version 2. The largest refcount limits how many
    /// compressed clusters share a host cluster.
    pub refcount_bits: u32,
    /// Divides clusters into 32 subclusters; version 3 only. Subclusters of zeros in written clusters are flagged.
    pub extended_l2: bool,
    /// Sets the flag for lazy refcounts, which take effect when the image is changed later; version 3 only. This
    /// writer always stores complete refcounts.
    pub lazy_refcounts: bool,
    /// The clusters that are allocated without being written.
    pub preallocation: ClusterPreallocation,
    /// The backing file named in the header, which is never opened. See [`BackingName`].
    pub backing: Option<BackingName>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            virtual_size: 0,
            version: Version::V3,
            cluster_size: 65_536,
            compress: false,
            compression_type: Compression::Deflate,
            level: None,
            refcount_bits: 16,
            extended_l2: false,
            lazy_refcounts: false,
            preallocation: ClusterPreallocation::Off,
            backing: None,
        }
    }
}

/// A version of the format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// Version 2, QEMU's compat 0.10, for readers older than QEMU 1.1.
    V2,
    /// Version 3, QEMU's compat 1.1.
    V3,
}

/// The clusters that are allocated without being written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ClusterPreallocation {
    /// None: clusters of zeros are not stored.
    Off,
    /// All clusters, and the tables that map them. Unwritten clusters are holes in the file. Not with compression, and
    /// with a backing file only if clusters have subclusters: unwritten ones then read from the backing file.
    Metadata,
}

/// The backing file named in the header: unwritten clusters read from it.
///
/// The name is recorded verbatim and never opened. Clusters of zeros are flagged as zeros. The cluster is the unit: the
/// unwritten part of a cluster that is written in part reads as zeros, not from the backing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackingName {
    /// The name: 1 to 1023 bytes.
    pub name: String,
    /// The format, such as `raw` or `qcow2`: at most 15 bytes. QEMU does not guess it.
    pub format: Option<String>,
}

//! How an image is written.

use crate::header::Compression;

/// How a qcow2 image is written. The default is what `qemu-img create` makes: version 3, clusters of 64 KiB,
/// 16-bit refcounts, not compressed.
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
    /// Size of the disk in bytes, below 2^63. The header counts whole sectors: it states the next multiple
    /// of 512, and what is added reads as zeros.
    pub virtual_size: u64,
    /// The version of the format.
    pub version: Version,
    /// Bytes in a cluster: a power of two from 512 to 2 MiB, from 16 KiB with [`WriterOptions::extended_l2`].
    pub cluster_size: u64,
    /// Whether whole clusters are compressed where that makes them smaller.
    pub compress: bool,
    /// The method that the header names for compressed clusters, whether or not any are written. Zstd needs
    /// version 3 and a reader of QEMU 5.1 or later.
    pub compression_type: Compression,
    /// The level of compression; the method's default if not given. Not without [`WriterOptions::compress`].
    pub level: Option<i32>,
    /// Bits of a refcount: 1, 2, 4, 8, 16, 32 or 64; version 2 has 16. Compressed clusters share host clusters
    /// only as far as a refcount can count.
    pub refcount_bits: u32,
    /// L2 entries with 32 subclusters each; version 3 only. Zeros in written clusters are marked as such.
    pub extended_l2: bool,
    /// Marks the image for lazy refcounts when it is changed later; version 3 only. Nothing about this
    /// writer's refcounts is lazy.
    pub lazy_refcounts: bool,
    /// What is allocated before it is written.
    pub preallocation: Preallocation,
    /// The backing file that the header names; it is never opened. See [`BackingName`].
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
            preallocation: Preallocation::Off,
            backing: None,
        }
    }
}

/// A version of the format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// Version 2, which QEMU calls compat 0.10: for readers older than QEMU 1.1.
    V2,
    /// Version 3, which QEMU calls compat 1.1.
    V3,
}

/// What is allocated before it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Preallocation {
    /// Nothing: clusters of zeros take no place.
    Off,
    /// A place for every cluster, and the tables that map them; what is not written stays a hole in the file.
    /// Not together with compression or a backing file.
    Metadata,
}

/// The backing file that a header names: where to read what this image has not written.
///
/// The name is recorded as it is and never opened. With a backing file, clusters never touched read from it,
/// and clusters of zeros are marked as zeros. The cluster is the unit: what is not written of a cluster that
/// is touched reads as zeros, not as the backing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackingName {
    /// The name: 1 to 1023 bytes.
    pub name: String,
    /// Its format, `raw` or `qcow2` for example: at most 15 bytes. QEMU refuses to guess it.
    pub format: Option<String>,
}

//! The options of a conversion and its result.

use diskimg_core::{Finding, zeros};

/// The options of a conversion.
///
/// ```
/// use diskimg::{ConvertOptions, Sparse};
/// let mut options = ConvertOptions::default();
/// options.threads = 2;
/// options.sparse = Sparse::Search(64 << 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Worker threads; 0 means one per core.
    pub threads: usize,
    /// Bytes of buffers of all workers. Each worker needs at least one unit of the sink or the source and the memory
    /// to decode it, so that fewer workers run if the units are large. Default 32 MiB, our choice: half of 64 MiB is
    /// left to caches.
    pub memory: u64,
    /// The treatment of zeros in stored bytes.
    pub sparse: Sparse,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self { threads: 0, memory: 32 << 20, sparse: Sparse::Auto }
    }
}

/// The treatment of zeros in stored bytes. Holes of the source are always holes of the target.
///
/// ```
/// use diskimg::{ConvertOptions, Memory, MemorySink, Sparse, convert};
/// let mut options = ConvertOptions::default();
/// options.sparse = Sparse::Search(512);
/// let disk = Memory::new([[7; 512], [0; 512]].concat());
/// let done = convert(&disk, Box::new(MemorySink::new(1024)), &options, &())?;
/// assert_eq!((done.written, done.zeros), (512, 512));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sparse {
    /// Searches for zeros in steps of 4 KiB, except in bytes that the kernel can copy.
    #[default]
    Auto,
    /// Reads all bytes and searches for aligned runs of this many zeros: a power of two of at least 512.
    Search(u64),
    /// Searches nothing: stored zeros are written as bytes.
    Never,
}

impl Sparse {
    /// The step in bytes in which bytes that are read are searched; `None` if they are not.
    pub(super) fn step(self) -> Option<usize> {
        match self {
            Self::Auto => Some(zeros::GRANULARITY),
            Self::Search(step) => Some(usize::try_from(step).unwrap_or(zeros::GRANULARITY)),
            Self::Never => None,
        }
    }
}

/// The result of a conversion, in bytes of the guest disk.
///
/// ```
/// use diskimg::{ConvertOptions, Converted, Input, Opener, Preallocation, Target, driver};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("disk.qcow2");
/// # diskimg::Target::file(&path, diskimg::driver("qcow2")?.format).create(Some(1 << 20))?.finish()?;
/// let input = Opener::new().input(&path)?;
/// assert!(matches!(input, Input::Disk(_)), "only compressed files are streamed");
/// let mut target = Target::file(path.with_extension("raw"), driver("raw")?.format);
/// target.preallocation = Preallocation::Falloc;
/// let done: Converted = input.convert_to(&target, &ConvertOptions::default(), &())?;
/// assert_eq!((done.virtual_size, done.written, done.zeros), (1 << 20, 0, 1 << 20));
/// # Ok::<(), diskimg::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Converted {
    /// Size of the disk.
    pub virtual_size: u64,
    /// Bytes stored as data, including those that the kernel copied; before any compression.
    pub written: u64,
    /// Bytes of these that the kernel copied from file to file.
    pub copied: u64,
    /// Bytes left as holes or zeros.
    pub zeros: u64,
    /// The image format that the content of a raw target looks like: see [`looks_like_image`](crate::looks_like_image).
    /// Set by `convert_to` if the beginning of the disk was available.
    pub looks_like: Option<&'static str>,
    /// The findings about all layers that were read, as [`Disk::findings`](crate::Disk::findings) returns them, and those
    /// that only the end of a stream shows. Empty for [`convert()`](crate::convert()), which reads any source.
    pub findings: Vec<Finding>,
}

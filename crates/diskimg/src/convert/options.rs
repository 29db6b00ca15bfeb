//! The options of a conversion and its result.

use std::ops::Range;

use diskimg_core::{Finding, range, zeros};

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
    /// The bytes of the disk that are written per second, over all workers; 0 and `None` for no limit. Holes are not
    /// counted. With a limit, the kernel copies nothing from file to file.
    pub rate: Option<u64>,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self { threads: 0, memory: 32 << 20, sparse: Sparse::Auto, rate: None }
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
#[non_exhaustive]
pub enum Sparse {
    /// Searches for zeros in steps of 4 KiB, except in bytes that the kernel can copy.
    #[default]
    Auto,
    /// Reads all bytes and searches for runs of at least this many zeros: a multiple of 512, at most
    /// [`Sparse::LONGEST_SEARCH`]. Runs begin and end at multiples of the largest power of two that divides it, and are
    /// found in bytes that are read together: at least as many.
    Search(u64),
    /// Searches nothing: stored zeros are written as bytes, also in an image.
    Never,
}

impl Sparse {
    /// The longest run of zeros to search for, in bytes: 16 MiB, the limit of `qemu-img convert -S`.
    pub const LONGEST_SEARCH: u64 = 16 << 20;

    /// The search in bytes that are read; `None` if they are not searched.
    pub(super) fn search(self) -> Option<ZeroSearch> {
        let least = match self {
            Self::Auto => zeros::GRANULARITY as u64,
            Self::Search(least) => least.clamp(1, Self::LONGEST_SEARCH),
            Self::Never => return None,
        };
        // At most 16 MiB.
        let step = 1_usize.checked_shl(least.trailing_zeros()).unwrap_or(zeros::GRANULARITY);
        Some(ZeroSearch { step, least })
    }
}

/// A search for runs of zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct ZeroSearch {
    /// Runs begin and end at multiples of this.
    pub(super) step: usize,
    /// The shortest run in bytes, a multiple of the step.
    pub(super) least: u64,
}

impl ZeroSearch {
    /// Replaces `found` by the runs of zeros in `bytes`, which are at `offset` of the disk. A run that continues outside
    /// of `bytes` counts as long as its part inside.
    pub(super) fn runs(self, bytes: &[u8], offset: u64, found: &mut Vec<Range<u64>>) {
        found.clear();
        zeros::runs(bytes, self.step, offset, found);
        if !self.least.is_power_of_two() {
            found.retain(|run| range::len(run) >= self.least);
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
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_shorter_than_the_search_is_data() {
        let mut bytes = vec![1; 16 << 10];
        bytes[1 << 10..3 << 10].fill(0);
        bytes[5 << 10..8 << 10].fill(0);
        bytes[(9 << 10) + 1..14 << 10].fill(0);
        let runs = |least| {
            let mut found = Vec::new();
            Sparse::Search(least).search().unwrap().runs(&bytes, 1 << 20, &mut found);
            found.iter().map(|run| (run.start - (1 << 20), run.end - (1 << 20))).collect::<Vec<_>>()
        };
        let (short, long, odd) = ((1 << 10, 3 << 10), (5 << 10, 8 << 10), (10 << 10, 14 << 10));
        assert_eq!(runs(1 << 10), [short, long, odd]);
        assert_eq!(runs(3 << 10), [long, odd]);
        assert_eq!(runs(3584), [((19 << 9), 14 << 10)]);
        assert!(runs(4 << 10).is_empty());
        assert!(Sparse::Never.search().is_none());
    }
}

//! Options of the decompressor.

/// Options of a [`Decompressor`](super::Decompressor). The input it accepts is bounded by
/// [`Limits`](diskimg_core::Limits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecompressOptions {
    /// The number of threads that decompress an xz file of several blocks; 0, the default, is one per core. The
    /// output does not depend on it.
    pub threads: u32,
    /// The maximum number of bytes of memory for decompressing on several threads. If it would need more, fewer threads
    /// are used, down to one.
    ///
    /// Default 48 MiB, our limit, so that a conversion stays below 64 MiB. This suffices for the small blocks of
    /// `xz -T -1`; the blocks of `xz -T -6` are 24 MiB and need about 48 MiB per thread.
    pub thread_memory: u64,
}

impl Default for DecompressOptions {
    fn default() -> Self {
        Self { threads: 0, thread_memory: 48 << 20 }
    }
}

//! How a conversion is done, and what it did.

use diskimg_core::{BlockSink, BlockSource, SinkProperties, WriteOrder};

/// How a conversion is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Worker threads; 0 for one a core.
    pub threads: usize,
    /// Bytes of buffers over all workers: at least one unit of the sink or the source a worker, and what decoding it
    /// takes, so that fewer workers run where the units are large. Default 32 MiB, a bound of ours that leaves half
    /// of 64 MiB to caches.
    pub memory: u64,
    /// How zeros inside stored bytes are treated.
    pub sparse: Sparse,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self { threads: 0, memory: 32 << 20, sparse: Sparse::Auto }
    }
}

/// How zeros inside stored bytes are treated. What the source says is a hole is one in every case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sparse {
    /// Bytes that pass through our hands are searched for zeros by 4 KiB; those that the kernel can copy by
    /// itself are not looked at.
    #[default]
    Auto,
    /// All bytes are read and searched for runs of zeros of this many bytes, aligned to as many: a power of
    /// two of at least 512.
    Search(u64),
    /// Nothing is searched: stored zeros are written as bytes.
    Never,
}

/// What a conversion did. Bytes of the guest's disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Converted {
    /// Size of the disk.
    pub virtual_size: u64,
    /// Bytes stored as data, whoever copied them; before any compression.
    pub written: u64,
    /// Bytes of these that the kernel copied from file to file.
    pub copied: u64,
    /// Bytes left as holes or zeros.
    pub zeros: u64,
}

/// The largest segment. A bound of ours: larger ones measured no faster and fill caches.
const SEGMENT: u64 = 2 << 20;

/// The smallest segment, where the sink has no unit of its own.
const SMALLEST: u64 = 64 << 10;

/// Workers and the bytes each takes at a time.
pub(super) struct Shape {
    pub(super) threads: usize,
    pub(super) segment: usize,
    pub(super) granularity: u64,
    /// Whether the kernel may copy whole extents: segments of those may be longer than a buffer.
    pub(super) kernel_copies: bool,
}

impl ConvertOptions {
    pub(super) fn shape(&self, source: &dyn BlockSource, sink: &dyn BlockSink) -> Shape {
        let SinkProperties { order, granularity, .. } = sink.properties();
        let granularity = granularity.max(1);
        let wanted = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let batched = sink.batch().is_some();
        // A batch holds what it compressed beside what it read.
        let copies = if batched { 2 } else { 1 };
        let encoded = source.decode_unit();
        let unit = granularity.max(SMALLEST).max(encoded);
        // An encoded unit is read, and perhaps decoded, beside the worker's buffer.
        let beside = encoded.saturating_mul(2);
        let least = unit.saturating_mul(copies).saturating_add(beside);
        let most = self.memory.checked_div(least).unwrap_or(1).max(1);
        let threads = wanted.clamp(1, usize::try_from(most).unwrap_or(usize::MAX));
        let share = self.memory.checked_div(threads as u64).unwrap_or(0).saturating_sub(beside);
        let segment = share.checked_div(copies).unwrap_or(unit).min(SEGMENT).max(unit);
        let whole_units = segment.saturating_sub(segment.checked_rem(granularity).unwrap_or(0));
        Shape {
            threads,
            segment: usize::try_from(whole_units).unwrap_or(usize::MAX),
            granularity,
            kernel_copies: !batched && order == WriteOrder::Any && !matches!(self.sparse, Sparse::Search(_)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Memory, MemorySink};

    #[test]
    fn memory_bounds_the_buffers_of_any_number_of_threads() {
        for threads in [1, 2, 5, 64, 1000] {
            let options = ConvertOptions { threads, memory: 16 << 20, ..ConvertOptions::default() };
            let shape = options.shape(&Memory::new(Vec::new()), &MemorySink::new(0));
            assert!(shape.threads * shape.segment <= 16 << 20);
            assert!(shape.segment >= 64 << 10);
        }
    }

    #[test]
    fn large_encoded_units_leave_room_for_fewer_threads() {
        struct Encoded(u64);
        impl BlockSource for Encoded {
            fn size(&self) -> u64 {
                0
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> diskimg_core::Result<()> {
                Ok(())
            }
            fn decode_unit(&self) -> u64 {
                self.0
            }
        }
        let options = ConvertOptions { threads: 64, memory: 16 << 20, ..ConvertOptions::default() };
        let threads = |unit| options.shape(&Encoded(unit), &MemorySink::new(0)).threads;
        assert_eq!((threads(64 << 10), threads(2 << 20), threads(1 << 30)), (64, 2, 1));
        assert_eq!(options.shape(&Encoded(2 << 20), &MemorySink::new(0)).segment, 2 << 20);
    }
}

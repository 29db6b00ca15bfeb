//! The number of workers and the size of their buffers.

use diskimg_core::{BlockSink, BlockSource, SinkProperties, WriteOrder};

use super::options::{ConvertOptions, Sparse};
use crate::workers::thread_count;

/// The largest segment, our choice: larger ones measured no faster and fill caches.
const LARGEST_SEGMENT: u64 = 2 << 20;

/// The smallest segment if the sink has no unit.
const SMALLEST_SEGMENT: u64 = 64 << 10;

/// The number of workers and the bytes that each processes at a time.
pub(super) struct Workload {
    pub(super) threads: usize,
    pub(super) segment: usize,
    pub(super) granularity: u64,
    /// True if the kernel may copy whole extents. Segments of those may be longer than a buffer.
    pub(super) kernel_copies: bool,
    /// True if zeros are processed like other bytes.
    pub(super) stores_zeros: bool,
}

impl Workload {
    pub(super) fn new(options: &ConvertOptions, source: &dyn BlockSource, sink: &dyn BlockSink) -> Self {
        let SinkProperties { order, granularity, stores_zeros, .. } = sink.properties();
        let searches = matches!(options.sparse, Sparse::Search(_));
        let step = options.sparse.search().filter(|_| searches).map_or(1, |search| search.step as u64);
        // Segments that split a step of the search would find other runs of zeros for another number of threads.
        let granularity = granularity.max(step);
        let wanted = thread_count(options.threads);
        let batched = sink.batch().is_some();
        // A batch stores its compressed bytes in addition to the buffer.
        let copies = if batched { 2 } else { 1 };
        let encoded = source.decode_unit();
        // A run of zeros is found within a segment.
        let searched = options.sparse.search().map_or(0, |search| search.least);
        let unit = granularity.max(SMALLEST_SEGMENT).max(encoded).max(searched);
        // An encoded unit is read, and perhaps decoded, in addition to the buffer.
        let decoding = encoded.saturating_mul(2);
        let least = unit.saturating_mul(copies).saturating_add(decoding);
        let most = options.memory.checked_div(least).unwrap_or(1).max(1);
        let threads = wanted.clamp(1, usize::try_from(most).unwrap_or(usize::MAX));
        let share = options.memory.checked_div(threads as u64).unwrap_or(0).saturating_sub(decoding);
        let segment = share.checked_div(copies).unwrap_or(unit).min(LARGEST_SEGMENT).max(unit);
        let whole_units = segment.saturating_sub(segment.checked_rem(granularity).unwrap_or(0));
        let limited = options.rate.is_some_and(|rate| rate > 0);
        Self {
            threads,
            segment: usize::try_from(whole_units).unwrap_or(usize::MAX),
            granularity,
            kernel_copies: !batched && order == WriteOrder::Any && !searches && !stores_zeros && !limited,
            stores_zeros,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{Memory, MemorySink};

    #[test]
    fn memory_limits_the_buffers_of_any_number_of_threads() {
        for threads in [1, 2, 5, 64, 1000] {
            let options = ConvertOptions { threads, memory: 16 << 20, ..ConvertOptions::default() };
            let workload = Workload::new(&options, &Memory::new(Vec::new()), &MemorySink::new(0));
            assert!(workload.threads * workload.segment <= 16 << 20);
            assert!(workload.segment >= 64 << 10);
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
        let workload = |unit| Workload::new(&options, &Encoded(unit), &MemorySink::new(0));
        let threads = |unit| workload(unit).threads;
        assert_eq!((threads(64 << 10), threads(2 << 20), threads(1 << 30)), (64, 2, 1));
        assert_eq!(workload(2 << 20).segment, 2 << 20);
    }
}

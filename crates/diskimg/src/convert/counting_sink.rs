//! A sink that counts the bytes of a streamed conversion.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, SinkProperties, range, zeros};

use super::byte_counts::ByteCounts;
use super::options::Sparse;

/// Counts the bytes that a decoder writes, and applies the zero search of the options. Decoders search by the
/// granularity of their sink.
pub(super) struct CountingSink<'a> {
    pub(super) sink: &'a dyn BlockSink,
    pub(super) counts: &'a ByteCounts,
    pub(super) sparse: Sparse,
}

impl BlockSink for CountingSink<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut runs = Vec::new();
        // Finer than decoders search.
        if let Some(step) = self.sparse.step().filter(|step| *step < zeros::GRANULARITY) {
            zeros::runs(data, step, offset, &mut runs);
        }
        self.counts.add(data.len() as u64, &runs);
        zeros::write_runs(self.sink, offset, data, &runs)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.counts.add_zeros(range::len(&range));
        self.sink.zero(range)
    }

    fn properties(&self) -> SinkProperties {
        let inner = self.sink.properties();
        match self.sparse {
            Sparse::Search(step) => SinkProperties { granularity: inner.granularity.max(step), ..inner },
            Sparse::Never => SinkProperties { wants_holes: false, ..inner },
            Sparse::Auto => inner,
        }
    }

    /// Does nothing: the conversion finishes the sink below.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::{NullSink, WriteOrder};

    #[test]
    fn sparse_option_changes_one_property_of_the_sink_and_no_other() {
        let counts = ByteCounts::default();
        for order in [WriteOrder::Any, WriteOrder::Ascending] {
            for wants_holes in [false, true] {
                let inner = SinkProperties { order, granularity: 8192, wants_holes };
                let of =
                    |sparse| CountingSink { sink: &NullSink(inner), counts: &counts, sparse }.properties();
                assert_eq!(of(Sparse::Auto), inner);
                assert_eq!(of(Sparse::Search(4096)), inner);
                let coarse = SinkProperties { granularity: 65536, ..inner };
                assert_eq!(of(Sparse::Search(65536)), coarse);
                assert_eq!(of(Sparse::Never), SinkProperties { wants_holes: false, ..inner });
            }
        }
    }
}

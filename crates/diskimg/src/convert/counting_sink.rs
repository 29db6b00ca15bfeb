//! A sink that counts the bytes of a streamed conversion.

use std::ops::Range;

use diskimg_core::{BlockSink, Progress, Result, SinkProperties, range, zeros};

use super::byte_counts::ByteCounts;
use super::options::{Sparse, ZeroSearch};
use super::rate_limit::RateLimit;

/// Counts the bytes that a decoder writes, and applies the zero search of the options. Decoders search by the
/// granularity of their sink.
pub(super) struct CountingSink<'a> {
    pub(super) sink: &'a dyn BlockSink,
    pub(super) counts: &'a ByteCounts,
    pub(super) sparse: Sparse,
    pub(super) rate: Option<&'a RateLimit>,
    /// Stops a wait for the rate.
    pub(super) progress: &'a dyn Progress,
}

impl CountingSink<'_> {
    /// The search that decoders do not make: they search in steps of a power of two, and in no finer ones than 4 KiB.
    fn search(&self) -> Option<ZeroSearch> {
        let search = self.sparse.search().filter(|_| !self.sink.properties().stores_zeros)?;
        (search.step < zeros::GRANULARITY || !search.least.is_power_of_two()).then_some(search)
    }

    /// Waits until this many bytes may be written.
    fn wait(&self, bytes: u64) -> Result<()> {
        self.rate.map_or(Ok(()), |rate| rate.wait(bytes, self.progress))
    }

    /// Writes zeros as bytes.
    fn write_zeros(&self, range: Range<u64>) -> Result<()> {
        zeros::pieces(range).try_for_each(|(at, piece)| {
            self.wait(piece.len() as u64)?;
            self.counts.add(piece.len() as u64, &[]);
            self.sink.write_at(at, piece)
        })
    }
}

impl BlockSink for CountingSink<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut runs = Vec::new();
        if let Some(search) = self.search() {
            search.runs(data, offset, &mut runs);
        }
        let zeros: u64 = runs.iter().map(range::len).sum();
        self.wait((data.len() as u64).saturating_sub(zeros))?;
        self.counts.add(data.len() as u64, &runs);
        zeros::write_runs(self.sink, offset, data, &runs)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        if self.sink.properties().stores_zeros {
            return self.write_zeros(range);
        }
        self.counts.add_zeros(range::len(&range));
        self.sink.zero(range)
    }

    fn properties(&self) -> SinkProperties {
        let inner = self.sink.properties();
        match self.sparse {
            Sparse::Search(least) if least.is_power_of_two() && !inner.stores_zeros => {
                SinkProperties { granularity: inner.granularity.max(least), ..inner }
            }
            Sparse::Search(_) | Sparse::Never => SinkProperties { wants_holes: false, ..inner },
            Sparse::Auto => SinkProperties { wants_holes: inner.wants_holes && !inner.stores_zeros, ..inner },
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
                let inner =
                    SinkProperties { order, granularity: 8192, wants_holes, ..SinkProperties::default() };
                let of = |sparse| {
                    CountingSink {
                        sink: &NullSink(inner),
                        counts: &counts,
                        sparse,
                        rate: None,
                        progress: &(),
                    }
                    .properties()
                };
                assert_eq!(of(Sparse::Auto), inner);
                assert_eq!(of(Sparse::Search(4096)), inner);
                let coarse = SinkProperties { granularity: 65536, ..inner };
                assert_eq!(of(Sparse::Search(65536)), coarse);
                assert_eq!(of(Sparse::Never), SinkProperties { wants_holes: false, ..inner });
            }
        }
    }
}

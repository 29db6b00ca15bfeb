//! The worker threads of a conversion.

use std::ops::Range;

use diskimg_core::{
    Batch, BlockSink, BlockSource, Error, ErrorKind, Fault, Progress, Result, Segment, WriteOrder, range,
    zeros,
};

use super::byte_counts::ByteCounts;
use super::options::Sparse;
use super::rate_limit::RateLimit;
use super::segment_plan::{PlannedSegment, SegmentPlan};
use super::sequencer::Sequencer;

/// The state of a conversion that all workers share.
pub(super) struct Conversion<'a> {
    pub(super) source: &'a dyn BlockSource,
    pub(super) sink: &'a dyn BlockSink,
    pub(super) sparse: Sparse,
    /// True if zeros are written like other bytes.
    pub(super) stores_zeros: bool,
    /// True if the kernel may copy whole extents.
    pub(super) kernel_copies: bool,
    pub(super) rate: Option<RateLimit>,
    pub(super) plan: SegmentPlan<'a>,
    pub(super) sequencer: Sequencer,
    pub(super) progress: &'a dyn Progress,
    pub(super) counts: ByteCounts,
}

/// One worker thread: its buffer, and its batch if the sink has batches.
pub(super) struct ConvertWorker<'a> {
    conversion: &'a Conversion<'a>,
    batch: Option<Box<dyn Batch + 'a>>,
    buffer: Vec<u8>,
    zeros: Vec<Range<u64>>,
    segment: usize,
}

impl<'a> ConvertWorker<'a> {
    pub(super) fn new(conversion: &'a Conversion<'a>, segment: usize) -> Self {
        let mut batch = conversion.sink.batch();
        if let Some(batch) = &mut batch {
            if conversion.sparse != Sparse::Auto {
                batch.leave_out_known_zeros_only();
            }
        }
        Self { conversion, batch, buffer: Vec::new(), zeros: Vec::new(), segment }
    }

    /// Processes segments until there are no more or the work is stopped. A panic of a source or sink stops the
    /// other workers too, which would otherwise wait for this worker's turn.
    pub(super) fn run(mut self) {
        let stop = StopOnPanic(&self.conversion.sequencer);
        if let Err(error) = self.process_all() {
            self.conversion.sequencer.fail(error);
        }
        std::mem::forget(stop);
    }

    fn process_all(&mut self) -> Result<()> {
        while !self.conversion.sequencer.is_stopped() {
            let Some(planned) = self.conversion.plan.next()? else { break };
            let range = planned.range();
            self.process(&planned)?;
            self.conversion.progress.report(range::len(&range))?;
        }
        Ok(())
    }

    fn process(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        if self.batch.is_some() {
            self.batched(planned)
        } else if self.conversion.sink.properties().order == WriteOrder::Ascending {
            self.load(planned)?;
            let conversion = self.conversion;
            conversion.sequencer.in_turn(planned.number, || self.write(planned))
        } else {
            self.unordered(planned)
        }
    }

    /// Writes a segment to a sink that accepts any order, by a kernel copy if possible.
    fn unordered(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        let range = planned.range();
        if let Some(host) = planned.host().filter(|_| self.conversion.kernel_copies) {
            if self.conversion.sink.copy_from(range.start, host)? {
                self.conversion.counts.add_copied(range::len(&range));
                return Ok(());
            }
        }
        if self.is_hole(planned) || range::len(&range) <= self.segment as u64 {
            self.load(planned)?;
            return self.write(planned);
        }
        self.in_parts(planned)
    }

    /// Writes a long run that the kernel could not copy, one buffer at a time.
    fn in_parts(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        for extent in &planned.extents {
            let mut rest = *extent;
            while rest.len > 0 {
                let part = rest.truncated(self.segment as u64);
                rest = rest.without_first(part.len);
                let part = PlannedSegment { number: planned.number, extents: vec![part] };
                self.load(&part)?;
                self.write(&part)?;
            }
        }
        Ok(())
    }

    /// True if a segment reads as zeros and need not be written.
    fn is_hole(&self, planned: &PlannedSegment<'_>) -> bool {
        planned.is_zeros() && !self.conversion.stores_zeros
    }

    fn batched(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        self.load(planned)?;
        let range = planned.range();
        let len = range::len(&range);
        let segment = Segment { offset: range.start, len, bytes: &self.buffer, zeros: &self.zeros };
        let Some(batch) = &mut self.batch else { return Ok(()) };
        batch.prepare(&segment)?;
        self.conversion.sequencer.in_turn(planned.number, || batch.place(&segment))?;
        batch.write(&segment)?;
        self.conversion.counts.add(len, &self.zeros);
        Ok(())
    }

    /// Reads a segment into the buffer and finds its runs of zeros. Segments of zeros, and those that are in memory
    /// already and need no batch, are not read. Waits until the bytes may be written.
    fn load(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        self.read_segment(planned)?;
        let Some(rate) = &self.conversion.rate else { return Ok(()) };
        let zeros: u64 = self.zeros.iter().map(range::len).sum();
        let bytes = range::len(&planned.range()).saturating_sub(zeros);
        rate.wait(bytes, self.conversion.progress)
    }

    fn read_segment(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        self.zeros.clear();
        self.buffer.clear();
        let range = planned.range();
        if self.is_hole(planned) {
            self.zeros.push(range);
            return Ok(());
        }
        if self.batch.is_none() && planned.bytes().is_some() {
            return Ok(());
        }
        let len = range::buffer_len(&range);
        self.buffer.try_reserve(len).map_err(|_| no_memory(len))?;
        self.buffer.resize(len, 0);
        self.read(planned)?;
        match self.conversion.sparse.search() {
            _ if self.conversion.stores_zeros => {}
            Some(search) => search.runs(&self.buffer, range.start, &mut self.zeros),
            None => {
                for known in planned.extents.iter().filter(|extent| extent.kind.reads_as_zeros()) {
                    match self.zeros.last_mut().filter(|last| last.end == known.offset) {
                        Some(last) => last.end = known.end(),
                        None => self.zeros.push(known.range()),
                    }
                }
            }
        }
        if self.batch.is_some() && self.zeros.first() == Some(&range) {
            self.buffer.clear();
        }
        Ok(())
    }

    /// Reads the stored extents of a segment, adjacent ones in one call.
    fn read(&mut self, planned: &PlannedSegment<'_>) -> Result<()> {
        let base = planned.range().start;
        let mut extents = planned.extents.iter().filter(|extent| !extent.kind.reads_as_zeros()).peekable();
        while let Some(first) = extents.next() {
            let mut end = first.end();
            while let Some(next) = extents.next_if(|next| next.offset == end) {
                end = next.end();
            }
            if let Some(buf) = range::slice_mut(&mut self.buffer, base, &(first.offset..end)) {
                self.conversion.source.read_at(first.offset, buf)?;
            }
        }
        Ok(())
    }

    /// Writes a loaded segment: runs of zeros as zeros, the rest as bytes.
    fn write(&self, planned: &PlannedSegment<'_>) -> Result<()> {
        let range = planned.range();
        let conversion = self.conversion;
        if self.is_hole(planned) {
            conversion.counts.add_zeros(range::len(&range));
            return conversion.sink.zero(range);
        }
        let Some(bytes) = planned.bytes().filter(|_| self.buffer.is_empty()) else {
            conversion.counts.add(self.buffer.len() as u64, &self.zeros);
            return zeros::write_runs(conversion.sink, range.start, &self.buffer, &self.zeros);
        };
        let mut runs = Vec::new();
        if let Some(search) = conversion.sparse.search().filter(|_| !conversion.stores_zeros) {
            search.runs(bytes, range.start, &mut runs);
        }
        conversion.counts.add(bytes.len() as u64, &runs);
        zeros::write_runs(conversion.sink, range.start, bytes, &runs)
    }
}

/// Stops all workers when it is dropped, which happens only in a panic.
struct StopOnPanic<'a>(&'a Sequencer);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::new(ErrorKind::Internal).because("a worker of the conversion panicked"));
    }
}

fn no_memory(len: usize) -> Error {
    Error::new(ErrorKind::Limit)
        .field("buffer")
        .because(format_args!("no memory for {len} bytes"))
        .with_fault(Fault::Machine)
}

//! A sink for a disk that is smaller than the image it is written into.

use std::ops::Range;

use diskimg_core::{Batch, BlockSink, HostRange, Result, Segment, SinkProperties, range};

/// Fills the last unit of a disk with zeros. A batch takes a part of a unit only at the end of the image.
pub(super) struct PaddedSink {
    sink: Box<dyn BlockSink>,
    /// Size of the image in bytes.
    size: u64,
}

impl PaddedSink {
    pub(super) fn new(sink: Box<dyn BlockSink>, size: u64) -> Self {
        Self { sink, size }
    }
}

impl BlockSink for PaddedSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.sink.write_at(offset, data)
    }
    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.sink.zero(range)
    }
    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.sink.copy_from(offset, from)
    }
    fn properties(&self) -> SinkProperties {
        self.sink.properties()
    }
    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        let (unit, size) = (self.properties().granularity, self.size);
        let padded = |batch| PaddedBatch { batch, unit, size, bytes: Vec::new(), zeros: Vec::new() };
        Some(Box::new(padded(self.sink.batch()?)))
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.sink.finish()
    }
}

struct PaddedBatch<'a> {
    batch: Box<dyn Batch + 'a>,
    unit: u64,
    size: u64,
    bytes: Vec<u8>,
    zeros: Vec<Range<u64>>,
}

impl PaddedBatch<'_> {
    /// Calls `step` with a segment that ends with a unit or with the image.
    fn whole(
        &mut self,
        segment: &Segment<'_>,
        step: fn(&mut dyn Batch, &Segment<'_>) -> Result<()>,
    ) -> Result<()> {
        let whole_end = segment.end().checked_next_multiple_of(self.unit).unwrap_or(self.size).min(self.size);
        if whole_end <= segment.end() {
            return step(&mut *self.batch, segment);
        }
        let len = range::len(&(segment.offset..whole_end));
        self.zeros.clear();
        self.zeros.extend_from_slice(segment.zeros);
        match self.zeros.last_mut() {
            Some(last) if last.end == segment.end() => last.end = whole_end,
            _ => self.zeros.push(segment.end()..whole_end),
        }
        self.bytes.clear();
        if !segment.is_zeros() {
            self.bytes.extend_from_slice(segment.bytes);
            self.bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        }
        let whole = Segment { offset: segment.offset, len, bytes: &self.bytes, zeros: &self.zeros };
        step(&mut *self.batch, &whole)
    }
}

impl Batch for PaddedBatch<'_> {
    fn leave_out_known_zeros_only(&mut self) {
        self.batch.leave_out_known_zeros_only();
    }
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.whole(segment, |batch, whole| batch.prepare(whole))
    }
    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.whole(segment, |batch, whole| batch.place(whole))
    }
    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.whole(segment, |batch, whole| batch.write(whole))
    }
}

//! Writes decoded guest bytes to a sink, with runs of zeros as holes.

use std::ops::Range;

use crate::{BlockSink, Result, range, zeros};

/// The maximum number of bytes collected before a write. Our limit: the largest unit of the sinks in this workspace, a
/// qcow2 cluster of 2 MiB.
const MAX_UNIT: usize = 2 << 20;

/// Writes the output of a [`crate::StreamDecoder`] to its sink.
///
/// If [`crate::SinkProperties::wants_holes`] is set, data is searched for zeros in steps of the sink's granularity,
/// at least [`zeros::GRANULARITY`], and each run found goes to [`BlockSink::zero`].
///
/// [`StreamWriter::append`] and [`StreamWriter::append_zeros`] collect contiguous pieces into whole units of the sink;
/// [`StreamWriter::flush`] ends with the last, partial one. [`StreamWriter::write`] writes immediately.
///
/// ```
/// use diskimg_core::{MemorySink, StreamWriter};
/// let sink = MemorySink::new(1 << 20);
/// let mut writer = StreamWriter::default();
/// writer.append(0, b"di", &sink)?;
/// writer.append(2, b"sk", &sink)?;
/// assert!(sink.bytes().is_empty());
/// writer.append_zeros(4..6, &sink)?;
/// writer.flush(&sink)?;
/// assert_eq!(sink.bytes(), b"disk\0\0");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct StreamWriter {
    /// Guest offset of the first pending byte.
    position: u64,
    /// The beginning of a unit, or of a part of one.
    pending: Vec<u8>,
    /// Kept for its memory.
    runs: Vec<Range<u64>>,
}

impl StreamWriter {
    /// Writes `bytes` at guest offset `offset` without collecting them. For decoders whose pieces are whole units.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn write(&mut self, offset: u64, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        write(offset, bytes, &mut self.runs, sink)
    }

    /// Appends `bytes` at guest offset `offset`. If it does not continue the pending bytes, these are written first.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn append(&mut self, offset: u64, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        self.move_to(offset, sink)?;
        let unit = unit(sink);
        let (head, rest) = bytes.split_at_checked(to_next_unit(offset, unit)).unwrap_or((bytes, &[]));
        self.pending.extend_from_slice(head);
        if to_next_unit(self.end(), unit) == 0 {
            self.flush(sink)?;
        }
        let whole = rest.len().saturating_sub(rest.len().checked_rem(unit).unwrap_or(0));
        let (units, tail) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        write(self.position, units, &mut self.runs, sink)?;
        self.position = self.position.saturating_add(units.len() as u64);
        self.pending.extend_from_slice(tail);
        Ok(())
    }

    /// Appends a guest range of zeros. Whole units go to [`BlockSink::zero`]; the zeros before and after them share
    /// a unit with data and are written with it.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn append_zeros(&mut self, range: Range<u64>, sink: &dyn BlockSink) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.move_to(range.start, sink)?;
        let unit = unit(sink);
        let head = range.start.saturating_add(to_next_unit(range.start, unit) as u64);
        self.pad_to(head.min(range.end));
        if head > range.end {
            return Ok(());
        }
        self.flush(sink)?;
        let past = range.end.checked_rem(unit as u64).unwrap_or(0);
        let tail = range.end.saturating_sub(past).max(head);
        if head < tail {
            sink.zero(head..tail)?;
            self.position = tail;
        }
        self.pad_to(range.end);
        Ok(())
    }

    /// Writes the pending bytes.
    ///
    /// # Errors
    /// Those of the sink; the bytes are no longer pending then.
    pub fn flush(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let written = write(self.position, &self.pending, &mut self.runs, sink);
        self.position = self.end();
        self.pending.clear();
        written
    }

    /// The guest offset after the last pending byte.
    fn end(&self) -> u64 {
        self.position.saturating_add(self.pending.len() as u64)
    }

    fn move_to(&mut self, offset: u64, sink: &dyn BlockSink) -> Result<()> {
        if self.end() != offset {
            self.flush(sink)?;
            self.position = offset;
        }
        Ok(())
    }

    /// Appends zeros up to guest offset `end`, less than a unit.
    fn pad_to(&mut self, end: u64) {
        let len = range::buffer_len(&(self.position..end));
        self.pending.resize(len.max(self.pending.len()), 0);
    }
}

fn write(offset: u64, bytes: &[u8], runs: &mut Vec<Range<u64>>, sink: &dyn BlockSink) -> Result<()> {
    runs.clear();
    if sink.properties().wants_holes {
        zeros::runs(bytes, unit(sink), offset, runs);
    }
    zeros::write_runs(sink, offset, bytes, runs)
}

/// The unit in which bytes are collected and searched for zeros.
fn unit(sink: &dyn BlockSink) -> usize {
    usize::try_from(sink.properties().granularity)
        .map_or(MAX_UNIT, |unit| unit.clamp(zeros::GRANULARITY, MAX_UNIT))
}

/// The distance from `at` to the next multiple of `unit`; 0 at a multiple.
fn to_next_unit(at: u64, unit: usize) -> usize {
    let past = at.checked_rem(unit as u64).unwrap_or(0);
    if past == 0 { 0 } else { unit.saturating_sub(usize::try_from(past).unwrap_or(unit)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SinkProperties, WriteOrder};
    use std::sync::Mutex;

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum RecordedCall {
        Write(Range<u64>),
        Zero(Range<u64>),
    }
    use RecordedCall::{Write, Zero};

    /// Records its calls.
    struct Calls {
        properties: SinkProperties,
        calls: Mutex<Vec<RecordedCall>>,
    }

    impl Calls {
        fn new(granularity: u64, wants_holes: bool) -> Self {
            let order = WriteOrder::Ascending;
            let properties = SinkProperties { order, granularity, wants_holes, ..SinkProperties::default() };
            Self { properties, calls: Mutex::default() }
        }

        fn take(&self) -> Vec<RecordedCall> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    impl BlockSink for Calls {
        fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
            self.calls.lock().unwrap().push(Write(offset..offset + data.len() as u64));
            Ok(())
        }
        fn zero(&self, range: Range<u64>) -> Result<()> {
            self.calls.lock().unwrap().push(Zero(range));
            Ok(())
        }
        fn properties(&self) -> SinkProperties {
            self.properties
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn appended_pieces_reach_the_sink_in_whole_units() {
        let (sink, mut writer) = (Calls::new(8192, true), StreamWriter::default());
        for offset in (0..20_000).step_by(1000) {
            writer.append(offset, &[1; 1000], &sink).unwrap();
        }
        assert_eq!(sink.take(), [Write(0..8192), Write(8192..16_384)]);
        writer.flush(&sink).unwrap();
        writer.flush(&sink).unwrap();
        assert_eq!(sink.take(), [Write(16_384..20_000)]);
        writer.append(16_384, &[1; 30_000], &sink).unwrap();
        assert_eq!(sink.take(), [Write(16_384..40_960)]);
    }

    #[test]
    fn pieces_apart_are_written_apart() {
        let (sink, mut writer) = (Calls::new(4096, true), StreamWriter::default());
        writer.append(5000, &[1; 10], &sink).unwrap();
        writer.append(100, &[1; 10], &sink).unwrap();
        writer.flush(&sink).unwrap();
        assert_eq!(sink.take(), [Write(5000..5010), Write(100..110)]);
    }

    #[test]
    fn zeros_in_data_become_holes_in_steps_of_the_unit() {
        let mut bytes = vec![1; 32 << 10];
        bytes[1..20_000].fill(0);
        for (granularity, holes) in [(1, Zero(4096..16_384)), (8192, Zero(8192..16_384))] {
            let (sink, mut writer) = (Calls::new(granularity, true), StreamWriter::default());
            writer.write(0, &bytes, &sink).unwrap();
            let Zero(hole) = holes.clone() else { unreachable!() };
            assert_eq!(sink.take(), [Write(0..hole.start), holes, Write(hole.end..32 << 10)]);
        }
    }

    #[test]
    fn sink_without_holes_gets_zeros_in_data_as_data() {
        let (sink, mut writer) = (Calls::new(4096, false), StreamWriter::default());
        writer.write(0, &[0; 8192], &sink).unwrap();
        writer.append(8192, &[0; 8192], &sink).unwrap();
        assert_eq!(sink.take(), [Write(0..8192), Write(8192..16_384)]);
        writer.append_zeros(16_384..24_576, &sink).unwrap();
        assert_eq!(sink.take(), [Zero(16_384..24_576)]);
    }

    #[test]
    fn appended_zeros_share_units_with_data_on_both_sides() {
        let (sink, mut writer) = (Calls::new(4096, true), StreamWriter::default());
        writer.append(0, &[1; 100], &sink).unwrap();
        writer.append_zeros(100..100, &sink).unwrap();
        writer.append_zeros(100..9000, &sink).unwrap();
        assert_eq!(sink.take(), [Write(0..4096), Zero(4096..8192)]);
        writer.append(9000, &[1; 4000], &sink).unwrap();
        assert_eq!(sink.take(), [Write(8192..12_288)]);
        writer.append_zeros(13_000..13_010, &sink).unwrap();
        writer.flush(&sink).unwrap();
        assert_eq!(sink.take(), [Write(12_288..13_010)]);
    }

    #[test]
    fn unit_is_at_most_the_largest_cluster() {
        let (sink, mut writer) = (Calls::new(1 << 40, true), StreamWriter::default());
        writer.append(0, &vec![1; MAX_UNIT + 1], &sink).unwrap();
        assert_eq!(sink.take(), [Write(0..MAX_UNIT as u64)]);
    }
}

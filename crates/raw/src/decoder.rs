//! A raw disk that arrives once, in order.

use std::ops::Range;

use diskimg_core::{BlockSink, Error, ErrorKind, Limits, Result, StreamDecoder, zeros};

use crate::driver::RAW;

/// Most bytes collected before they are written. A bound of ours: the largest unit of any sink here, a qcow2
/// cluster of 2 MiB.
const MOST: usize = 2 << 20;

/// Writes what arrives, in whole units of the sink and with runs of zeros told as such.
pub(crate) struct RawDecoder {
    limits: Limits,
    /// Bytes written so far: a multiple of the unit until the end.
    position: u64,
    /// The beginning of the next unit.
    pending: Vec<u8>,
    runs: Vec<Range<u64>>,
}

impl RawDecoder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), position: 0, pending: Vec::new(), runs: Vec::new() }
    }

    /// Where zeros are looked for, and what is written together.
    fn unit(sink: &dyn BlockSink) -> usize {
        usize::try_from(sink.granularity()).map_or(MOST, |unit| unit.clamp(zeros::GRANULARITY, MOST))
    }

    /// Writes `bytes` at the position, runs of zeros as such.
    fn emit(
        position: &mut u64,
        runs: &mut Vec<Range<u64>>,
        bytes: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        runs.clear();
        if sink.wants_holes() {
            zeros::runs(bytes, Self::unit(sink), *position, runs);
        }
        let end = position.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        for run in runs.iter().cloned().chain(std::iter::once(end..end)) {
            let len = usize::try_from(run.start.saturating_sub(*position)).unwrap_or(usize::MAX);
            let (data, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if !data.is_empty() {
                sink.write_at(*position, data)?;
            }
            if !run.is_empty() {
                sink.zero(run.clone())?;
            }
            let zeros = usize::try_from(run.end.saturating_sub(run.start)).unwrap_or(usize::MAX);
            rest = behind.get(zeros..).unwrap_or_default();
            *position = run.end;
        }
        Ok(())
    }
}

impl StreamDecoder for RawDecoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let total =
            self.position.saturating_add(self.pending.len() as u64).saturating_add(input.len() as u64);
        self.limits.check_virtual_size(total).map_err(|error| error.format(RAW))?;
        let unit = Self::unit(sink);
        let mut input = input;
        if !self.pending.is_empty() {
            let missing = unit.saturating_sub(self.pending.len());
            let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            self.pending.extend_from_slice(taken);
            input = rest;
            if self.pending.len() < unit {
                return Ok(());
            }
            Self::emit(&mut self.position, &mut self.runs, &self.pending, sink)?;
            self.pending.clear();
        }
        let whole = input.len().saturating_sub(input.len() % unit);
        let (units, rest) = input.split_at_checked(whole).unwrap_or((input, &[]));
        Self::emit(&mut self.position, &mut self.runs, units, sink)?;
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        Self::emit(&mut self.position, &mut self.runs, &self.pending, sink)?;
        self.pending.clear();
        if self.position == 0 {
            return Err(empty_image());
        }
        Ok(self.position)
    }

    fn ascends(&self) -> bool {
        true
    }
}

/// No disk has no bytes: whoever sends none has lost them on the way.
pub(crate) fn empty_image() -> Error {
    Error::new(ErrorKind::Truncated).format(RAW).because("empty image: there is not a single byte")
}

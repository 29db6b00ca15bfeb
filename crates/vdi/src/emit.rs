//! Passing guest bytes on to a sink in whole units, however they come in.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, zeros};

/// Most bytes collected before they are written. A bound of ours: the largest unit of any sink here, a qcow2
/// cluster of 2 MiB.
const MOST: usize = 2 << 20;

/// Collects what continues what came before, so that a sink gets whole units of its own where the disk has
/// them, with runs of zeros told as such.
#[derive(Default)]
pub(crate) struct Emitter {
    /// Guest offset of the first byte that is collected.
    position: u64,
    pending: Vec<u8>,
    runs: Vec<Range<u64>>,
}

impl Emitter {
    /// Takes the guest bytes at `offset`.
    pub(crate) fn data(&mut self, offset: u64, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        self.continue_at(offset, sink)?;
        let unit = unit(sink);
        let mut rest = bytes;
        while !rest.is_empty() {
            // Up to the next multiple of the unit on the disk.
            let end = self.position.saturating_add(self.pending.len() as u64);
            let past = usize::try_from(end.checked_rem(unit as u64).unwrap_or(0)).unwrap_or(0);
            let missing = unit.saturating_sub(past);
            if self.pending.is_empty() && past == 0 && rest.len() >= unit {
                let whole = rest.len().saturating_sub(rest.len().checked_rem(unit).unwrap_or(0));
                let (now, later) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
                self.write(now, sink)?;
                rest = later;
                continue;
            }
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(now);
            if now.len() == missing {
                self.flush(sink)?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Takes a guest range of zeros.
    pub(crate) fn zeros(&mut self, range: Range<u64>, sink: &dyn BlockSink) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.continue_at(range.start, sink)?;
        let unit = unit(sink) as u64;
        let past = |at: u64| at.checked_rem(unit).unwrap_or(0);
        // Zeros that share a unit with data go along with it, before and behind.
        let head = range.start.saturating_add(match past(range.start) {
            0 => 0,
            past => unit.saturating_sub(past),
        });
        self.fill(head.min(range.end).saturating_sub(range.start));
        if head > range.end {
            return Ok(());
        }
        self.flush(sink)?;
        let tail = range.end.saturating_sub(past(range.end)).max(head);
        if head < tail {
            sink.zero(head..tail)?;
            self.position = tail;
        }
        self.fill(range.end.saturating_sub(tail));
        Ok(())
    }

    /// Collects zeros, fewer than a unit of them.
    fn fill(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(0);
        self.pending.resize(self.pending.len().saturating_add(len), 0);
    }

    /// Writes what is collected.
    pub(crate) fn flush(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let written = self.write(&pending, sink);
        self.pending = pending;
        self.pending.clear();
        written
    }

    fn continue_at(&mut self, offset: u64, sink: &dyn BlockSink) -> Result<()> {
        if self.position.saturating_add(self.pending.len() as u64) != offset {
            self.flush(sink)?;
            self.position = offset;
        }
        Ok(())
    }

    /// Writes `bytes` at the position, runs of zeros as such.
    fn write(&mut self, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        self.runs.clear();
        if sink.wants_holes() {
            zeros::runs(bytes, unit(sink), self.position, &mut self.runs);
        }
        let end = self.position.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        for run in self.runs.iter().cloned().chain(std::iter::once(end..end)) {
            let len = usize::try_from(run.start.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let (data, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if !data.is_empty() {
                sink.write_at(self.position, data)?;
            }
            if !run.is_empty() {
                sink.zero(run.clone())?;
            }
            let zeros = usize::try_from(run.end.saturating_sub(run.start)).unwrap_or(usize::MAX);
            rest = behind.get(zeros..).unwrap_or_default();
            self.position = run.end;
        }
        Ok(())
    }
}

/// Where zeros are looked for, and what is written together.
fn unit(sink: &dyn BlockSink) -> usize {
    usize::try_from(sink.granularity()).map_or(MOST, |unit| unit.clamp(zeros::GRANULARITY, MOST))
}

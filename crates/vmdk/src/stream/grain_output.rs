//! Decompresses grains and writes them to the sink.

use std::ops::Range;

use diskimg_codec::cluster::Inflater;
use diskimg_core::{BlockSink, Fault, GuestOffset, HostOffset, Remedy, Result, StreamWriter, WriteOrder};

use crate::errors::{limit, needs_seek};
use crate::grain_codec::inflate;

/// Decompresses grains and writes them to the sink.
pub(super) struct GrainOutput {
    inflater: Inflater,
    grain: Vec<u8>,
    writer: StreamWriter,
    /// The end of the highest guest range written so far.
    end: GuestOffset,
}

impl GrainOutput {
    /// An output of grains of `grain_bytes`, which the checks of the header limit.
    pub(super) fn new(grain_bytes: u64) -> Result<Self> {
        let no_memory = || {
            limit("grain size").found(grain_bytes).because("no memory for a grain").with_fault(Fault::Machine)
        };
        let len = usize::try_from(grain_bytes).map_err(|_| no_memory())?;
        let mut grain = Vec::new();
        grain.try_reserve_exact(len).map_err(|_| no_memory())?;
        grain.resize(len, 0);
        let (inflater, writer) = (Inflater::new(), StreamWriter::default());
        Ok(Self { inflater, grain, writer, end: GuestOffset(0) })
    }

    /// Decompresses the grain of guest range `guest`, whose marker is at `at`, and writes it.
    pub(super) fn write_grain(
        &mut self,
        guest: Range<GuestOffset>,
        at: HostOffset,
        compressed: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        self.zero_gap(guest.start, at, sink)?;
        let bytes = inflate(&mut self.inflater, compressed, at, &guest, &mut self.grain)?;
        self.writer.write(guest.start.0, bytes, sink)?;
        self.end = self.end.max(guest.end);
        Ok(())
    }

    /// Zeroes the disk from the last grain to `size`.
    pub(super) fn finish(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        if self.end.0 < size {
            sink.zero(self.end.0..size)?;
            self.end = GuestOffset(size);
        }
        Ok(())
    }

    /// Zeroes the gap before a grain, if the sink accepts only ascending offsets.
    fn zero_gap(&mut self, start: GuestOffset, at: HostOffset, sink: &dyn BlockSink) -> Result<()> {
        if sink.properties().order == WriteOrder::Any {
            return Ok(());
        }
        if start < self.end {
            return Err(needs_seek("grain order")
                .at(at.0)
                .guest(start.0)
                .because("the grains are not in guest order, and the target accepts no other")
                .with_remedy(Remedy::WriteOrReadFile));
        }
        if start > self.end {
            sink.zero(self.end.0..start.0)?;
        }
        Ok(())
    }
}

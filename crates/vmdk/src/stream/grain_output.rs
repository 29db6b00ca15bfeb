//! Decompresses grains and writes them to the sink.

use std::ops::Range;

use diskimg_codec::cluster::Inflater;
use diskimg_core::{
    BlockSink, Error, GuestOffset, HostOffset, Remedy, Result, StreamWriter, WriteOrder, range,
};

use crate::errors::{FORMAT, corrupt, limit, needs_seek};

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
        let no_memory = || limit("grain size").found(grain_bytes).because("no memory for a grain");
        let len = usize::try_from(grain_bytes).map_err(|_| no_memory())?;
        let mut grain = Vec::new();
        grain.try_reserve_exact(len).map_err(|_| no_memory())?;
        grain.resize(len, 0);
        let (inflater, writer) = (Inflater::new(), StreamWriter::default());
        Ok(Self { inflater, grain, writer, end: GuestOffset(0) })
    }

    /// Decompresses the grain of guest range `guest`, whose marker is at `at`, and writes it. Bytes past the range are
    /// dropped: the last grain may have been compressed with or without the bytes past the end of the disk.
    pub(super) fn write_grain(
        &mut self,
        guest: Range<u64>,
        at: HostOffset,
        compressed: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let place = |error: Error| error.format(FORMAT).field("compressed grain").at(at.0).guest(guest.start);
        self.zero_gap(GuestOffset(guest.start), at, sink)?;
        let len = self.inflater.zlib(compressed, &mut self.grain).map_err(place)?;
        let needed = range::buffer_len(&guest);
        let Some(bytes) = self.grain.get(..needed).filter(|_| len >= needed) else {
            let (found, expected) = (format!("{len} bytes"), format!("at least {needed}"));
            return Err(place(corrupt("compressed grain").found(found).expected(expected)));
        };
        self.writer.write(guest.start, bytes, sink)?;
        self.end = self.end.max(GuestOffset(guest.end));
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

//! Grains on their way into a sink.

use std::ops::Range;

use diskimg_codec::cluster::Inflater;
use diskimg_core::{BlockSink, Error, ErrorKind, Remedy, Result, StreamWriter, WriteOrder};

use crate::errors::{FORMAT, corrupt, limit};

/// Inflates grains and writes them.
pub(super) struct Output {
    inflater: Inflater,
    grain: Vec<u8>,
    writer: StreamWriter,
    /// The end of the last byte that was written or zeroed, and the highest one of all.
    written: u64,
}

impl Output {
    /// An output of grains of `grain_bytes`, a number that the header's checks have bounded.
    pub(super) fn new(grain_bytes: u64) -> Result<Self> {
        let no_memory = || limit("grain size").found(grain_bytes).because("no memory for a grain");
        let len = usize::try_from(grain_bytes).map_err(|_| no_memory())?;
        let mut grain = Vec::new();
        grain.try_reserve_exact(len).map_err(|_| no_memory())?;
        grain.resize(len, 0);
        Ok(Self { inflater: Inflater::new(), grain, writer: StreamWriter::default(), written: 0 })
    }

    /// Inflates the grain at `guest`, whose marker is at byte `at`, and writes the bytes of it that the disk
    /// has. A grain at the end of the disk may have been compressed with or without what lies behind it.
    pub(super) fn grain(
        &mut self,
        guest: Range<u64>,
        at: u64,
        compressed: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let place = |error: Error| error.format(FORMAT).field("compressed grain").at(at).guest(guest.start);
        self.start(guest.start, at, sink)?;
        let len = self.inflater.zlib(compressed, &mut self.grain).map_err(place)?;
        let needed = usize::try_from(guest.end.saturating_sub(guest.start)).unwrap_or(usize::MAX);
        let Some(bytes) = self.grain.get(..needed).filter(|_| len >= needed) else {
            return Err(corrupt("compressed grain")
                .at(at)
                .guest(guest.start)
                .found(format_args!("{len} bytes"))
                .expected(format_args!("at least {needed}")));
        };
        self.writer.write(guest.start, bytes, sink)?;
        self.written = self.written.max(guest.end);
        Ok(())
    }

    /// Everything up to `size` that was not mentioned is zeros.
    pub(super) fn finish(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        if self.written < size {
            sink.zero(self.written..size)?;
            self.written = size;
        }
        Ok(())
    }

    /// In a sink that takes no steps back, the gap in front of a grain is zeroed now.
    fn start(&mut self, start: u64, at: u64, sink: &dyn BlockSink) -> Result<()> {
        if sink.properties().order == WriteOrder::Any {
            return Ok(());
        }
        if start < self.written {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("grain order")
                .at(at)
                .guest(start)
                .because("the grains are not in the order of the disk, and the target takes no other")
                .with_remedy(Remedy::WriteOrReadFile));
        }
        if start > self.written {
            sink.zero(self.written..start)?;
        }
        Ok(())
    }
}

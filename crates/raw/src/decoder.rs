//! Decodes a streamed raw disk.

use diskimg_core::{BlockSink, Limits, Result, StreamDecoder, StreamWriter};

use crate::error::empty_stream;
use crate::format::RAW;

/// Writes the stream in whole units of the sink, with runs of zeros as holes.
pub(crate) struct RawDecoder {
    limits: Limits,
    /// The number of bytes pushed so far.
    size: u64,
    writer: StreamWriter,
}

impl RawDecoder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), size: 0, writer: StreamWriter::default() }
    }
}

impl StreamDecoder for RawDecoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        // No stream reaches 2^64 bytes: the limit is below.
        let size = self.size.saturating_add(input.len() as u64);
        self.limits.check_virtual_size(size).map_err(|error| error.format(RAW))?;
        self.writer.append(self.size, input, sink)?;
        self.size = size;
        Ok(())
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        self.writer.flush(sink)?;
        if self.size == 0 {
            return Err(empty_stream());
        }
        Ok(self.size)
    }

    fn ascends(&self) -> bool {
        true
    }
}

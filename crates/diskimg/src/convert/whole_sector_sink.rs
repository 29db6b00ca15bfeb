//! A raw file whose length becomes known at its end and is rounded up.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::{BlockSink, HostRange, Result, SinkProperties};
use diskimg_raw::MAX_FILE_LEN;

/// The unit of the length of a raw file in QEMU, in bytes.
const SECTOR: u64 = 512;

/// Rounds a length up to whole sectors, unless no file is that long.
pub(super) fn whole_sectors(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(SECTOR).filter(|bytes| *bytes <= MAX_FILE_LEN).unwrap_or(bytes)
}

/// Appends zeros up to whole sectors when the disk is complete. It has no batches: they would bypass `end`, and the sinks
/// of files have none.
pub(super) struct WholeSectorSink {
    sink: Box<dyn BlockSink>,
    /// The end of the highest range written or zeroed.
    end: AtomicU64,
}

impl WholeSectorSink {
    pub(super) fn new(sink: Box<dyn BlockSink>) -> Self {
        Self { sink, end: AtomicU64::new(0) }
    }

    fn extend(&self, offset: u64, len: u64) {
        if len > 0 {
            self.end.fetch_max(offset.saturating_add(len), Ordering::Relaxed);
        }
    }
}

impl BlockSink for WholeSectorSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.extend(offset, data.len() as u64);
        self.sink.write_at(offset, data)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.extend(range.start, range.end.saturating_sub(range.start));
        self.sink.zero(range)
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        self.extend(offset, from.len);
        self.sink.copy_from(offset, from)
    }

    fn properties(&self) -> SinkProperties {
        self.sink.properties()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let end = self.end.load(Ordering::Relaxed);
        if end < whole_sectors(end) {
            self.sink.zero(end..whole_sectors(end))?;
        }
        self.sink.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::MemorySink;

    #[test]
    fn length_is_rounded_up_with_zeros() {
        for (len, expected) in [(0, 0), (1, 512), (511, 512), (512, 512), (513, 1024), (1_000_000, 1_000_448)]
        {
            let kept = MemorySink::new(2 << 20);
            let sink = WholeSectorSink::new(Box::new(kept.clone()));
            sink.write_at(0, &vec![7; len]).unwrap();
            sink.zero(0..0).unwrap();
            Box::new(sink).finish().unwrap();
            let bytes = kept.bytes();
            assert_eq!(bytes.len(), expected, "{len}");
            assert!(bytes[..len].iter().all(|byte| *byte == 7) && bytes[len..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn properties_are_those_of_the_sink_below() {
        diskimg_core::conformance::forwards_properties(&|sink| Box::new(WholeSectorSink::new(sink)));
    }
}

//! Writes guest data to the sink.

use std::ops::Range;

use diskimg_codec::units::CompressedUnit;
use diskimg_core::{BlockSink, Result, StreamWriter};

use crate::addr::{Geometry, GuestOffset};
use crate::cluster_codec::ClusterCodec;

/// Writes guest data and zeros to the sink and decompresses clusters. Bytes past the end of the disk are dropped.
pub(super) struct GuestOutput {
    /// Virtual size in bytes.
    size: u64,
    cluster_size: usize,
    codec: ClusterCodec,
    writer: StreamWriter,
    /// A guest range of zeros that has not been passed to the sink yet.
    zeros: Range<u64>,
    /// A decompressed cluster.
    cluster: Vec<u8>,
}

impl GuestOutput {
    pub(super) fn new(size: u64, geometry: Geometry, codec: ClusterCodec) -> Self {
        Self {
            size,
            cluster_size: usize::try_from(geometry.cluster_size()).unwrap_or_default(),
            codec,
            writer: StreamWriter::default(),
            zeros: 0..0,
            cluster: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, guest: GuestOffset, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let room = usize::try_from(self.size.saturating_sub(guest.0)).unwrap_or(usize::MAX);
        self.writer.write(guest.0, bytes.get(..room).unwrap_or(bytes), sink)
    }

    /// Decompresses the cluster whose compressed form is `bytes` and writes it.
    pub(super) fn decompress(
        &mut self,
        unit: &CompressedUnit,
        guest: GuestOffset,
        bytes: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let mut cluster = std::mem::take(&mut self.cluster);
        cluster.resize(self.cluster_size, 0);
        self.codec.decode(unit, guest, bytes, &mut cluster)?;
        self.write(guest, &cluster, sink)?;
        self.cluster = cluster;
        Ok(())
    }

    /// Makes a guest range read as zeros. Adjacent ranges are merged into one call of the sink.
    pub(super) fn zero(&mut self, guest: Range<u64>, sink: &dyn BlockSink) -> Result<()> {
        if self.zeros.end != guest.start {
            self.flush_zeros(sink)?;
            self.zeros.start = guest.start;
        }
        self.zeros.end = guest.end;
        Ok(())
    }

    pub(super) fn flush_zeros(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let zeros = std::mem::replace(&mut self.zeros, 0..0);
        let zeros = zeros.start..zeros.end.min(self.size);
        if zeros.is_empty() { Ok(()) } else { sink.zero(zeros) }
    }
}

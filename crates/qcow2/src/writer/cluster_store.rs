//! Stores segments of the disk in clusters of the file.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::writer::{
    DiskUnits, EncodeBuffer, ImageFile, PreparedSegment, SegmentUnit, UnitImage, UnitPadding, WritePlan, lock,
};
use diskimg_core::{BlockSink, Result, zeros};

use super::cluster_encoder::ClusterEncoder;
use super::guest_map::{ALL_SUBCLUSTERS, ClusterPlacement, GuestMap};
use super::image_geometry::ImageGeometry;
use crate::addr::GuestOffset;
use crate::errors::FORMAT;

/// Complete tables are written during placement once they exceed this many bytes. Our limit: a segment of zeros may
/// be the whole disk, and with a backing file each of its clusters has an entry.
const MAX_PLANNED_TABLES: u64 = 32 << 20;

/// The clusters of an image being written.
pub(super) struct ClusterStore {
    pub(super) geometry: ImageGeometry,
    pub(super) map: Mutex<GuestMap>,
    file: ImageFile,
}

/// A worker's compressor, and the last cluster of the disk padded with zeros.
pub(super) struct JobEncoder(Option<(ClusterEncoder, UnitPadding)>);

impl JobEncoder {
    /// Stores all clusters verbatim without `encoder`.
    pub(super) fn new(encoder: Option<ClusterEncoder>) -> Self {
        Self(encoder.map(|encoder| (encoder, UnitPadding::default())))
    }
}

/// An encoded cluster.
pub(super) enum EncodedCluster {
    /// To be stored verbatim; a bit for each subcluster that is not all zeros.
    Verbatim(u32),
    /// Compressed, with its range in the job's buffer.
    Compressed(Range<usize>),
}

impl ClusterStore {
    /// A store over an empty sink.
    pub(super) fn new(geometry: ImageGeometry, map: GuestMap, sink: Box<dyn BlockSink>) -> Self {
        Self { geometry, map: Mutex::new(map), file: ImageFile::new(FORMAT, sink) }
    }

    pub(super) fn into_file(self) -> ImageFile {
        self.file
    }

    /// Makes clusters read as zeros, one L2 table at a time so that complete tables can leave memory.
    fn zero_by_tables(
        &self,
        map: &mut GuestMap,
        clusters: Range<u64>,
        in_order: bool,
        plan: &mut WritePlan,
    ) -> Result<()> {
        if !map.records_zeros() {
            return map.zero(clusters, plan);
        }
        let entries = self.geometry.clusters.l2_entries();
        let mut at = clusters.start;
        while at < clusters.end {
            let next = at.saturating_add(1).next_multiple_of(entries).min(clusters.end);
            map.zero(at..next, plan)?;
            at = next;
            if in_order {
                map.complete_below(self.geometry.clusters.guest_start(at), plan);
                if plan.only_metadata().is_some_and(|bytes| bytes > MAX_PLANNED_TABLES) {
                    plan.execute_without_guest(&self.file, &EncodeBuffer::default())?;
                }
            }
        }
        Ok(())
    }

    /// A bit for each subcluster that is not all zeros; all bits if clusters have no subclusters.
    fn written_subclusters(&self, bytes: &[u8]) -> u32 {
        let clusters = self.geometry.clusters;
        if !clusters.extended_l2() || self.file.stores_zeros() {
            return ALL_SUBCLUSTERS;
        }
        let subclusters = bytes.chunks(1 << clusters.subcluster_bits());
        let bits = subclusters.zip(0..u32::BITS).map(|(bytes, bit)| u32::from(!zeros::is_zero(bytes)) << bit);
        bits.fold(0, |written, bit| written | bit)
    }
}

impl UnitImage for ClusterStore {
    type UnitEncoder = JobEncoder;
    type EncodedUnit = EncodedCluster;

    fn units(&self) -> DiskUnits {
        let unit_bytes = self.geometry.clusters.cluster_size();
        DiskUnits { format: FORMAT, disk_bytes: self.geometry.size, unit_bytes, name: "cluster" }
    }

    fn file(&self) -> &ImageFile {
        &self.file
    }

    fn encode(
        &self,
        encoder: &mut JobEncoder,
        _: GuestOffset,
        bytes: &[u8],
        buffer: &mut EncodeBuffer,
    ) -> Result<EncodedCluster> {
        if let Some((encoder, padding)) = &mut encoder.0 {
            let cluster_bytes = 1 << self.geometry.clusters.cluster_bits();
            let cluster = padding.whole_unit(bytes, cluster_bytes);
            // One byte less than a cluster: compression must save something.
            let room = cluster_bytes.saturating_sub(1);
            if let Some(compressed) = buffer.append(room, |output| encoder.encode(cluster, output))? {
                return Ok(EncodedCluster::Compressed(compressed));
            }
        }
        Ok(EncodedCluster::Verbatim(self.written_subclusters(bytes)))
    }

    fn place(&self, segment: &PreparedSegment<'_, EncodedCluster>, plan: &mut WritePlan) -> Result<()> {
        let clusters = self.geometry.clusters;
        let mut map = lock(&self.map);
        for unit in segment.units {
            let (guest, encoded) = match unit {
                SegmentUnit::Zeros(range) => {
                    let end = range.end.0.div_ceil(clusters.cluster_size());
                    let zeros = clusters.cluster_index(range.start)..end;
                    self.zero_by_tables(&mut map, zeros, segment.in_order, plan)?;
                    continue;
                }
                SegmentUnit::Data { guest, encoded } => (guest, encoded),
            };
            let cluster = clusters.cluster_index(guest.start);
            let (placement, buffer) = match encoded {
                EncodedCluster::Verbatim(written) => (map.allocate(cluster, *written, plan)?, 0..0),
                EncodedCluster::Compressed(buffer) => {
                    (map.allocate_compressed(cluster, buffer.len() as u64, plan)?, buffer.clone())
                }
            };
            match placement {
                ClusterPlacement::New(host) => plan.write_guest(guest.clone(), host, true),
                ClusterPlacement::Existing(host) => plan.write_guest(guest.clone(), host, false),
                ClusterPlacement::Compressed(host) => plan.write_encoded(buffer, host),
            }
        }
        if segment.in_order {
            map.complete_below(GuestOffset(segment.segment.end()), plan);
        }
        Ok(())
    }
}

//! The writer as a sink.

use std::ops::Range;
use std::sync::Mutex;

use diskimg_core::writer::{EncodeBuffer, SegmentBatch, SegmentJob, UnitImage, WritePlan, lock};
use diskimg_core::{Batch, BlockSink, Result, SinkProperties, zeros};

use super::cluster_encoder::ClusterEncoder;
use super::cluster_store::{ClusterStore, JobEncoder};
use super::guest_map::GuestMap;
use super::header;
use super::image_geometry::ImageGeometry;
use super::options::{ClusterPreallocation, WriterOptions};
use crate::addr::{GuestOffset, HostOffset};
use crate::errors::invalid_option;

/// Guest bytes of a direct write that are compressed at a time, or one cluster if that is more. Our limit: it bounds
/// the memory for compressed bytes.
const DIRECT_STEP: u64 = 4 << 20;

/// A qcow2 image being written over a sink that grows.
///
/// Whole clusters of zeros are not stored. Ranges may be written in any order, split in any way, and rewritten. Only
/// compressed clusters cannot be rewritten; a cluster is compressed if its first write covers it. The file depends on
/// the bytes, the options and the order of the calls; with [`BlockSink::batch`] it depends on the bytes and options
/// alone, for any number of threads.
///
/// [`BlockSink::batch`] writes the disk in order. L2 tables leave memory as soon as they are complete, and their range
/// of the disk cannot be rewritten. With direct writes, up to 256 MiB of L2 tables stay in memory (2 TiB of touched
/// disk at 64 KiB clusters). Then tables with all clusters written leave memory; if that is not enough, the
/// error is [`diskimg_core::ErrorKind::Limit`].
///
/// The file is not a valid image until [`BlockSink::finish`], which writes the header last. It then ends with a whole
/// cluster. After an error the writer can only be dropped.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_qcow2::{ImageWriter, WriterOptions};
/// let file = MemorySink::new(1 << 20);
/// let options = WriterOptions { virtual_size: 1 << 40, compress: true, ..WriterOptions::default() };
/// let image = ImageWriter::new(Box::new(file.clone()), &options)?;
/// image.write_at(3 << 30, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// assert!(file.bytes().len() < 1 << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct ImageWriter {
    store: ClusterStore,
    options: WriterOptions,
    /// Jobs of earlier direct writes, kept for their buffers.
    idle: Mutex<Vec<SegmentJob<ClusterStore>>>,
}

impl ImageWriter {
    /// Begins an image in `sink`, which must be empty.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for invalid options and for options that exclude each other. If the
    /// clusters are too small for the disk, the error names a sufficient size.
    pub fn new(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<Self> {
        let geometry = ImageGeometry::new(options)?;
        header::check(options, &geometry)?;
        check_preallocation(options)?;
        if options.level.is_some() && !options.compress {
            return Err(invalid_option("level").because("compression is not enabled"));
        }
        // An invalid level is found here, not at the first cluster.
        let first = SegmentJob::new(job_encoder(options)?);
        let mut plan = WritePlan::default();
        let map = GuestMap::new(options, geometry, &mut plan)?;
        let store = ClusterStore::new(geometry, map, sink);
        plan.execute_without_guest(store.file(), &EncodeBuffer::default())?;
        Ok(Self { store, options: options.clone(), idle: Mutex::new(vec![first]) })
    }

    /// Changes the map under its lock, then writes what the change has planned.
    fn change<T>(&self, change: impl FnOnce(&mut GuestMap, &mut WritePlan) -> Result<T>) -> Result<T> {
        let (mut plan, file) = (WritePlan::default(), self.store.file());
        let changed = change(&mut lock(&self.store.map), &mut plan);
        let written = plan.execute_without_guest(file, &EncodeBuffer::default());
        file.ledger().record(changed.and_then(|value| written.map(|()| value)))
    }

    /// Writes a range inside one cluster.
    fn write_partial(&self, range: &Range<GuestOffset>, data: &[u8]) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if zeros::is_zero(data) && !self.store.file().stores_zeros() {
            return self.change(|map, plan| map.zero_partial(range, plan));
        }
        let host = self.change(|map, plan| map.allocate_partial(range, plan))?;
        self.store.file().write_at(host, data)
    }

    /// Writes whole clusters.
    fn write_whole(&self, start: GuestOffset, data: &[u8]) -> Result<()> {
        let step = usize::try_from(self.store.geometry.clusters.cluster_size().max(DIRECT_STEP))
            .unwrap_or(usize::MAX);
        let idle = lock(&self.idle).pop();
        let mut job = match idle {
            Some(job) => job,
            None => SegmentJob::new(job_encoder(&self.options)?),
        };
        let mut offset = start.0;
        for bytes in data.chunks(step) {
            job.write_at(&self.store, offset, bytes)?;
            offset = offset.saturating_add(bytes.len() as u64);
        }
        lock(&self.idle).push(job);
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        let file = self.store.file();
        file.ledger().check_complete()?;
        let geometry = &self.store.geometry;
        for table in 0..geometry.l1_entries() {
            self.change(|map, plan| map.complete_table(table, plan))?;
        }
        let tables = self.change(GuestMap::finish)?;
        file.write_at(HostOffset(0), &header::encode(&self.options, geometry, &tables)?)
    }
}

/// Checks the options that exclude preallocated clusters. The texts are those of `qemu-img`.
fn check_preallocation(options: &WriterOptions) -> Result<()> {
    if options.preallocation == ClusterPreallocation::Off {
        return Ok(());
    }
    let because = match (options.compress, &options.backing, options.extended_l2) {
        (true, ..) => "Compression and preallocation not supported at the same time",
        (false, Some(_), false) => {
            "Backing file and preallocation can only be used at the same time if extended_l2 is on"
        }
        (false, ..) => return Ok(()),
    };
    Err(invalid_option("preallocation").because(because))
}

fn job_encoder(options: &WriterOptions) -> Result<JobEncoder> {
    if !options.compress {
        return Ok(JobEncoder::new(None));
    }
    Ok(JobEncoder::new(Some(ClusterEncoder::new(options.compression_type, options.level)?)))
}

impl BlockSink for ImageWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        let split = self.store.geometry.split(&(offset..end))?;
        let len = |range: &Range<GuestOffset>| usize::try_from(range.end.since(range.start));
        let (head_len, tail_len) = (len(&split.head).unwrap_or(data.len()), len(&split.tail).unwrap_or(0));
        let (head, rest) = data.split_at_checked(head_len).unwrap_or((data, &[]));
        let (whole, tail) = rest.split_at_checked(rest.len().saturating_sub(tail_len)).unwrap_or((rest, &[]));
        self.write_partial(&split.head, head)?;
        if !whole.is_empty() {
            self.write_whole(split.head.end, whole)?;
        }
        self.write_partial(&split.tail, tail)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let split = self.store.geometry.split(&range)?;
        for partial in [split.head, split.tail] {
            if !partial.is_empty() {
                self.change(|map, plan| map.zero_partial(&partial, plan))?;
            }
        }
        self.change(|map, plan| map.zero(split.whole, plan))
    }

    fn properties(&self) -> SinkProperties {
        let granularity = self.store.geometry.clusters.cluster_size();
        let stores_zeros = self.store.file().stores_zeros();
        SinkProperties { granularity, stores_zeros, ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(SegmentBatch::new(&self.store, job_encoder(&self.options).ok()?)))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.store.into_file().finish()
    }
}

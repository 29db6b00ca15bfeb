//! The writer as a sink.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diskimg_core::{Batch, BlockSink, Result, Segment, SinkProperties, zeros};

use super::compress::Encoder;
use super::encoded_cluster::{self, Piece};
use super::error::{invalid, misuse};
use super::guest_map::State;
use super::header;
use super::job::Job;
use super::layout::Shape;
use super::options::{Preallocation, WriterOptions};

/// Guest bytes that a direct write takes through the writer at once, or a cluster if that is more: bounds the
/// memory for compressed bytes. A bound of ours.
const STEP: u64 = 4 << 20;

/// A qcow2 image being written over a sink that grows.
///
/// Whole clusters of zeros take no place. Ranges may be written in any order and in any pieces, and again;
/// only compressed clusters cannot be written again, and a cluster is compressed when it is first written
/// whole. The file depends on the bytes, the options and the order of the calls, and with
/// [`BlockSink::batch`] on the bytes and options alone, whatever the number of threads.
///
/// Where the disk is written in order through [`BlockSink::batch`], tables leave memory as they are passed,
/// and the range behind cannot be written again. Written in any order, L2 tables stay in memory up to 256
/// MiB (2 TiB of disk touched at 64 KiB clusters); then those leave of which every cluster was written, and
/// if that is not enough, writing is [`diskimg_core::ErrorKind::Limit`].
///
/// Nothing is a valid image before [`BlockSink::finish`]: the header is written last. The file then ends with
/// a whole cluster. After an error the writer is good for nothing but dropping.
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// use diskimg_qcow2::{Writer, WriterOptions};
/// let file = MemorySink::new(1 << 20);
/// let options = WriterOptions { virtual_size: 1 << 40, compress: true, ..WriterOptions::default() };
/// let image = Writer::new(Box::new(file.clone()), &options)?;
/// image.write_at(3 << 30, &[7; 65_536])?;
/// Box::new(image).finish()?;
/// assert!(file.bytes().len() < 1 << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct Writer {
    lower: Box<dyn BlockSink>,
    options: WriterOptions,
    shape: Shape,
    state: Mutex<State>,
    /// Jobs of direct writes, kept for their buffers.
    idle: Mutex<Vec<Job>>,
    /// Segments that have a place and are not written.
    unwritten: AtomicU64,
    failed: AtomicBool,
}

impl Writer {
    /// Begins an image in `sink`, which must be empty.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for options that cannot be meant or do not go together, among
    /// them clusters too small for the disk: the error names a size that would do.
    pub fn new(sink: Box<dyn BlockSink>, options: &WriterOptions) -> Result<Self> {
        let shape = Shape::new(options)?;
        header::check(options, &shape)?;
        if options.preallocation == Preallocation::Metadata && (options.compress || options.backing.is_some())
        {
            return Err(invalid("preallocation").because("not with compression or a backing file"));
        }
        if options.level.is_some() && !options.compress {
            return Err(invalid("level").because("nothing is to be compressed"));
        }
        let mut pieces = Vec::new();
        let state = State::new(options, shape, &mut pieces)?;
        let this = Self {
            lower: sink,
            options: options.clone(),
            shape,
            state: Mutex::new(state),
            idle: Mutex::new(Vec::new()),
            unwritten: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        };
        // A level that the method does not have is found here, not at the first cluster.
        let first = this.new_job()?;
        lock(&this.idle).push(first);
        encoded_cluster::write_tables(this.lower.as_ref(), &mut pieces)?;
        Ok(this)
    }

    fn new_job(&self) -> Result<Job> {
        let compress = self.options.compress;
        let encoder = if compress {
            Some(Encoder::new(self.options.compression_type, self.options.level)?)
        } else {
            None
        };
        Ok(Job::new(encoder))
    }

    /// An error from here on leaves places without their bytes: it is remembered, so that `finish` fails.
    fn remember<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn place(&self, job: &mut Job, segment: &Segment<'_>, ordered: bool) -> Result<()> {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let mut state = lock(&self.state);
        let placed = job.place(&mut state, &self.shape, segment, ordered, self.lower.as_ref());
        drop(state);
        self.remember(placed)
    }

    fn write(&self, job: &mut Job, segment: &Segment<'_>) -> Result<()> {
        self.remember(job.write(segment, self.lower.as_ref()))?;
        self.unwritten.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    /// Changes the state under its lock, then writes what that gave out.
    fn change<T>(&self, change: impl FnOnce(&mut State, &mut Vec<Piece>) -> Result<T>) -> Result<T> {
        let mut pieces = Vec::new();
        let changed = change(&mut lock(&self.state), &mut pieces);
        let written = encoded_cluster::write_tables(self.lower.as_ref(), &mut pieces);
        self.remember(changed.and_then(|value| written.map(|()| value)))
    }

    /// Writes a part of one cluster.
    fn write_part(&self, range: Range<u64>, data: &[u8]) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        if zeros::is_zero(data) {
            return self.change(|state, out| state.zero_part(range, out));
        }
        let host = self.change(|state, out| state.part(&range, out))?;
        self.remember(self.lower.write_at(host, data))
    }

    /// Writes whole clusters.
    fn write_whole(&self, offset: u64, data: &[u8]) -> Result<()> {
        let step = usize::try_from(self.shape.cluster().max(STEP)).unwrap_or(usize::MAX);
        let idle = lock(&self.idle).pop();
        let mut job = match idle {
            Some(job) => job,
            None => self.new_job()?,
        };
        let mut at = offset;
        for bytes in data.chunks(step) {
            let segment = Segment { offset: at, len: bytes.len() as u64, bytes, zeros: &[] };
            job.prepare(&self.shape, &segment)?;
            self.place(&mut job, &segment, false)?;
            self.write(&mut job, &segment)?;
            at = segment.end();
        }
        lock(&self.idle).push(job);
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) || self.unwritten.load(Ordering::Acquire) != 0 {
            return Err(misuse("image").because("a write into it failed or was not completed"));
        }
        for table in 0..self.shape.l1_entries() {
            self.change(|state, out| state.complete_table(table, out))?;
        }
        let tops = self.change(State::finish)?;
        self.lower.write_at(0, &header::encode(&self.options, &self.shape, &tops))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BlockSink for Writer {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        let cut = self.shape.cut(offset..end)?;
        let head = usize::try_from(cut.head.end.saturating_sub(cut.head.start)).unwrap_or(data.len());
        let tail = usize::try_from(cut.tail.end.saturating_sub(cut.tail.start)).unwrap_or(0);
        let (head, rest) = data.split_at_checked(head).unwrap_or((data, &[]));
        let (whole, tail) = rest.split_at_checked(rest.len().saturating_sub(tail)).unwrap_or((rest, &[]));
        self.write_part(cut.head.clone(), head)?;
        if !whole.is_empty() {
            self.write_whole(cut.head.end, whole)?;
        }
        self.write_part(cut.tail, tail)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let cut = self.shape.cut(range)?;
        for part in [cut.head, cut.tail] {
            if !part.is_empty() {
                self.change(|state, out| state.zero_part(part, out))?;
            }
        }
        self.change(|state, out| state.zero(cut.whole, out))
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties { granularity: self.shape.cluster(), ..SinkProperties::default() }
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        Some(Box::new(Worker { writer: self, job: self.new_job().ok()? }))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.complete()?;
        self.lower.finish()
    }
}

/// One worker of [`BlockSink::batch`].
struct Worker<'a> {
    writer: &'a Writer,
    job: Job,
}

impl Batch for Worker<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.job.prepare(&self.writer.shape, segment)
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.writer.place(&mut self.job, segment, true)
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.writer.write(&mut self.job, segment)
    }
}

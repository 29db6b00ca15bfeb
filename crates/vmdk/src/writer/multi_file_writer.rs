//! Writes an image of a descriptor file and other files: one flat file, or several files of either kind.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use diskimg_core::writer::{WriteLedger, lock};
use diskimg_core::{
    Batch, BlockSink, GuestOffset, HostRange, Result, Segment, Siblings, SinkProperties, check_range, range,
};

use super::extent_files::ExtentFiles;
use super::options::WriterOptions;
use super::sparse_writer::SparseWriter;
use crate::addr::sectors;
use crate::errors::{FORMAT, internal, misuse};

/// Files that are created before the first write, so that an existing one is detected before any work. The others are
/// created when they are needed: a process can have only so many open. Our limit.
const CREATED_AT_ONCE: usize = 64;

/// An image of several files being written.
pub(super) struct MultiFileWriter {
    descriptor_file: Box<dyn BlockSink>,
    descriptor: String,
    files: ExtentFiles,
    siblings: Arc<dyn Siblings>,
    sinks: Vec<OnceLock<Box<dyn BlockSink>>>,
    creating: Mutex<()>,
    ledger: WriteLedger,
}

impl MultiFileWriter {
    /// Begins an image: creates the first files.
    pub(super) fn new(
        descriptor_file: Box<dyn BlockSink>,
        options: &WriterOptions,
        siblings: Arc<dyn Siblings>,
    ) -> Result<Self> {
        let files = ExtentFiles::new(options, siblings.image_name())?;
        let entries = files.entries()?;
        let descriptor = files.descriptor(&entries)?;
        let sinks = entries.iter().map(|_| OnceLock::new()).collect();
        let (creating, ledger) = (Mutex::default(), WriteLedger::new(FORMAT));
        let this = Self { descriptor_file, descriptor, files, siblings, sinks, creating, ledger };
        for index in 0..this.sinks.len().min(CREATED_AT_ONCE) {
            this.sink(index as u64)?;
        }
        Ok(this)
    }

    fn slot(&self, index: u64) -> Result<&OnceLock<Box<dyn BlockSink>>> {
        let slot = usize::try_from(index).ok().and_then(|index| self.sinks.get(index));
        slot.ok_or_else(|| internal("extent file"))
    }

    /// Returns file `index`, and creates it if it does not exist yet.
    fn sink(&self, index: u64) -> Result<&dyn BlockSink> {
        let slot = self.slot(index)?;
        if let Some(sink) = slot.get() {
            return Ok(sink.as_ref());
        }
        let _one_at_a_time = lock(&self.creating);
        match slot.get() {
            Some(sink) => Ok(sink.as_ref()),
            None => {
                let sink = create_file(&self.files, &*self.siblings, index)?;
                Ok(slot.get_or_init(|| sink).as_ref())
            }
        }
    }

    /// Splits a guest range at the ends of files.
    fn split(&self, guest: Range<GuestOffset>) -> impl Iterator<Item = FileRange> + '_ {
        self.files.touched(&guest).map(move |index| {
            let file = self.files.guest_range(index);
            let guest = guest.start.max(file.start)..guest.end.min(file.end);
            FileRange { index, guest, file_start: file.start }
        })
    }

    fn check(&self, offset: u64, len: u64) -> Result<Range<GuestOffset>> {
        check_range(offset, len, self.files.disk_bytes())?;
        Ok(GuestOffset(offset)..GuestOffset(offset).plus(len))
    }

    fn write_split(&self, guest: Range<GuestOffset>, data: &[u8]) -> Result<()> {
        let mut rest = data;
        for part in self.split(guest) {
            let len = usize::try_from(part.len()).unwrap_or(usize::MAX);
            let (bytes, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            self.sink(part.index)?.write_at(part.in_extent().start, bytes)?;
            rest = more;
        }
        Ok(())
    }

    fn zero_split(&self, guest: Range<GuestOffset>) -> Result<()> {
        for part in self.split(guest) {
            // A file that does not exist yet reads as zeros.
            if let Some(sink) = self.slot(part.index)?.get() {
                sink.zero(part.in_extent())?;
            }
        }
        Ok(())
    }

    fn copy_split(&self, guest: Range<GuestOffset>, from: HostRange<'_>) -> Result<bool> {
        let start = guest.start;
        for part in self.split(guest) {
            let offset = from.offset.saturating_add(part.guest.start.since(start));
            let host = HostRange { offset, len: part.len(), ..from };
            // If a later file refuses, the caller rewrites the bytes that earlier ones have copied.
            if !self.sink(part.index)?.copy_from(part.in_extent().start, host)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The part of a guest range in one file.
struct FileRange {
    /// The index of the file.
    index: u64,
    guest: Range<GuestOffset>,
    /// The guest offset of the first byte of the file.
    file_start: GuestOffset,
}

impl FileRange {
    fn len(&self) -> u64 {
        self.guest.end.since(self.guest.start)
    }

    /// The range as offsets of the extent in the file, for its sink.
    fn in_extent(&self) -> Range<u64> {
        self.guest.start.since(self.file_start)..self.guest.end.since(self.file_start)
    }
}

fn create_file(files: &ExtentFiles, siblings: &dyn Siblings, index: u64) -> Result<Box<dyn BlockSink>> {
    let entry = files.entry(index);
    let Some(geometry) = files.sparse_layout(index)? else {
        return siblings.create(&entry.name, Some(sectors(entry.sectors)));
    };
    let file = siblings.create(&entry.name, None)?;
    Ok(Box::new(SparseWriter::new(file, geometry, files.zeroed_grain(), Vec::new())?))
}

impl BlockSink for MultiFileWriter {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let guest = self.check(offset, data.len() as u64)?;
        self.ledger.record(self.write_split(guest, data))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let guest = self.check(range.start, range::len(&range))?;
        self.ledger.record(self.zero_split(guest))
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        let guest = self.check(offset, from.len)?;
        if self.files.are_sparse() {
            return Ok(false);
        }
        self.ledger.record(self.copy_split(guest, from))
    }

    fn properties(&self) -> SinkProperties {
        self.sink(0).map(BlockSink::properties).unwrap_or_default()
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        if self.files.are_sparse() {
            return Some(Box::new(MultiFileBatch {
                image: self,
                parts: Vec::new(),
                known_zeros_only: false,
            }));
        }
        match self.sinks.as_slice() {
            [one] => one.get()?.batch(),
            _ => None,
        }
    }

    /// Finishes the files first and the descriptor last, so that the image is valid only when it is complete.
    fn finish(self: Box<Self>) -> Result<()> {
        self.ledger.check_complete()?;
        let Self { descriptor_file, descriptor, files, siblings, sinks, .. } = *self;
        for (index, sink) in (0..).zip(sinks) {
            let sink = sink.into_inner().map_or_else(|| create_file(&files, &*siblings, index), Ok)?;
            sink.finish()?;
        }
        descriptor_file.write_at(0, descriptor.as_bytes())?;
        descriptor_file.finish()
    }
}

/// Writes segments into the sparse files that they touch.
struct MultiFileBatch<'a> {
    image: &'a MultiFileWriter,
    parts: Vec<FileSegment<'a>>,
    known_zeros_only: bool,
}

/// The part of a segment in one file.
struct FileSegment<'a> {
    batch: Box<dyn Batch + 'a>,
    part: FileRange,
    /// Known zeros, as offsets in the extent.
    zeros: Vec<Range<u64>>,
}

impl<'a> MultiFileBatch<'a> {
    fn file_segment(&self, part: FileRange, segment: &Segment<'_>) -> Result<FileSegment<'a>> {
        let mut batch = self.image.sink(part.index)?.batch().ok_or_else(|| internal("extent file"))?;
        if self.known_zeros_only {
            batch.leave_out_known_zeros_only();
        }
        let guest = part.guest.start.0..part.guest.end.0;
        let zeros = segment
            .zeros
            .iter()
            .filter_map(|zeros| range::relative(&range::intersect(zeros, &guest)?, part.file_start.0));
        let zeros = zeros.collect();
        Ok(FileSegment { batch, part, zeros })
    }

    /// Calls `step` with the batch of each file and its part of the segment.
    fn for_each(
        &mut self,
        segment: &Segment<'_>,
        step: impl Fn(&mut dyn Batch, &Segment<'_>) -> Result<()>,
    ) -> Result<()> {
        for FileSegment { batch, part, zeros } in &mut self.parts {
            let guest = part.guest.start.0..part.guest.end.0;
            let bytes =
                range::slice(segment.bytes, segment.offset, &guest).ok_or_else(|| internal("segment"))?;
            let (offset, len) = (part.in_extent().start, part.len());
            step(batch.as_mut(), &Segment { offset, len, bytes, zeros })?;
        }
        Ok(())
    }
}

impl Batch for MultiFileBatch<'_> {
    fn leave_out_known_zeros_only(&mut self) {
        self.known_zeros_only = true;
    }

    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let guest = self.image.check(segment.offset, segment.len)?;
        self.parts.clear();
        if segment.is_zeros() {
            return Ok(());
        }
        if (segment.bytes.len() as u64) < segment.len {
            return Err(misuse("segment").because("its bytes are fewer than its length"));
        }
        for part in self.image.split(guest) {
            let part = self.file_segment(part, segment)?;
            self.parts.push(part);
        }
        self.for_each(segment, |batch, segment| batch.prepare(segment))
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        if segment.is_zeros() {
            return self.image.zero(segment.offset..segment.end());
        }
        self.for_each(segment, |batch, segment| batch.place(segment))
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.for_each(segment, |batch, segment| batch.write(segment))
    }
}

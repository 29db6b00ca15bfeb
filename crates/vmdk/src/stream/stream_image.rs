//! Decodes an image after its header, structure by structure.

use diskimg_core::{BlockSink, Budget, Finding, HostOffset, Limits, Result, ensure, zeros};

use super::cross_check::{CrossCheck, charge};
use super::grain_output::GrainOutput;
use super::grain_set::GrainSet;
use super::input_buffer::{InputBuffer, StreamedBytes};
use super::preamble::{Preamble, PreambleItem, PreambleKind};
use super::stream_layout::StreamLayout;
use super::stream_tail::{StreamTail, trailing_data};
use crate::addr::{SECTOR, sector_offset, sectors};
use crate::descriptor::MAX_BYTES;
use crate::errors::{corrupt, limit, truncated};
use crate::footer::data_follows;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, Metadata, most_compressed};

/// The next structure of the stream.
enum StreamStage {
    /// Descriptor and tables before the grains.
    Preamble(Preamble),
    /// The marker at `at`. Bytes before it are padding.
    Marker {
        at: HostOffset,
    },
    /// A grain whose marker is at `at`: its first guest sector, and its compressed bytes.
    Grain {
        at: HostOffset,
        lba: u64,
        bytes: u32,
    },
    /// Sectors of metadata at `at`, after their marker.
    Metadata {
        at: HostOffset,
        kind: Metadata,
        sectors: u64,
    },
    Tail(StreamTail),
}

/// An image whose header is known.
pub(super) struct StreamImage {
    layout: StreamLayout,
    stage: StreamStage,
    output: GrainOutput,
    grains: GrainSet,
    cross_check: CrossCheck,
    /// The memory of the checksums and of the set of grains.
    budget: Budget,
    /// The sector of the grain directory, once it is known.
    directory: Option<u64>,
    /// True after a footer: only the end of the stream may follow.
    has_footer: bool,
}

impl StreamImage {
    pub(super) fn new(layout: StreamLayout, limits: &Limits) -> Result<Self> {
        let mut preamble = Preamble::new(layout.preamble_end, layout.table_bytes);
        let header = &layout.header;
        if header.descriptor_offset_sectors != 0 {
            let at = sector_offset(header.descriptor_offset_sectors);
            let (len, max) = (sectors(header.descriptor_size_sectors), limits.header_bytes.min(MAX_BYTES));
            ensure(len <= max, || {
                let found = format!("{len} bytes");
                limit("descSize").at(36).found(found).expected(format_args!("at most {max}"))
            })?;
            preamble.expect(PreambleItem { kind: PreambleKind::Descriptor, at, len })?;
        }
        let directory = (!header.has_footer()).then_some(header.directory_sectors);
        if layout.tables_first() {
            let (at, len) = (sector_offset(header.directory_sectors), layout.directory_bytes);
            preamble.expect(PreambleItem { kind: PreambleKind::Directory, at, len })?;
        }
        // For assembling and sorting a directory. Its entries are charged when it is added.
        let budget = limits.table_budget("grain tables of a stream");
        charge(&budget, layout.directory_bytes)?;
        Ok(Self {
            stage: StreamStage::Preamble(preamble),
            output: GrainOutput::new(header.grain_bytes())?,
            grains: GrainSet::new(),
            cross_check: CrossCheck::new(header.entries_per_table.into()),
            budget,
            directory,
            has_footer: false,
            layout,
        })
    }

    /// Processes as many structures as `input` has.
    pub(super) fn push(&mut self, input: &mut StreamedBytes<'_>, sink: &dyn BlockSink) -> Result<()> {
        while self.step(input, sink)? {}
        Ok(())
    }

    /// Processes one structure. Returns false if it needs more input.
    fn step(&mut self, input: &mut StreamedBytes<'_>, sink: &dyn BlockSink) -> Result<bool> {
        match &mut self.stage {
            StreamStage::Preamble(_) => self.preamble(input),
            &mut StreamStage::Marker { at } => self.marker(at, input),
            &mut StreamStage::Grain { at, lba, bytes } => self.grain(at, lba, bytes, input, sink),
            &mut StreamStage::Metadata { at, kind, sectors } => self.metadata(at, kind, sectors, input),
            StreamStage::Tail(tail) => {
                while !input.contiguous().is_empty() {
                    tail.push(input.position(), input.contiguous());
                    input.consume(input.contiguous().len());
                }
                if self.layout.header.has_footer() {
                    tail.check(input.position())?;
                }
                Ok(false)
            }
        }
    }

    fn preamble(&mut self, input: &mut StreamedBytes<'_>) -> Result<bool> {
        let StreamStage::Preamble(preamble) = &mut self.stage else { return Ok(false) };
        let Some((item, bytes)) = preamble.next(input)? else {
            let past = preamble.is_past(input.position());
            if past {
                self.stage = StreamStage::Marker { at: self.layout.preamble_end };
            }
            return Ok(past);
        };
        let (sector, len) = (item.at.0 / SECTOR, bytes.len());
        match item.kind {
            PreambleKind::Descriptor => self.layout.apply_descriptor(bytes, item.at)?,
            PreambleKind::Directory => {
                let entries = self.cross_check.add_directory(sector, bytes, &self.budget)?;
                preamble.expect_tables(entries, item.at.plus(item.len))?;
            }
            PreambleKind::Table => self.cross_check.add_table(sector, bytes, &self.budget)?,
        }
        input.consume(len);
        Ok(true)
    }

    fn marker(&mut self, at: HostOffset, input: &mut StreamedBytes<'_>) -> Result<bool> {
        if !input.skip_to(at) {
            return Ok(false);
        }
        let Some(bytes) = input.peek(MARKER_LENGTH)?.and_then(|bytes| bytes.first_chunk()) else {
            return Ok(false);
        };
        self.stage = match self.stage_after(at, bytes) {
            Err(_) if self.is_complete(at) => StreamStage::Tail(StreamTail::new(at)),
            stage => stage?,
        };
        Ok(true)
    }

    /// Returns the stage after the marker in `bytes`, which is at `at`.
    fn stage_after(&self, at: HostOffset, bytes: &[u8; MARKER_LENGTH]) -> Result<StreamStage> {
        let marker = Marker::parse(bytes, at)?;
        if self.has_footer && marker != Marker::EndOfStream {
            return Err(trailing_data(at));
        }
        Ok(match marker {
            Marker::Grain { lba, bytes } => {
                self.check_grain(at, lba, bytes)?;
                StreamStage::Grain { at, lba, bytes }
            }
            Marker::EndOfStream => StreamStage::Tail(StreamTail::new(at)),
            Marker::Metadata { kind, sectors } => {
                StreamStage::Metadata { at: at.plus(SECTOR), kind, sectors }
            }
        })
    }

    /// Returns true if all structures that header and tables refer to begin before `at`. A reader of the file ignores the
    /// bytes from there on.
    fn is_complete(&self, at: HostOffset) -> bool {
        let header = &self.layout.header;
        (self.has_footer && !header.has_footer())
            || (self.layout.tables_first() && self.cross_check.ends_before(header.directory_sectors, at))
    }

    fn check_grain(&self, at: HostOffset, lba: u64, bytes: u32) -> Result<()> {
        let header = &self.layout.header;
        let (multiple_of, capacity) = (header.grain_sectors, header.capacity_sectors);
        let misplaced = || corrupt("grain LBA").at(at.0).found(lba);
        // The grain size is a power of two.
        ensure(lba & multiple_of.saturating_sub(1) == 0, || {
            misplaced().expected(format_args!("a multiple of the grain size {multiple_of}"))
        })?;
        ensure(lba < capacity, || misplaced().expected(format_args!("less than the capacity {capacity}")))?;
        let max = most_compressed(header.grain_bytes());
        ensure(u64::from(bytes) <= max, || {
            let expected = format!("at most {max} bytes for a grain of {}", header.grain_bytes());
            corrupt("compressed size").at(at.plus(8).0).found(bytes).expected(expected)
        })
    }

    fn grain(
        &mut self,
        at: HostOffset,
        lba: u64,
        bytes: u32,
        input: &mut StreamedBytes<'_>,
        sink: &dyn BlockSink,
    ) -> Result<bool> {
        let len =
            usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(GRAIN_HEADER).max(MARKER_LENGTH);
        let Some(unit) = input.peek(len)? else { return Ok(false) };
        let compressed = unit.get(GRAIN_HEADER..).unwrap_or_default();
        let index = lba / self.layout.header.grain_sectors.max(1);
        let guest = self.layout.guest_range(lba);
        self.grains.insert(index, at, guest.start, &self.budget)?;
        self.cross_check.add_grain(index, at.0 / SECTOR, &self.budget)?;
        if !guest.is_empty() {
            self.output.write_grain(guest, at, compressed, sink)?;
        }
        input.consume(len);
        let next = HostOffset(input.position().0.next_multiple_of(SECTOR));
        self.stage = StreamStage::Marker { at: next };
        Ok(true)
    }

    fn metadata(
        &mut self,
        at: HostOffset,
        kind: Metadata,
        count: u64,
        input: &mut StreamedBytes<'_>,
    ) -> Result<bool> {
        if !input.skip_to(at) {
            return Ok(false);
        }
        let needed = match kind {
            Metadata::GrainTable => self.layout.table_bytes,
            Metadata::GrainDirectory => self.layout.directory_bytes,
            Metadata::Footer => SECTOR,
            Metadata::Progress => 0,
        };
        ensure(sectors(count) >= needed, || {
            let (marker_at, found) = (at.0.saturating_sub(SECTOR), format!("{count} sectors"));
            corrupt("marker").at(marker_at).found(found).expected(format_args!("at least {needed} bytes"))
        })?;
        let len = usize::try_from(needed).unwrap_or(usize::MAX);
        let Some(bytes) = input.peek(len)? else { return Ok(false) };
        let sector = at.0 / SECTOR;
        match kind {
            Metadata::GrainTable => self.cross_check.add_table(sector, bytes, &self.budget)?,
            Metadata::GrainDirectory => {
                self.cross_check.add_directory(sector, bytes, &self.budget)?;
            }
            Metadata::Footer => {
                self.directory = Some(self.layout.parse_footer(bytes, at)?);
                self.has_footer = true;
            }
            Metadata::Progress => {}
        }
        input.consume(len);
        self.stage = StreamStage::Marker { at: at.plus(sectors(count)) };
        Ok(true)
    }

    /// Completes the disk at the end of the file: checks that the image is complete and agrees with its tables.
    pub(super) fn finish(&mut self, buffer: &InputBuffer, sink: &dyn BlockSink) -> Result<u64> {
        let end = buffer.position().plus(buffer.buffered().len() as u64);
        self.check_end(end, buffer.buffered())?;
        let has_tables = self.cross_check.has_directory() || self.layout.directory_bytes == 0;
        let directory = self.directory.filter(|_| has_tables).ok_or_else(|| {
            let missing = if self.has_footer { "grain directory" } else { "footer" };
            corrupt(missing).at(end.0).because("the stream ended without it")
        })?;
        self.cross_check.compare(directory, end, self.layout.header.grain_bytes())?;
        self.output.finish(self.layout.size, sink)?;
        Ok(self.layout.size)
    }

    /// The finding on bytes after the end of an image without a footer, of which `buffer` has the last.
    pub(super) fn trailing_data(&self, buffer: &InputBuffer) -> Option<Finding> {
        let at = match &self.stage {
            StreamStage::Tail(tail) => tail.first_nonzero(),
            StreamStage::Marker { .. } => {
                let index = buffer.buffered().iter().position(|byte| *byte != 0);
                index.map(|index| buffer.position().plus(index as u64))
            }
            _ => None,
        };
        at.filter(|_| !self.layout.header.has_footer()).map(data_follows)
    }

    /// Checks that an image may end at `end` in the current stage, with the unused bytes `rest`.
    ///
    /// An end-of-stream marker is only required if the tables follow the grains. Tables before the grains define the end,
    /// and QEMU writes no marker. The last sector may be truncated.
    fn check_end(&self, end: HostOffset, rest: &[u8]) -> Result<()> {
        let tables_first = self.layout.tables_first();
        let (at, what) = match &self.stage {
            StreamStage::Preamble(_) => (end, "descriptor and tables"),
            StreamStage::Marker { at }
                if tables_first
                    && at.since(end) < SECTOR
                    && (zeros::is_zero(rest) || self.is_complete(*at)) =>
            {
                return Ok(());
            }
            StreamStage::Marker { at } => (*at, "marker"),
            StreamStage::Grain { at, .. } => (*at, "grain"),
            StreamStage::Metadata { at, .. } => (*at, "metadata after a marker"),
            StreamStage::Tail(tail) => {
                let at = tail.start();
                let is_marker = end.since(at) >= SECTOR;
                if tables_first || is_marker || (tail.has_data() && self.is_complete(at)) {
                    return Ok(());
                }
                (at, "end-of-stream marker")
            }
        };
        Err(truncated(what).at(at.0).because(format_args!("the file ends at byte {}", end.0)))
    }
}

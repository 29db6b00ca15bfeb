//! The image behind its header, structure by structure.

use diskimg_core::{BlockSink, Budget, Error, HostOffset, Limits, Result, zeros};

use super::cross_check::{Tally, charge};
use super::grain_set::Seen;
use super::input_buffer::Intake;
use super::output::Output;
use super::preamble::{Front, Piece};
use super::stream_layout::Shape;
use crate::descriptor::MAX_BYTES;
use crate::errors::{corrupt, truncated};
use crate::footer;
use crate::marker::{GRAIN_HEADER, MARKER_LENGTH, Marker, Metadata, most_compressed};
use crate::sparse_header::SECTOR;

/// What is expected next. Offsets are bytes.
enum Stage {
    /// Descriptor and tables in front of the grains.
    Front(Front),
    /// A marker at `at`; bytes before are of no use.
    Marker { at: u64 },
    /// The grain whose marker is at `at`.
    Grain { at: u64, lba: u64, bytes: u32 },
    /// Metadata of `sectors` at `at`.
    Metadata { at: u64, kind: Metadata, sectors: u64 },
    /// Zeros from `at` on, and nothing else.
    Tail { at: u64 },
}

/// An image of which the header has arrived.
pub(super) struct StreamImage {
    shape: Shape,
    stage: Stage,
    output: Output,
    seen: Seen,
    tally: Tally,
    budget: Budget,
    /// The sector of the grain directory, once it is known.
    directory: Option<u64>,
    /// Whether a footer came: nothing but the end may follow.
    footer: bool,
    /// The first byte behind the end that is not zero.
    stray: Option<u64>,
}

impl StreamImage {
    pub(super) fn new(shape: Shape, limits: &Limits) -> Result<Self> {
        let mut front = Front::new(shape.front_end, shape.table_bytes);
        let header = &shape.header;
        if header.descriptor_offset_sectors != 0 {
            let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
            let (at, len) = (bytes(header.descriptor_offset_sectors), bytes(header.descriptor_size_sectors));
            front.expect_descriptor(at, len, limits.header_bytes.min(MAX_BYTES))?;
        }
        let directory = (!header.has_footer()).then_some(header.directory_sectors);
        if let Some(sector) = directory.filter(|_| shape.tables_in_front()) {
            front.expect_directory(sector.saturating_mul(SECTOR), shape.directory_bytes)?;
        }
        // What a directory takes while it is put together and sorted; what is kept of it is charged there.
        let budget = Tally::budget(limits);
        charge(&budget, shape.directory_bytes)?;
        Ok(Self {
            stage: Stage::Front(front),
            output: Output::new(header.grain_bytes())?,
            seen: Seen::new(),
            tally: Tally::new(header.entries_per_table.into()),
            budget,
            directory,
            footer: false,
            stray: None,
            shape,
        })
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, intake: &mut Intake, mut input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        while self.step(intake, &mut input, sink)? {}
        Ok(())
    }

    /// Takes one structure; `false` when more bytes are needed for it.
    fn step(&mut self, intake: &mut Intake, input: &mut &[u8], sink: &dyn BlockSink) -> Result<bool> {
        match &mut self.stage {
            Stage::Front(_) => self.front(intake, input),
            &mut Stage::Marker { at } => self.marker(at, intake, input),
            &mut Stage::Grain { at, lba, bytes } => self.grain((at, lba, bytes), intake, input, sink),
            &mut Stage::Metadata { at, kind, sectors } => self.metadata((at, kind, sectors), intake, input),
            Stage::Tail { .. } => self.tail(intake, input),
        }
    }

    fn front(&mut self, intake: &mut Intake, input: &mut &[u8]) -> Result<bool> {
        let Stage::Front(front) = &mut self.stage else { return Ok(false) };
        let Some((piece, len)) = front.next(intake, input)? else {
            let past = front.is_past(intake.position());
            if past {
                self.stage = Stage::Marker { at: self.shape.front_end };
            }
            return Ok(past);
        };
        match piece {
            Piece::Descriptor { at, bytes } => self.shape.describe(bytes, at)?,
            Piece::Directory { sector, bytes } => {
                let end = sector.saturating_mul(SECTOR).saturating_add(len as u64);
                let entries = self.tally.directory(sector, bytes, &self.budget)?;
                front.expect_tables(entries, end)?;
            }
            Piece::Table { sector, bytes } => self.tally.table(sector, bytes, &self.budget)?,
        }
        intake.consume(input, len);
        Ok(true)
    }

    fn marker(&mut self, at: u64, intake: &mut Intake, input: &mut &[u8]) -> Result<bool> {
        if !intake.skip_to(input, at) {
            return Ok(false);
        }
        let Some(bytes) = intake.peek(input, MARKER_LENGTH)?.and_then(|bytes| bytes.first_chunk()) else {
            return Ok(false);
        };
        self.stage = match self.behind(at, bytes) {
            Err(_) if self.is_whole(at) => Stage::Tail { at },
            stage => stage?,
        };
        Ok(true)
    }

    /// What the marker in `bytes`, at byte `at`, announces.
    fn behind(&self, at: u64, bytes: &[u8; MARKER_LENGTH]) -> Result<Stage> {
        let marker = Marker::parse(bytes, HostOffset(at))?;
        if self.footer && marker != Marker::EndOfStream {
            return Err(trailing_data(at));
        }
        Ok(match marker {
            Marker::Grain { lba, bytes } => {
                self.check_grain(at, lba, bytes)?;
                Stage::Grain { at, lba, bytes }
            }
            Marker::EndOfStream => Stage::Tail { at },
            Marker::Metadata { kind, sectors } => {
                Stage::Metadata { at: at.saturating_add(SECTOR), kind, sectors }
            }
        })
    }

    /// Whether all came that the header and the tables it knows of name: nothing from byte `at` on is part of the disk,
    /// and who reads a file does not look there.
    fn is_whole(&self, at: u64) -> bool {
        let in_front = self.directory.filter(|_| self.shape.tables_in_front());
        let behind = self.footer && !self.shape.header.has_footer();
        behind || in_front.is_some_and(|sector| self.tally.ends_before(sector, at))
    }

    fn check_grain(&self, at: u64, lba: u64, bytes: u32) -> Result<()> {
        let header = &self.shape.header;
        // A power of two.
        if lba & header.grain_sectors.saturating_sub(1) != 0 {
            let expected = format_args!("a multiple of the grain size {}", header.grain_sectors);
            return Err(corrupt("grain LBA").at(at).found(lba).expected(expected));
        }
        if lba >= header.capacity_sectors {
            let expected = format_args!("less than the capacity {}", header.capacity_sectors);
            return Err(corrupt("grain LBA").at(at).found(lba).expected(expected));
        }
        let most = most_compressed(header.grain_bytes());
        if u64::from(bytes) > most {
            let expected = format_args!("at most {most} bytes for a grain of {}", header.grain_bytes());
            return Err(corrupt("compressed size").at(at.saturating_add(8)).found(bytes).expected(expected));
        }
        Ok(())
    }

    fn grain(
        &mut self,
        (at, lba, bytes): (u64, u64, u32),
        intake: &mut Intake,
        input: &mut &[u8],
        sink: &dyn BlockSink,
    ) -> Result<bool> {
        let len =
            usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(GRAIN_HEADER).max(MARKER_LENGTH);
        let Some(unit) = intake.peek(input, len)? else { return Ok(false) };
        let compressed = unit.get(GRAIN_HEADER..).unwrap_or_default();
        let header = &self.shape.header;
        let grain = lba / header.grain_sectors.max(1);
        let guest = lba.saturating_mul(SECTOR);
        self.seen.insert(grain, at, guest, &self.budget)?;
        self.tally.grain(grain, at / SECTOR, &self.budget)?;
        let end = guest.saturating_add(header.grain_bytes()).min(self.shape.size);
        // What the header has beyond the size in the descriptor is no part of the disk.
        if guest < end {
            self.output.grain(guest..end, at, compressed, sink)?;
        }
        intake.consume(input, len);
        self.stage = Stage::Marker { at: intake.position().next_multiple_of(SECTOR) };
        Ok(true)
    }

    fn metadata(
        &mut self,
        (at, kind, sectors): (u64, Metadata, u64),
        intake: &mut Intake,
        input: &mut &[u8],
    ) -> Result<bool> {
        if !intake.skip_to(input, at) {
            return Ok(false);
        }
        let needed = match kind {
            Metadata::GrainTable => self.shape.table_bytes,
            Metadata::GrainDirectory => self.shape.directory_bytes,
            Metadata::Footer => SECTOR,
            Metadata::Progress => 0,
        };
        let there = sectors.saturating_mul(SECTOR);
        if there < needed {
            return Err(corrupt("marker")
                .at(at.saturating_sub(SECTOR))
                .found(format_args!("{sectors} sectors"))
                .expected(format_args!("at least {needed} bytes")));
        }
        let len = usize::try_from(needed).unwrap_or(usize::MAX);
        let Some(bytes) = intake.peek(input, len)? else { return Ok(false) };
        let sector = at / SECTOR;
        match kind {
            Metadata::GrainTable => self.tally.table(sector, bytes, &self.budget)?,
            Metadata::GrainDirectory => {
                self.tally.directory(sector, bytes, &self.budget)?;
            }
            Metadata::Footer => {
                self.directory = Some(self.shape.footer(bytes, at)?);
                self.footer = true;
            }
            Metadata::Progress => {}
        }
        intake.consume(input, len);
        self.stage = Stage::Marker { at: at.saturating_add(there) };
        Ok(true)
    }

    /// Nothing but zeros may follow the end behind a footer, and no more of them than a file has whose footer is found.
    /// Of a sector that is cut nobody takes notice, and without a footer of nothing that follows.
    fn tail(&mut self, intake: &mut Intake, input: &mut &[u8]) -> Result<bool> {
        let Stage::Tail { at } = self.stage else { return Ok(false) };
        let kept = intake.kept().len();
        let start = intake.position();
        if self.stray.is_none() {
            let first = |bytes: &[u8]| bytes.iter().position(|byte| *byte != 0);
            let later = || first(input).map(|place| place.saturating_add(kept));
            let place = first(intake.kept()).or_else(later);
            self.stray = place.map(|place| start.saturating_add(place as u64));
        }
        intake.consume(input, kept.saturating_add(input.len()));
        let end = intake.position();
        if !self.shape.header.has_footer() {
            return Ok(false);
        }
        match self.stray {
            Some(stray) if stray < end / SECTOR * SECTOR => Err(trailing_data(stray)),
            _ if footer::is_searched(HostOffset(at), end) => Ok(false),
            _ => Err(corrupt("trailing data")
                .at(at)
                .because("so many zeros follow the end of the stream that nobody looks for it")),
        }
    }

    /// The image has ended: was all of it there, and does it agree with its tables?
    pub(super) fn finish(&mut self, intake: &Intake, sink: &dyn BlockSink) -> Result<u64> {
        let end = intake.position().saturating_add(intake.kept().len() as u64);
        self.check_end(end, intake.kept())?;
        match self.directory {
            Some(sector) if self.tally.has_directory() || self.shape.directory_bytes == 0 => {
                self.tally.compare(sector, end, self.shape.header.grain_bytes())?;
            }
            _ => {
                return Err(corrupt(if self.footer { "grain directory" } else { "footer" })
                    .at(end)
                    .because("the stream ended without it"));
            }
        }
        self.output.finish(self.shape.size, sink)?;
        Ok(self.shape.size)
    }

    /// Whether an image may end at byte `end`, of which the `rest` is not used up.
    ///
    /// Only tables behind the grains need a marker of the end: those in front tell by themselves what should
    /// have come, and QEMU writes none. The file may end with less than a sector.
    fn check_end(&self, end: u64, rest: &[u8]) -> Result<()> {
        let in_front = self.shape.tables_in_front();
        let (at, what) = match &self.stage {
            Stage::Front(_) => (end, "descriptor and tables"),
            Stage::Marker { at }
                if in_front
                    && at.saturating_sub(end) < SECTOR
                    && (zeros::is_zero(rest) || self.is_whole(*at)) =>
            {
                return Ok(());
            }
            Stage::Tail { at } if self.stray.is_some() && self.is_whole(*at) => return Ok(()),
            Stage::Marker { at } => (*at, "marker"),
            Stage::Grain { at, .. } => (*at, "grain"),
            Stage::Metadata { at, .. } => (*at, "metadata behind a marker"),
            Stage::Tail { at } if in_front || end.saturating_sub(*at) >= SECTOR => return Ok(()),
            Stage::Tail { at } => (*at, "end-of-stream marker"),
        };
        Err(truncated(what).at(at).because(format_args!("the file ends at byte {end}")))
    }
}

fn trailing_data(at: u64) -> Error {
    corrupt("trailing data").at(at).because("more bytes follow the end of the stream")
}

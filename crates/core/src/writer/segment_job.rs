//! The path of a segment into an image: prepare, place, write.

use std::ops::Range;

use super::encode_buffer::EncodeBuffer;
use super::image_file::ImageFile;
use super::write_plan::{WritePlan, guest_bytes};
use crate::{Batch, Error, ErrorKind, Format, GuestOffset, Result, Segment, check_range, range, zeros};

/// The units that a format stores a disk in.
#[derive(Clone, Copy, Debug)]
pub struct DiskUnits {
    /// The format, for errors.
    pub format: Format,
    /// The size of the disk in bytes.
    pub disk_bytes: u64,
    /// The size of a unit in bytes, a power of two.
    pub unit_bytes: u64,
    /// The format's word for a unit, in the singular.
    pub name: &'static str,
}

impl DiskUnits {
    /// The end of the unit that `offset` lies in.
    const fn end_of_unit(&self, offset: u64) -> u64 {
        (offset | self.unit_bytes.saturating_sub(1)).saturating_add(1)
    }

    fn check_whole_units(&self, segment: &Segment<'_>) -> Result<()> {
        let splits_unit = |at: u64| at & self.unit_bytes.saturating_sub(1) != 0 && at != self.disk_bytes;
        if splits_unit(segment.offset) || splits_unit(segment.end()) {
            return Err(Error::new(ErrorKind::InvalidInput)
                .format(self.format)
                .field("segment")
                .found(format_args!("{} bytes at {}", segment.len, segment.offset))
                .expected(format_args!("whole {}s of {} bytes", self.name, self.unit_bytes)));
        }
        Ok(())
    }
}

/// An image that is written unit by unit.
pub trait UnitImage: Send + Sync {
    /// The encoder of a worker; `()` if units are stored verbatim.
    type UnitEncoder: Send;
    /// The result of encoding a unit; `()` if units are stored verbatim.
    type EncodedUnit: Send;

    /// The units of the disk.
    fn units(&self) -> DiskUnits;

    /// The file that the image is written to.
    fn file(&self) -> &ImageFile;

    /// Encodes the bytes of a unit that begin at `guest`. They may be all zeros if the file
    /// [stores zeros](ImageFile::stores_zeros) or if [only known zeros](Batch::leave_out_known_zeros_only) are left out.
    /// They are fewer than a unit at the end of the disk and in direct writes.
    ///
    /// # Errors
    /// Any error that stops the writer.
    fn encode(
        &self,
        encoder: &mut Self::UnitEncoder,
        guest: GuestOffset,
        bytes: &[u8],
        buffer: &mut EncodeBuffer,
    ) -> Result<Self::EncodedUnit>;

    /// Allocates file space for the units of a segment and plans the writes. Batches call it in the order of the
    /// disk.
    ///
    /// # Errors
    /// Any error that stops the writer.
    fn place(&self, segment: &PreparedSegment<'_, Self::EncodedUnit>, plan: &mut WritePlan) -> Result<()>;
}

/// One or more units of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum SegmentUnit<E> {
    /// Guest bytes that are all zeros, in any number of units.
    Zeros(Range<GuestOffset>),
    /// Guest bytes of one unit.
    Data {
        /// The guest range.
        guest: Range<GuestOffset>,
        /// The result of encoding them.
        encoded: E,
    },
}

/// A segment whose units are encoded.
#[derive(Debug)]
pub struct PreparedSegment<'a, E> {
    /// The segment.
    pub segment: &'a Segment<'a>,
    /// Its units in ascending order.
    pub units: &'a [SegmentUnit<E>],
    /// The buffer that encoded units are in.
    pub buffer: &'a EncodeBuffer,
    /// True if everything before the segment is allocated and the next segments follow in disk order.
    pub in_order: bool,
}

/// The memory of one worker: an encoder, and the units and writes of the current segment.
pub struct SegmentJob<I: UnitImage + ?Sized> {
    encoder: I::UnitEncoder,
    units: Vec<SegmentUnit<I::EncodedUnit>>,
    buffer: EncodeBuffer,
    plan: WritePlan,
    /// If set, only the known zeros of a segment are left out.
    known_zeros_only: bool,
}

impl<I: UnitImage + ?Sized> SegmentJob<I> {
    /// A job without a segment.
    #[must_use]
    pub fn new(encoder: I::UnitEncoder) -> Self {
        let (buffer, plan) = (EncodeBuffer::default(), WritePlan::default());
        Self { encoder, units: Vec::new(), buffer, plan, known_zeros_only: false }
    }

    /// Writes `data` at `offset` of the disk, in any order. The range may begin and end inside units.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfBounds`] past the end of the disk; errors of the image and its file.
    pub fn write_at(&mut self, image: &I, offset: u64, data: &[u8]) -> Result<()> {
        self.write_segment(image, &Segment { offset, len: data.len() as u64, bytes: data, zeros: &[] })
    }

    /// Makes a range of the disk read as zeros, in any order. It may begin and end inside units.
    ///
    /// # Errors
    /// Those of [`SegmentJob::write_at`].
    pub fn zero(&mut self, image: &I, range: &Range<u64>) -> Result<()> {
        let (offset, len) = (range.start, range::len(range));
        self.write_segment(image, &Segment { offset, len, bytes: &[], zeros: &[] })
    }

    pub(super) fn write_segment(&mut self, image: &I, segment: &Segment<'_>) -> Result<()> {
        self.prepare(image, segment)?;
        if segment.len == 0 {
            return Ok(());
        }
        self.place(image, segment, false)?;
        self.write(image, segment)
    }

    /// Splits the segment into units, finds zeros, and encodes the rest.
    fn prepare(&mut self, image: &I, segment: &Segment<'_>) -> Result<()> {
        let units = image.units();
        check_range(segment.offset, segment.len, units.disk_bytes)?;
        self.units.clear();
        self.buffer.clear();
        self.plan.clear();
        if segment.is_zeros() {
            self.push_zeros(segment.offset..segment.end());
            return Ok(());
        }
        let omits_zeros = !image.file().stores_zeros();
        let mut known = segment.zeros.iter().peekable();
        let mut at = segment.offset;
        while at < segment.end() {
            let unit = at..units.end_of_unit(at).min(segment.end());
            at = unit.end;
            while known.next_if(|zeros| zeros.end <= unit.start).is_some() {}
            let known_zeros =
                known.peek().is_some_and(|zeros| zeros.start <= unit.start && unit.end <= zeros.end);
            let guest = GuestOffset(unit.start)..GuestOffset(unit.end);
            let bytes = guest_bytes(segment, &guest).map_err(|error| error.format(units.format))?;
            if omits_zeros && (known_zeros || (!self.known_zeros_only && zeros::is_zero(bytes))) {
                self.push_zeros(unit);
            } else {
                let encoded = image.encode(&mut self.encoder, guest.start, bytes, &mut self.buffer)?;
                self.units.push(SegmentUnit::Data { guest, encoded });
            }
        }
        Ok(())
    }

    fn push_zeros(&mut self, range: Range<u64>) {
        let range = GuestOffset(range.start)..GuestOffset(range.end);
        match self.units.last_mut() {
            Some(SegmentUnit::Zeros(run)) => run.end = range.end,
            _ => self.units.push(SegmentUnit::Zeros(range)),
        }
    }

    fn place(&mut self, image: &I, segment: &Segment<'_>, in_order: bool) -> Result<()> {
        let ledger = image.file().ledger();
        ledger.begin();
        let prepared = PreparedSegment { segment, units: &self.units, buffer: &self.buffer, in_order };
        ledger.record(image.place(&prepared, &mut self.plan))
    }

    fn write(&mut self, image: &I, segment: &Segment<'_>) -> Result<()> {
        let ledger = image.file().ledger();
        ledger.record(self.plan.execute(image.file(), segment, &self.buffer))?;
        ledger.end();
        Ok(())
    }
}

/// A [`SegmentJob`] as a [`Batch`]: one worker of a conversion.
pub struct SegmentBatch<'a, I: UnitImage + ?Sized> {
    image: &'a I,
    job: SegmentJob<I>,
}

impl<'a, I: UnitImage + ?Sized> SegmentBatch<'a, I> {
    /// A worker that writes into `image`.
    #[must_use]
    pub fn new(image: &'a I, encoder: I::UnitEncoder) -> Self {
        Self { image, job: SegmentJob::new(encoder) }
    }
}

impl<I: UnitImage + ?Sized> Batch for SegmentBatch<'_, I> {
    fn leave_out_known_zeros_only(&mut self) {
        self.job.known_zeros_only = true;
    }

    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let units = self.image.units();
        check_range(segment.offset, segment.len, units.disk_bytes)?;
        units.check_whole_units(segment)?;
        self.job.prepare(self.image, segment)
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.job.place(self.image, segment, true)
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.job.write(self.image, segment)
    }
}

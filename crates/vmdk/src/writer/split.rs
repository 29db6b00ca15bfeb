//! Writes an image of a descriptor and files beside it: one flat file, or several of either kind.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use diskimg_core::{Batch, BlockSink, HostRange, Result, Segment, Siblings, SinkProperties, check_range};

use super::error::misuse;
use super::extent_files::Plan;
use super::ledger::{Ledger, lock};
use super::options::WriterOptions;
use super::sparse::Sparse;
use crate::sparse_header::SECTOR;

/// Files that are made at once, so that one in the way is found before any work. The others are made when they
/// are first needed: a process may have only so many open.
const MADE_AT_ONCE: usize = 64;

/// An image of several files being written.
pub(super) struct Split {
    descriptor_file: Box<dyn BlockSink>,
    descriptor: String,
    plan: Plan,
    siblings: Arc<dyn Siblings>,
    parts: Vec<OnceLock<Box<dyn BlockSink>>>,
    making: Mutex<()>,
    ledger: Ledger,
}

impl Split {
    pub(super) fn new(
        descriptor_file: Box<dyn BlockSink>,
        options: &WriterOptions,
        siblings: Arc<dyn Siblings>,
    ) -> Result<Self> {
        let plan = Plan::new(options, siblings.image_name())?;
        let lines = plan.lines()?;
        let descriptor = plan.descriptor(&lines)?;
        let parts = lines.iter().map(|_| OnceLock::new()).collect();
        let (making, ledger) = (Mutex::default(), Ledger::default());
        let this = Self { descriptor_file, descriptor, plan, siblings, parts, making, ledger };
        for index in 0..this.parts.len().min(MADE_AT_ONCE) {
            this.part(index as u64)?;
        }
        Ok(this)
    }

    fn place(&self, index: u64) -> Result<&OnceLock<Box<dyn BlockSink>>> {
        let place = usize::try_from(index).ok().and_then(|index| self.parts.get(index));
        place.ok_or_else(|| misuse("extent file"))
    }

    /// File `index`; it is made if it is not there yet.
    fn part(&self, index: u64) -> Result<&dyn BlockSink> {
        let place = self.place(index)?;
        if let Some(part) = place.get() {
            return Ok(part.as_ref());
        }
        let _one_at_a_time = lock(&self.making);
        match place.get() {
            Some(part) => Ok(part.as_ref()),
            None => {
                let made = make(&self.plan, &*self.siblings, index)?;
                Ok(place.get_or_init(|| made).as_ref())
            }
        }
    }

    /// Cuts a guest range at the ends of files: which file, and the guest bytes in it.
    fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> + '_ {
        let reach = self.plan.reach();
        (range.start / reach..range.end.div_ceil(reach)).map(move |index| {
            let file = self.plan.range(index);
            (index, range.start.max(file.start)..range.end.min(file.end))
        })
    }

    /// A guest range as one of file `index`.
    fn within(&self, index: u64, range: &Range<u64>) -> Range<u64> {
        let start = self.plan.range(index).start;
        range.start.saturating_sub(start)..range.end.saturating_sub(start)
    }

    fn check(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        check_range(offset, len, self.plan.size())?;
        Ok(offset..offset.saturating_add(len))
    }

    fn write_pieces(&self, range: Range<u64>, data: &[u8]) -> Result<()> {
        let mut rest = data;
        for (index, piece) in self.pieces(range) {
            let len = usize::try_from(piece.end.saturating_sub(piece.start)).unwrap_or(usize::MAX);
            let (bytes, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            self.part(index)?.write_at(self.within(index, &piece).start, bytes)?;
            rest = more;
        }
        Ok(())
    }

    fn zero_pieces(&self, range: Range<u64>) -> Result<()> {
        for (index, piece) in self.pieces(range) {
            // A file not yet made reads as zeros.
            if let Some(part) = self.place(index)?.get() {
                part.zero(self.within(index, &piece))?;
            }
        }
        Ok(())
    }

    fn copy_pieces(&self, range: Range<u64>, from: HostRange<'_>) -> Result<bool> {
        for (index, piece) in self.pieces(range.clone()) {
            let len = piece.end.saturating_sub(piece.start);
            let skipped = piece.start.saturating_sub(range.start);
            let host = HostRange { offset: from.offset.saturating_add(skipped), len, ..from };
            // Where a later file refuses, the caller writes what an earlier one has copied over again.
            if !self.part(index)?.copy_from(self.within(index, &piece).start, host)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Makes file `index`.
fn make(plan: &Plan, siblings: &dyn Siblings, index: u64) -> Result<Box<dyn BlockSink>> {
    let line = plan.line(index);
    let Some(shape) = plan.shape(index)? else {
        return siblings.create(&line.name, Some(line.sectors.saturating_mul(SECTOR)));
    };
    let file = siblings.create(&line.name, None)?;
    Ok(Box::new(Sparse::new(file, shape, plan.zeroed_grain(), Vec::new())?))
}

impl BlockSink for Split {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let range = self.check(offset, data.len() as u64)?;
        self.ledger.remember(self.write_pieces(range, data))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let range = self.check(range.start, range.end.saturating_sub(range.start))?;
        self.ledger.remember(self.zero_pieces(range))
    }

    fn copy_from(&self, offset: u64, from: HostRange<'_>) -> Result<bool> {
        let range = self.check(offset, from.len)?;
        if self.plan.is_sparse() {
            return Ok(false);
        }
        self.ledger.remember(self.copy_pieces(range, from))
    }

    fn properties(&self) -> SinkProperties {
        self.part(0).map(BlockSink::properties).unwrap_or_default()
    }

    fn batch(&self) -> Option<Box<dyn Batch + '_>> {
        if self.plan.is_sparse() {
            return Some(Box::new(Worker { image: self, pieces: Vec::new() }));
        }
        match self.parts.as_slice() {
            [one] => one.get()?.batch(),
            _ => None,
        }
    }

    /// The files first, the descriptor last: no image is valid before all of it is.
    fn finish(self: Box<Self>) -> Result<()> {
        self.ledger.check()?;
        let Self { descriptor_file, descriptor, plan, siblings, parts, .. } = *self;
        for (index, part) in (0..).zip(parts) {
            let part = part.into_inner().map_or_else(|| make(&plan, &*siblings, index), Ok)?;
            part.finish()?;
        }
        descriptor_file.write_at(0, descriptor.as_bytes())?;
        descriptor_file.finish()
    }
}

/// Takes one segment after the other through the sparse files that it touches.
struct Worker<'a> {
    image: &'a Split,
    pieces: Vec<Piece<'a>>,
}

/// The part of a segment in one file.
struct Piece<'a> {
    batch: Box<dyn Batch + 'a>,
    guest: Range<u64>,
    /// Guest offset of the file's first byte.
    base: u64,
    /// Known zeros, as offsets in the file.
    zeros: Vec<Range<u64>>,
}

impl<'a> Worker<'a> {
    fn new_piece(&self, index: u64, guest: Range<u64>, segment: &Segment<'_>) -> Result<Piece<'a>> {
        let batch = self.image.part(index)?.batch().ok_or_else(|| misuse("extent file"))?;
        let inside = segment.zeros.iter().map(|zeros| zeros.start.max(guest.start)..zeros.end.min(guest.end));
        let zeros =
            inside.filter(|zeros| !zeros.is_empty()).map(|zeros| self.image.within(index, &zeros)).collect();
        Ok(Piece { batch, guest, base: self.image.plan.range(index).start, zeros })
    }

    fn each(
        &mut self,
        segment: &Segment<'_>,
        step: impl Fn(&mut dyn Batch, &Segment<'_>) -> Result<()>,
    ) -> Result<()> {
        let index = |at: u64| usize::try_from(at.saturating_sub(segment.offset)).unwrap_or(usize::MAX);
        for Piece { batch, guest, base, zeros } in &mut self.pieces {
            let in_file = Segment {
                offset: guest.start.saturating_sub(*base),
                len: guest.end.saturating_sub(guest.start),
                bytes: segment.bytes.get(index(guest.start)..index(guest.end)).unwrap_or_default(),
                zeros,
            };
            step(batch.as_mut(), &in_file)?;
        }
        Ok(())
    }
}

impl Batch for Worker<'_> {
    fn prepare(&mut self, segment: &Segment<'_>) -> Result<()> {
        let range = self.image.check(segment.offset, segment.len)?;
        self.pieces.clear();
        if segment.is_zeros() {
            return Ok(());
        }
        if (segment.bytes.len() as u64) < segment.len {
            return Err(misuse("segment").because("its bytes are fewer than its length"));
        }
        for (index, guest) in self.image.pieces(range) {
            let piece = self.new_piece(index, guest, segment)?;
            self.pieces.push(piece);
        }
        self.each(segment, |batch, segment| batch.prepare(segment))
    }

    fn place(&mut self, segment: &Segment<'_>) -> Result<()> {
        if segment.is_zeros() {
            return self.image.zero(segment.offset..segment.end());
        }
        self.each(segment, |batch, segment| batch.place(segment))
    }

    fn write(&mut self, segment: &Segment<'_>) -> Result<()> {
        self.each(segment, |batch, segment| batch.write(segment))
    }
}

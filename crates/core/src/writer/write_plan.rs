//! Writes into an image file that are planned and not yet done.

use std::ops::Range;

use super::encode_buffer::EncodeBuffer;
use super::image_file::ImageFile;
use crate::{Error, ErrorKind, GuestOffset, HostOffset, Result, Segment, range};

/// Known zeros of at least this many bytes are skipped where the file reads as zeros already. Our choice: for
/// shorter runs an additional write costs more than writing the zeros.
const MIN_SKIPPED_ZEROS: u64 = 65_536;

/// A write into the image file.
#[derive(Debug, PartialEq, Eq)]
pub enum PlannedWrite {
    /// Guest bytes, verbatim.
    Guest {
        /// The guest range.
        guest: Range<GuestOffset>,
        /// The host offset of its first byte.
        host: HostOffset,
        /// True if the host range reads as zeros until this write.
        fresh: bool,
    },
    /// Encoded units.
    Encoded {
        /// Their range in the job's [`EncodeBuffer`].
        buffer: Range<usize>,
        /// The host offset of the first byte.
        host: HostOffset,
    },
    /// A range of the file that must read as zeros.
    Zeros(Range<HostOffset>),
    /// A complete table or other metadata.
    Metadata {
        /// The host offset of the first byte.
        host: HostOffset,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// The writes for a segment, in order. Adjacent writes of one kind are merged.
///
/// ```
/// use diskimg_core::writer::{PlannedWrite, WritePlan};
/// use diskimg_core::{GuestOffset, HostOffset};
/// let mut plan = WritePlan::default();
/// plan.write_guest(GuestOffset(0)..GuestOffset(512), HostOffset(4096), true);
/// plan.write_guest(GuestOffset(512)..GuestOffset(1024), HostOffset(4608), true);
/// let [PlannedWrite::Guest { guest, .. }] = plan.writes() else { panic!("merged") };
/// assert_eq!(guest.end, GuestOffset(1024));
/// ```
#[derive(Debug, Default)]
pub struct WritePlan {
    writes: Vec<PlannedWrite>,
    /// Entries of `writes` that are metadata, and their bytes.
    metadata: (usize, u64),
}

impl WritePlan {
    /// Plans to write guest bytes verbatim at `host`; `fresh` if that range of the file reads as
    /// zeros until then.
    pub fn write_guest(&mut self, guest: Range<GuestOffset>, host: HostOffset, fresh: bool) {
        match self.writes.last_mut() {
            Some(PlannedWrite::Guest { guest: last, host: start, fresh: was_fresh })
                if last.end == guest.start
                    && *was_fresh == fresh
                    && start.plus(last.end.since(last.start)) == host =>
            {
                last.end = guest.end;
            }
            _ => self.writes.push(PlannedWrite::Guest { guest, host, fresh }),
        }
    }

    /// Plans to write encoded units at `host`.
    pub fn write_encoded(&mut self, buffer: Range<usize>, host: HostOffset) {
        match self.writes.last_mut() {
            Some(PlannedWrite::Encoded { buffer: last, host: start })
                if last.end == buffer.start && start.plus(last.len() as u64) == host =>
            {
                last.end = buffer.end;
            }
            _ => self.writes.push(PlannedWrite::Encoded { buffer, host }),
        }
    }

    /// Plans to make a range of the file read as zeros.
    pub fn zero(&mut self, range: Range<HostOffset>) {
        match self.writes.last_mut() {
            Some(PlannedWrite::Zeros(last)) if last.end == range.start => last.end = range.end,
            _ => self.writes.push(PlannedWrite::Zeros(range)),
        }
    }

    /// Plans to write metadata at `host`.
    pub fn write_metadata(&mut self, host: HostOffset, bytes: Vec<u8>) {
        let (count, total) = &mut self.metadata;
        (*count, *total) = (count.saturating_add(1), total.saturating_add(bytes.len() as u64));
        self.writes.push(PlannedWrite::Metadata { host, bytes });
    }

    /// The planned writes.
    #[must_use]
    pub fn writes(&self) -> &[PlannedWrite] {
        &self.writes
    }

    /// Bytes of metadata in a plan of nothing else; `None` for any other plan.
    #[must_use]
    pub fn only_metadata(&self) -> Option<u64> {
        (self.metadata.0 == self.writes.len()).then_some(self.metadata.1)
    }

    /// Drops all planned writes.
    pub fn clear(&mut self) {
        self.writes.clear();
        self.metadata = (0, 0);
    }

    /// Executes the planned writes of a segment and clears the plan.
    ///
    /// # Errors
    /// Those of [`ImageFile::write_at`]; [`crate::ErrorKind::InvalidInput`] for a segment with too few bytes.
    pub fn execute(&mut self, file: &ImageFile, segment: &Segment<'_>, encoded: &EncodeBuffer) -> Result<()> {
        self.metadata = (0, 0);
        for write in self.writes.drain(..) {
            match write {
                PlannedWrite::Guest { guest, host, fresh } => {
                    let known = if fresh { segment.zeros } else { &[] };
                    write_verbatim(file, segment, guest, host, known)?;
                }
                PlannedWrite::Encoded { buffer, host } => file.write_at(host, encoded.bytes(&buffer))?,
                PlannedWrite::Zeros(range) => file.zero(range)?,
                PlannedWrite::Metadata { host, bytes } => file.write_at(host, &bytes)?,
            }
        }
        Ok(())
    }

    /// Executes a plan that writes no guest bytes verbatim, and clears it.
    ///
    /// # Errors
    /// Those of [`WritePlan::execute`].
    pub fn execute_without_guest(&mut self, file: &ImageFile, encoded: &EncodeBuffer) -> Result<()> {
        self.execute(file, &Segment { offset: 0, len: 0, bytes: &[], zeros: &[] }, encoded)
    }
}

/// Writes guest bytes at `host`, without the longer runs of the `known` zeros.
fn write_verbatim(
    file: &ImageFile,
    segment: &Segment<'_>,
    guest: Range<GuestOffset>,
    host: HostOffset,
    known: &[Range<u64>],
) -> Result<()> {
    let first = known.partition_point(|zeros| zeros.end <= guest.start.0);
    let inside = known.get(first..).unwrap_or_default().iter().take_while(|zeros| zeros.start < guest.end.0);
    let skipped = inside
        .map(|zeros| GuestOffset(zeros.start).max(guest.start)..GuestOffset(zeros.end).min(guest.end))
        .filter(|zeros| zeros.end.since(zeros.start) >= MIN_SKIPPED_ZEROS);
    let mut at = guest.start;
    for skip in skipped.chain(std::iter::once(guest.end..guest.end)) {
        if at < skip.start {
            let bytes = guest_bytes(segment, &(at..skip.start))?;
            file.write_at(host.plus(at.since(guest.start)), bytes)?;
        }
        at = skip.end;
    }
    Ok(())
}

/// The bytes of a guest range that lies in the segment.
pub(super) fn guest_bytes<'a>(segment: &Segment<'a>, guest: &Range<GuestOffset>) -> Result<&'a [u8]> {
    range::slice(segment.bytes, segment.offset, &(guest.start.0..guest.end.0)).ok_or_else(|| {
        let error = Error::new(ErrorKind::InvalidInput).field("segment");
        error.because("its bytes are fewer than its length")
    })
}

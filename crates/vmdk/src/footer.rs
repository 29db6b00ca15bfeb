//! The footer of a stream, which has the offset of the grain directory.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". The last three
//! sectors of the file are the footer's marker, the footer, and the end-of-stream marker, which is all zeros.
//!
//! A transfer may pad a file with zeros to whole sectors or blocks, and a device that holds an image ends with zeros. A
//! footer is therefore accepted, in files and in streams, if only zeros follow it. A file whose header has the offset of
//! the directory needs no footer; the bytes after its last grain are ignored.

use std::ops::Range;

use diskimg_core::{BlockSource, Error, Extents, Finding, HostOffset, Result, range, zeros};

use crate::addr::{SECTOR, sector_offset, sectors};
use crate::errors::{corrupt, truncated};
use crate::marker::{MARKER_LENGTH, Marker, Metadata};
use crate::sparse_header::{MAGIC, SparseHeader};

/// Bytes of marker, footer and end-of-stream marker. A file without padding ends with them, and a source that
/// streams retains no more of its end.
const UNPADDED: u64 = 3 * SECTOR;
/// Bytes at the end of a file that are searched for the footer without looking for the end of the data. Our choice:
/// transfers pad to blocks of 64 KiB at most.
const SEARCHED: u64 = 128 << 10;
/// Bytes of a read that searches for zeros, and of the first step over holes. Our choice.
const STEP: u64 = 1 << 20;
/// [`SECTOR`] as the length of a slice.
const SECTOR_BYTES: usize = 512;

/// A footer and its offset.
pub(crate) struct Footer {
    pub(crate) header: SparseHeader,
    pub(crate) at: HostOffset,
}

/// Finds the footer of a file that begins with `header`. Returns a finding with it if more zeros than usual follow.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Truncated`] if the file ends before it, [`diskimg_core::ErrorKind::Corrupt`] if
/// bytes other than zeros follow it, if it has no offset of the directory, or if it differs from the header.
pub(crate) fn find(source: &dyn BlockSource, header: &SparseHeader) -> Result<(Footer, Option<Finding>)> {
    let (footer, finding) = match find_near_end(source, header)? {
        Some(footer) => (footer, None),
        None => {
            let end = end_of_data(source)?.plus(SECTOR).min(whole_sectors(source));
            (search(source, header, end, UNPADDED)?, Some(zeros_follow()))
        }
    };
    check_ends_once(source, &footer)?;
    Ok((footer, finding))
}

/// Checks that a marker precedes the grain directory, and that no other footer follows it. Of two images in one file, the
/// last footer has an offset in the second one: it is that of other bytes, or of the directory of the first image.
fn check_ends_once(source: &dyn BlockSource, footer: &Footer) -> Result<()> {
    let directory = sector_offset(footer.header.directory_sectors);
    let end = directory.0.saturating_add(footer.header.directory_bytes());
    // A directory past the end of the file is reported when it is selected.
    if footer.header.directory_bytes() == 0 || end > source.size() {
        return Ok(());
    }
    let before = HostOffset(directory.0.saturating_sub(SECTOR));
    if metadata_at(source, before, directory)? != Some(Metadata::GrainDirectory) {
        return Err(corrupt("gdOffset of the footer")
            .at(footer.at.plus(56).0)
            .found(footer.header.directory_sectors)
            .expected("the sector after the marker of a grain directory"));
    }
    let after = HostOffset(end.checked_next_multiple_of(SECTOR).unwrap_or(end));
    if metadata_at(source, after, HostOffset(footer.at.0.saturating_sub(SECTOR)))? == Some(Metadata::Footer) {
        let at = after.plus(UNPADDED);
        return Err(corrupt("trailing data").at(at.0).because("more bytes follow the end of the stream"));
    }
    Ok(())
}

/// The kind of metadata that the marker at `at` announces. `None` if there is no such marker before `end`.
fn metadata_at(source: &dyn BlockSource, at: HostOffset, end: HostOffset) -> Result<Option<Metadata>> {
    if at.plus(SECTOR) > end {
        return Ok(None);
    }
    let mut bytes = [0; MARKER_LENGTH];
    source.read_at(at.0, &mut bytes)?;
    Ok(match Marker::parse(&bytes, at) {
        Ok(Marker::Metadata { kind, .. }) => Some(kind),
        _ => None,
    })
}

/// Finds the footer in the last 128 KiB of a file. `None` if they are zeros and the file is longer.
///
/// # Errors
/// As [`find`].
pub(crate) fn find_near_end(source: &dyn BlockSource, header: &SparseHeader) -> Result<Option<Footer>> {
    let end = whole_sectors(source);
    let footer = search(source, header, end, UNPADDED).or_else(|_| search(source, header, end, SEARCHED));
    let start = HostOffset(end.0.saturating_sub(SEARCHED));
    match footer {
        Ok(footer) => Ok(Some(footer)),
        // A footer may be in the first sectors, its marker before them.
        Err(_) if start.0 > SECTOR && last_data(source, start.plus(2 * SECTOR)..end)?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The finding on a file whose last 128 KiB are zeros.
pub(crate) fn zeros_follow() -> Finding {
    Finding::warning("footer", format!("the last {SEARCHED} bytes of the file are zeros"))
}

/// The finding on bytes at `at`, after the last structure of an image without a footer.
pub(crate) fn data_follows(at: HostOffset) -> Finding {
    let message = format!("the bytes from {} on, after the end of the stream, are ignored", at.0);
    Finding::warning("trailing_data", message).at(at.0)
}

fn whole_sectors(source: &dyn BlockSource) -> HostOffset {
    HostOffset(source.size() / SECTOR * SECTOR)
}

/// Returns the end of the last sector that is not zero.
///
/// Holes of the file are skipped in steps that grow, so the cost depends on the bytes that the file stores. A block device
/// has no holes and is read.
fn end_of_data(source: &dyn BlockSource) -> Result<HostOffset> {
    let (mut end, mut step) = (whole_sectors(source), STEP);
    while end.0 > SECTOR {
        let start = HostOffset(end.0.saturating_sub(step).max(SECTOR));
        let mut is_hole = true;
        for extent in Extents::new(source, start.0..end.0) {
            is_hole &= extent?.kind.reads_as_zeros();
        }
        match is_hole {
            true => step = step.saturating_mul(2),
            false if step > STEP => {
                step = STEP;
                continue;
            }
            false => {
                if let Some(found) = last_data(source, start..end)? {
                    return Ok(found);
                }
            }
        }
        end = start;
    }
    Ok(HostOffset(SECTOR))
}

/// Returns the end of the last sector in `host` that is not zero.
fn last_data(source: &dyn BlockSource, host: Range<HostOffset>) -> Result<Option<HostOffset>> {
    let mut end = host.end;
    while end > host.start {
        let start = HostOffset(end.0.saturating_sub(STEP)).max(host.start);
        let mut bytes = vec![0; range::buffer_len(&(start.0..end.0))];
        source.read_at(start.0, &mut bytes)?;
        let last = bytes.chunks(SECTOR_BYTES).rposition(|sector| !zeros::is_zero(sector));
        if let Some(index) = last {
            return Ok(Some(start.plus(sectors(index as u64)).plus(SECTOR)));
        }
        end = start;
    }
    Ok(None)
}

/// Searches the last `within` bytes before `end` for the footer.
fn search(source: &dyn BlockSource, header: &SparseHeader, end: HostOffset, within: u64) -> Result<Footer> {
    let start = HostOffset(end.0.saturating_sub(within).max(SECTOR));
    let mut bytes = vec![0; range::buffer_len(&(start.0..end.0))];
    source.read_at(start.0, &mut bytes)?;
    let tail = FileTail { start, end, sectors: bytes.chunks_exact(SECTOR_BYTES).collect() };
    let last = tail.sectors.iter().rposition(|sector| !zeros::is_zero(sector));
    let Some(index) = last.filter(|last| tail.is_footer(*last)) else { return Err(tail.no_footer(last)) };
    if tail.sectors.get(index.saturating_add(1)).is_none() {
        return Err(truncated("end-of-stream marker").at(end.0).because("the file ends after the footer"));
    }
    let at = tail.offset(index);
    let footer = SparseHeader::parse(tail.sectors.get(index).copied().unwrap_or_default(), at)?;
    check_copy(header, &footer, at)?;
    Ok(Footer { header: footer, at })
}

/// The whole sectors at the end of a file.
struct FileTail<'a> {
    start: HostOffset,
    end: HostOffset,
    sectors: Vec<&'a [u8]>,
}

impl FileTail<'_> {
    fn offset(&self, index: usize) -> HostOffset {
        self.start.plus(sectors(index as u64))
    }

    fn has_magic(&self, index: usize) -> bool {
        self.sectors.get(index).is_some_and(|sector| sector.starts_with(&MAGIC))
    }

    /// Returns true if a sector begins with the magic and follows a footer marker.
    fn is_footer(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1) else { return false };
        let marker = self.sectors.get(before).and_then(|sector| sector.first_chunk());
        let marker = marker.map(|bytes| Marker::parse(bytes, self.offset(before)));
        let is_marker = matches!(marker, Some(Ok(Marker::Metadata { kind: Metadata::Footer, sectors: 1 })));
        is_marker && self.has_magic(index)
    }

    /// The error for a tail whose last sector that is not zero is not a footer.
    fn no_footer(&self, last: Option<usize>) -> Error {
        if let Some(index) = last.filter(|last| self.has_magic(*last)) {
            let marker_at = self.offset(index).0.saturating_sub(SECTOR);
            return corrupt("marker of the footer").at(marker_at).expected("type 3 and 1 sector");
        }
        match (0..self.sectors.len()).rev().find(|index| self.is_footer(*index)) {
            Some(index) => corrupt("footer")
                .at(self.offset(index).0)
                .because("bytes other than zeros follow the end of the stream"),
            None => truncated("footer")
                .at(self.end.0)
                .because("the header refers to a footer, and the file ends without one"),
        }
    }
}

/// Checks that the footer at `at` is a copy of `header` with the offset of the directory.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] if it is not.
pub(crate) fn check_copy(header: &SparseHeader, footer: &SparseHeader, at: HostOffset) -> Result<()> {
    if footer.has_footer() || footer.directory_sectors == 0 {
        return Err(corrupt("gdOffset of the footer")
            .at(at.plus(56).0)
            .found_hex(footer.directory_sectors)
            .expected("the sector of the grain directory"));
    }
    let fields = [
        ("version", 4, header.version.into(), footer.version.into()),
        ("capacity", 12, header.capacity_sectors, footer.capacity_sectors),
        ("grainSize", 20, header.grain_sectors, footer.grain_sectors),
        ("descriptorOffset", 28, header.descriptor_offset_sectors, footer.descriptor_offset_sectors),
        ("descriptorSize", 36, header.descriptor_size_sectors, footer.descriptor_size_sectors),
        ("numGTEsPerGT", 44, header.entries_per_table.into(), footer.entries_per_table.into()),
    ];
    for (field, offset, expected, found) in fields {
        if found != expected {
            return Err(corrupt(format!("{field} of the footer"))
                .at(at.plus(offset).0)
                .found(found)
                .expected(format_args!("{expected}, as in the header")));
        }
    }
    Ok(())
}

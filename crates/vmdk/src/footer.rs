//! The footer of a stream, which has the offset of the grain directory.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". The last three
//! sectors of the file are the footer's marker, the footer, and the end-of-stream marker, which is all zeros.
//!
//! A transfer may pad a file with zeros to whole sectors or blocks. A footer is therefore accepted, in files and
//! in streams, if it begins in the last 128 KiB and only zeros follow it. A file whose header has the offset of
//! the directory needs no footer; the bytes after its last grain are ignored.

use diskimg_core::{BlockSource, HostOffset, Result};

use crate::errors::{corrupt, truncated};
use crate::marker::{Marker, Metadata};
use crate::sparse_header::{MAGIC, SECTOR, SparseHeader};

/// Bytes of marker, footer and end-of-stream marker. A file without padding ends with them, and a source that
/// streams retains no more of its end.
const LAST: u64 = 3 * SECTOR;
/// Bytes at the end of a file in which the footer is searched. Our limit: transfers pad to blocks of 64 KiB at
/// most.
const SEARCHED: u64 = 128 << 10;
/// [`SECTOR`] as the length of a slice.
const SECTOR_BYTES: usize = 512;

/// Finds the footer of a file that begins with `header`. Returns it with its offset.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Truncated`] if the file ends before it, [`diskimg_core::ErrorKind::Corrupt`] if
/// bytes other than zeros follow it, if it has no offset of the directory, or if it differs from the header.
pub(crate) fn find(source: &dyn BlockSource, header: &SparseHeader) -> Result<(SparseHeader, HostOffset)> {
    search(source, header, LAST).or_else(|_| search(source, header, SEARCHED))
}

/// Returns true if [`find`] searches, in a file of `size` bytes, the footer whose end-of-stream marker is at byte
/// `end`.
pub(crate) const fn is_searched(end: u64, size: u64) -> bool {
    (size / SECTOR * SECTOR).saturating_sub(SEARCHED) <= end.saturating_sub(2 * SECTOR)
}

/// Searches the footer in the last `within` bytes.
fn search(
    source: &dyn BlockSource,
    header: &SparseHeader,
    within: u64,
) -> Result<(SparseHeader, HostOffset)> {
    let end = source.size() / SECTOR * SECTOR;
    let start = end.saturating_sub(within).max(SECTOR);
    let mut tail = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or_default()];
    source.read_at(start, &mut tail)?;
    let sectors: Vec<&[u8]> = tail.chunks_exact(SECTOR_BYTES).collect();
    let place = |index: usize| start.saturating_add((index as u64).saturating_mul(SECTOR));
    let last = sectors.iter().rposition(|sector| sector.iter().any(|byte| *byte != 0));
    let is_footer = |index: usize| {
        let marker = index.checked_sub(1).and_then(|before| sectors.get(before));
        let magic = sectors.get(index).is_some_and(|sector| sector.starts_with(&MAGIC));
        magic && marker.is_some_and(|marker| is_marker(marker, place(index).saturating_sub(SECTOR)))
    };
    let Some(at) = last.filter(|last| is_footer(*last)) else {
        let magic = last.and_then(|last| sectors.get(last)).is_some_and(|sector| sector.starts_with(&MAGIC));
        if let Some(last) = last.filter(|_| magic) {
            return Err(corrupt("marker of the footer")
                .at(place(last).saturating_sub(SECTOR))
                .expected("type 3 and 1 sector"));
        }
        let earlier = (0..sectors.len()).rev().find(|index| is_footer(*index));
        return Err(match earlier {
            Some(index) => corrupt("footer")
                .at(place(index))
                .because("bytes that are not zeros follow the end of the stream"),
            None => truncated("footer")
                .at(end)
                .because("the header refers to a footer, and the file ends without one"),
        });
    };
    if sectors.get(at.saturating_add(1)).is_none() {
        return Err(truncated("end-of-stream marker").at(end).because("the file ends after the footer"));
    }
    let footer = SparseHeader::parse(sectors.get(at).copied().unwrap_or_default(), place(at))?;
    check_copy(header, &footer, place(at))?;
    Ok((footer, HostOffset(place(at))))
}

fn is_marker(sector: &[u8], at: u64) -> bool {
    let marker = sector.first_chunk().map(|bytes| Marker::parse(bytes, at));
    matches!(marker, Some(Ok(Marker::Metadata { kind: Metadata::Footer, sectors: 1 })))
}

/// Checks that the footer at byte `at` is a copy of `header` with the offset of the directory.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] if it is not.
pub(crate) fn check_copy(header: &SparseHeader, footer: &SparseHeader, at: u64) -> Result<()> {
    if footer.has_footer() || footer.directory_sectors == 0 {
        return Err(corrupt("gdOffset of the footer")
            .at(at.saturating_add(56))
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
                .at(at.saturating_add(offset))
                .found(found)
                .expected(format_args!("{expected}, as in the header")));
        }
    }
    Ok(())
}

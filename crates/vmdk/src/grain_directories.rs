//! The choice between the two grain directories of a hosted sparse extent.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extent Header" and "Grain Directory". The redundant
//! directory has tables of its own, copies of those of the primary one.

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{BlockSource, Error, Finding, HostOffset, Result};

use crate::addr::{SECTOR, sector_offset, span};
use crate::errors::corrupt;
use crate::grain_tables::GrainDirectories;
use crate::metadata_areas::{MetadataAreas, check_in_file};
use crate::sparse_header::{REDUNDANT_DIRECTORY, SparseHeader};

/// Bytes of the primary directory that are checked on opening. Our limit: one page, the directory of 128 GiB.
const CHECKED_BYTES: u64 = 16_384;
/// The name of findings on directories.
const CHECK: &str = "grain_directory";

/// Selects the directories that the header, or footer, at `at` of a file of `file_size` bytes gives.
///
/// If only one of two is usable, the finding describes the defect of the other.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Corrupt`] or [`diskimg_core::ErrorKind::Truncated`] if none is usable.
pub(crate) fn select(
    header: &SparseHeader,
    at: HostOffset,
    file_size: u64,
) -> Result<(GrainDirectories, Option<Finding>)> {
    let check = |field: &str, at: HostOffset, sector: u64| {
        let start = sector_offset(sector);
        if start.0 < SECTOR {
            return Err(corrupt(field).at(at.0).found(sector).expected("a sector after the header"));
        }
        check_in_file(field, at.0, &span(start, header.directory_bytes()), file_size).map(|()| start)
    };
    let primary = check("gdOffset", at.plus(56), header.directory_sectors);
    if !header.has(REDUNDANT_DIRECTORY) {
        return Ok((GrainDirectories { primary: primary?, redundant: None }, None));
    }
    let redundant = check("rgdOffset", at.plus(48), header.redundant_directory_sectors);
    match (primary, redundant) {
        (Ok(primary), Ok(redundant)) => Ok((GrainDirectories { primary, redundant: Some(redundant) }, None)),
        (Ok(usable), Err(error)) | (Err(error), Ok(usable)) => {
            Ok((GrainDirectories { primary: usable, redundant: None }, Some(only_one(&error))))
        }
        (Err(error), Err(_)) => Err(error),
    }
}

fn only_one(error: &Error) -> Finding {
    Finding::warning(CHECK, format!("only one of two grain directories is usable: {error}"))
}

/// Counts damaged entries in the first part of the primary directory, if there is a redundant one to replace
/// them. Returns no finding if there are none.
///
/// # Errors
/// Errors of reading the file.
pub(crate) fn damaged_entries(
    source: &dyn BlockSource,
    header: &SparseHeader,
    directories: GrainDirectories,
) -> Result<Option<Finding>> {
    if directories.redundant.is_none() {
        return Ok(None);
    }
    let len = header.directory_bytes().min(CHECKED_BYTES);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    source.read_at(directories.primary.0, &mut bytes)?;
    let areas = areas(header, directories);
    let table_bytes = u64::from(header.entries_per_table).saturating_mul(4);
    let is_damaged = |entry: &u64| {
        let table = span(sector_offset(*entry), table_bytes);
        *entry != 0 && (table.start.0 >= source.size() || areas.overlapping(&table).is_some())
    };
    let entries = bytes.chunks_exact(4).map(|word| u64::from(LittleEndian::read_u32(word)));
    Ok(match entries.filter(is_damaged).count() {
        0 => None,
        damaged => {
            let message =
                format!("{damaged} entries of the grain directory are damaged: the redundant one is used");
            Some(Finding::warning(CHECK, message).at(directories.primary.0))
        }
    })
}

/// The findings on the two directories of the header, or footer, at `at`, without opening the image.
///
/// With `read_directory`, the first part of the primary directory is read too.
pub(crate) fn findings(
    source: &dyn BlockSource,
    header: &SparseHeader,
    at: HostOffset,
    read_directory: bool,
) -> Vec<Finding> {
    if !header.has(REDUNDANT_DIRECTORY) {
        return Vec::new();
    }
    match select(header, at, source.size()) {
        Ok((directories, finding)) => {
            let damage = if read_directory { damaged_entries(source, header, directories) } else { Ok(None) };
            let damage = damage.unwrap_or_else(|error| {
                Some(Finding::warning(CHECK, format!("the grain directory cannot be read: {error}")))
            });
            finding.into_iter().chain(damage).collect()
        }
        Err(error) => {
            vec![Finding::warning(CHECK, format!("neither of two grain directories is usable: {error}"))]
        }
    }
}

/// The areas of metadata that header and directories give.
pub(crate) fn areas(header: &SparseHeader, directories: GrainDirectories) -> MetadataAreas {
    let directory = |at| span(at, header.directory_bytes());
    let mut areas =
        vec![("header", span(HostOffset(0), SECTOR)), ("grain directory", directory(directories.primary))];
    areas.extend(header.descriptor().map(|range| ("descriptor", range)));
    areas.extend(directories.redundant.map(|at| ("redundant grain directory", directory(at))));
    MetadataAreas::new(areas)
}

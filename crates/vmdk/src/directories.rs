//! Which grain directory of a hosted sparse extent is used: the first, or the redundant one where that is
//! damaged.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Hosted Sparse Extent Header" and "Grain Directory". The second
//! directory has tables of its own, copies of the first ones.

use std::ops::Range;

use byteorder::{ByteOrder, LittleEndian};
use diskimg_core::{BlockSource, Error, Finding, Result};

use crate::describe::warning;
use crate::errors::{corrupt, truncated};
use crate::lookup::{Reserved, overlapped};
use crate::sparse_header::{REDUNDANT_DIRECTORY, SECTOR, SparseHeader};

/// Bytes of the grain directory that are looked through on opening, for damage that a second directory makes
/// good. A bound of ours: one page, the directory of 128 GiB.
const LOOKED_THROUGH: u64 = 16_384;
/// The name of findings on directories.
const CHECK: &str = "grain_directory";

/// The directories of an extent; offsets are bytes.
pub(crate) struct Directories {
    /// The one to use.
    pub(crate) first: u64,
    /// The one for where that is damaged.
    pub(crate) second: Option<u64>,
    /// What is wrong with the other one, where only one can be used.
    pub(crate) finding: Option<Finding>,
}

impl Directories {
    /// The directories by the header, or footer, at byte `at` of a file of `size` bytes.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Corrupt`] and [`diskimg_core::ErrorKind::Truncated`] when none can be used.
    pub(crate) fn of(header: &SparseHeader, at: u64, size: u64) -> Result<Self> {
        let len = directory_bytes(header);
        let check = |field: &str, at: u64, sectors: u64| {
            let area = span(sectors.saturating_mul(SECTOR), len);
            if area.start < SECTOR {
                return Err(corrupt(field).at(at).found(sectors).expected("a sector behind the header"));
            }
            in_file(field, at, &area, size).map(|()| area.start)
        };
        let first = check("gdOffset", at.saturating_add(56), header.directory_sectors);
        if !header.has(REDUNDANT_DIRECTORY) {
            return Ok(Self { first: first?, second: None, finding: None });
        }
        let second = check("rgdOffset", at.saturating_add(48), header.redundant_directory_sectors);
        Ok(match (first, second) {
            (Ok(first), Ok(second)) => Self { first, second: Some(second), finding: None },
            (Ok(used), Err(error)) | (Err(error), Ok(used)) => {
                Self { first: used, second: None, finding: Some(only_one(&error)) }
            }
            (Err(error), Err(_)) => return Err(error),
        })
    }
}

fn only_one(error: &Error) -> Finding {
    warning(CHECK, format!("only one of two grain directories can be used: {error}"))
}

/// Tells of a first directory that is damaged where a second one is there to help: by as much of it as may be
/// looked through.
///
/// # Errors
/// What reading the file gives.
pub(crate) fn look_through(
    source: &dyn BlockSource,
    header: &SparseHeader,
    directories: &Directories,
) -> Result<Option<Finding>> {
    if directories.second.is_none() {
        return Ok(None);
    }
    let len = directory_bytes(header).min(LOOKED_THROUGH);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    source.read_at(directories.first, &mut bytes)?;
    let reserved = reserved(header, directories.first, directories.second);
    let table_bytes = u64::from(header.entries_per_table).saturating_mul(4);
    let damaged = |entry: &u64| {
        let table = span(entry.saturating_mul(SECTOR), table_bytes);
        *entry != 0 && (table.start >= source.size() || overlapped(&reserved, &table).is_some())
    };
    let entries = bytes.chunks_exact(4).map(|word| u64::from(LittleEndian::read_u32(word)));
    Ok(match entries.filter(damaged).count() {
        0 => None,
        bad => {
            let message = format!("{bad} entries of the grain directory are damaged: the second one is used");
            Some(warning(CHECK, message).at(directories.first))
        }
    })
}

/// What there is to tell of two directories by the header at byte `at`, as far as it can be had without opening
/// the image: by the first bytes of the directory if it may be looked `within`, or by the header alone.
pub(crate) fn findings(
    source: &dyn BlockSource,
    header: &SparseHeader,
    at: u64,
    within: bool,
) -> Vec<Finding> {
    if !header.has(REDUNDANT_DIRECTORY) {
        return Vec::new();
    }
    match Directories::of(header, at, source.size()) {
        Ok(directories) => {
            let looked = if within { look_through(source, header, &directories) } else { Ok(None) };
            let looked = looked.unwrap_or_else(|error| {
                Some(warning(CHECK, format!("the grain directory cannot be read: {error}")))
            });
            directories.finding.into_iter().chain(looked).collect()
        }
        Err(error) => vec![warning(CHECK, format!("neither of two grain directories can be used: {error}"))],
    }
}

/// Metadata whose place is known without reading more: neither a table nor a grain can lie there.
pub(crate) fn reserved(header: &SparseHeader, directory: u64, redundant: Option<u64>) -> Vec<Reserved> {
    let len = directory_bytes(header);
    let descriptor = header.descriptor_offset_sectors.saturating_mul(SECTOR);
    let part = |what, range| Reserved { what, range };
    let mut all = vec![part("header", 0..SECTOR), part("grain directory", span(directory, len))];
    if descriptor != 0 {
        let len = header.descriptor_size_sectors.saturating_mul(SECTOR);
        all.push(part("descriptor", span(descriptor, len)));
    }
    all.extend(redundant.map(|at| part("redundant grain directory", span(at, len))));
    all
}

fn directory_bytes(header: &SparseHeader) -> u64 {
    header.directory_entries().saturating_mul(4)
}

/// `len` bytes from `start` on.
pub(crate) fn span(start: u64, len: u64) -> Range<u64> {
    start..start.saturating_add(len)
}

/// Checks that an area, told by `field` at byte `at`, lies inside a file of `size` bytes.
///
/// # Errors
/// [`diskimg_core::ErrorKind::Truncated`] when it does not.
pub(crate) fn in_file(field: &str, at: u64, area: &Range<u64>, size: u64) -> Result<()> {
    if area.end <= size {
        return Ok(());
    }
    Err(truncated(field).at(at).found(area.start / SECTOR).expected(format_args!(
        "{} bytes inside the file, which ends at byte {size}",
        area.end.saturating_sub(area.start)
    )))
}

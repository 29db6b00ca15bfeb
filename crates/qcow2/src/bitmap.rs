//! The directory of persistent dirty bitmaps, read for information only.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "Bitmaps".

use std::ops::Range;

use diskimg_core::{Budget, Result};
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};

use crate::addr::{HostOffset, span};
use crate::errors::corrupt;
use crate::extensions::BitmapsExtension;
use crate::file_window::FileWindow;

/// The length in bytes of an entry before its variable parts.
const FIXED_BYTES: u64 = 24;
/// The maximum number of bitmaps of an image. QEMU's limit (`QCOW2_MAX_BITMAPS`).
const MAX_BITMAPS: u32 = 65_535;
/// log2 of the largest granularity in bytes. QEMU's limit (`BME_MAX_GRANULARITY_BITS`).
const MAX_GRANULARITY_BITS: u8 = 31;

/// An entry of the directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bitmap {
    /// The name, not escaped.
    pub(crate) name: Vec<u8>,
    /// The guest bytes that one bit covers.
    pub(crate) granularity: u64,
    /// True if the bitmap was not saved when the image was last closed, so its content is invalid.
    pub(crate) in_use: bool,
    /// True if a writer that changes the disk must update the bitmap.
    pub(crate) auto: bool,
    /// The place of the bitmap table in the file.
    pub(crate) table: Range<HostOffset>,
}

struct BitmapFields {
    table_offset: u64,
    table_entries: u32,
    flags: u32,
    granularity_bits: u8,
    name_len: u16,
    extra_len: u32,
}

/// Returns the bitmaps of the directory that the extension points to.
///
/// # Errors
/// If the directory is damaged or truncated, or larger than `budget` or QEMU allows.
pub(crate) fn list(
    extension: BitmapsExtension,
    budget: &Budget,
    window: &mut FileWindow<'_>,
) -> Result<Vec<Bitmap>> {
    if extension.count == 0 || extension.count > MAX_BITMAPS {
        let expected = format!("1 to {MAX_BITMAPS}");
        return Err(corrupt("nb_bitmaps").found(extension.count).expected(expected));
    }
    let directory = span(HostOffset(extension.directory_offset), extension.directory_bytes);
    let mut at = directory.start.0;
    let mut listed = Vec::new();
    for _ in 0..extension.count {
        let (entry, bytes) = entry(at, directory.end.0, window)?;
        budget.take(entry.name.len() as u64)?;
        listed.push(entry);
        // Not past the end of the directory.
        at += bytes;
    }
    Ok(listed)
}

/// Returns the entry at `at`, and its length with padding.
fn entry(at: u64, end: u64, window: &mut FileWindow<'_>) -> Result<(Bitmap, u64)> {
    let fault = |what: &str| corrupt("bitmap directory").at(at).because(what);
    let (_, fixed) = fixed(window.read("bitmap directory", at, FIXED_BYTES)?)
        .map_err(|_| fault("an entry is truncated"))?;
    if fixed.granularity_bits > MAX_GRANULARITY_BITS {
        return Err(fault("a granularity is wider than 2^31 bytes"));
    }
    // At most 24 bytes, 32 bits and 16 bits: no overflow.
    let name_from = FIXED_BYTES + u64::from(fixed.extra_len);
    let bytes = (name_from + u64::from(fixed.name_len)).next_multiple_of(8);
    if at.checked_add(bytes).is_none_or(|entry_end| entry_end > end) {
        return Err(fault("an entry ends past the end of the directory"));
    }
    let name = window.read("bitmap directory", at + name_from, fixed.name_len.into())?.to_vec();
    let bitmap = Bitmap {
        name,
        granularity: 1 << fixed.granularity_bits,
        in_use: fixed.flags & 1 != 0,
        auto: fixed.flags & 2 != 0,
        table: span(HostOffset(fixed.table_offset), u64::from(fixed.table_entries) * 8),
    };
    Ok((bitmap, bytes))
}

fn fixed(bytes: &[u8]) -> IResult<&[u8], BitmapFields> {
    let (rest, (table_offset, table_entries, flags)) = (be_u64, be_u32, be_u32).parse(bytes)?;
    let (rest, (_kind, granularity_bits, name_len, extra_len)) =
        (be_u8, be_u8, be_u16, be_u32).parse(rest)?;
    Ok((rest, BitmapFields { table_offset, table_entries, flags, granularity_bits, name_len, extra_len }))
}

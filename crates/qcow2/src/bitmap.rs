//! The directory of persistent dirty bitmaps: names and granularities, for information only.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, "BitmapsExtension".

use std::ops::Range;

use diskimg_core::{Budget, Result};
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};

use crate::addr::span;
use crate::errors::corrupt;
use crate::extensions::BitmapsExtension;
use crate::file_window::FileWindow;

/// Bytes of an entry before its variable parts.
const FIXED_BYTES: u64 = 24;
/// The most bitmaps of an image. A bound of QEMU's (`QCOW2_MAX_BITMAPS`).
const MAX_BITMAPS: u32 = 65_535;
/// The widest granularity as a power of two. A bound of QEMU's (`BME_MAX_GRANULARITY_BITS`).
const MAX_GRANULARITY_BITS: u8 = 31;

/// What the directory says of a bitmap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bitmap {
    /// Not yet escaped.
    pub(crate) name: Vec<u8>,
    /// Guest bytes that one bit stands for.
    pub(crate) granularity: u64,
    /// Was being changed when the image was last closed: not to be trusted.
    pub(crate) in_use: bool,
    /// Is to be kept up to date by whoever changes the disk.
    pub(crate) auto: bool,
    /// Where its table is in the file.
    pub(crate) table: Range<u64>,
}

struct BitmapFields {
    table_offset: u64,
    table_entries: u32,
    flags: u32,
    granularity_bits: u8,
    name_len: u16,
    extra_len: u32,
}

/// The bitmaps of the directory that the extension points at.
///
/// # Errors
/// When the directory is damaged, cut, or larger than `budget` or QEMU allow.
pub(crate) fn list(
    extension: BitmapsExtension,
    budget: &Budget,
    window: &mut FileWindow<'_>,
) -> Result<Vec<Bitmap>> {
    if extension.count == 0 || extension.count > MAX_BITMAPS {
        return Err(corrupt("nb_bitmaps")
            .found(extension.count)
            .expected(format_args!("1 to {MAX_BITMAPS}")));
    }
    let end = extension.directory_offset.saturating_add(extension.directory_bytes);
    let mut at = extension.directory_offset;
    let mut listed = Vec::new();
    for _ in 0..extension.count {
        let (entry, bytes) = entry(at, end, window)?;
        budget.take(entry.name.len() as u64)?;
        listed.push(entry);
        at = at.saturating_add(bytes);
    }
    Ok(listed)
}

/// The entry at `at`, and its length with padding.
fn entry(at: u64, end: u64, window: &mut FileWindow<'_>) -> Result<(Bitmap, u64)> {
    let fault = |what: &str| corrupt("bitmap directory").at(at).because(what);
    let (_, fixed) = fixed(window.read("bitmap directory", at, FIXED_BYTES)?)
        .map_err(|_| fault("an entry is cut short"))?;
    if fixed.granularity_bits > MAX_GRANULARITY_BITS {
        return Err(fault("a granularity is wider than 2^31 bytes"));
    }
    let name_at = at.saturating_add(FIXED_BYTES).saturating_add(fixed.extra_len.into());
    let bytes = name_at.saturating_add(fixed.name_len.into()).saturating_sub(at).next_multiple_of(8);
    if at.saturating_add(bytes) > end {
        return Err(fault("an entry leaves the directory"));
    }
    let name = window.read("bitmap directory", name_at, fixed.name_len.into())?.to_vec();
    let bitmap = Bitmap {
        name,
        granularity: 1 << fixed.granularity_bits,
        in_use: fixed.flags & 1 != 0,
        auto: fixed.flags & 2 != 0,
        table: span(fixed.table_offset, u64::from(fixed.table_entries).saturating_mul(8)),
    };
    Ok((bitmap, bytes))
}

fn fixed(bytes: &[u8]) -> IResult<&[u8], BitmapFields> {
    let (rest, (table_offset, table_entries, flags)) = (be_u64, be_u32, be_u32).parse(bytes)?;
    let (rest, (_kind, granularity_bits, name_len, extra_len)) =
        (be_u8, be_u8, be_u16, be_u32).parse(rest)?;
    Ok((rest, BitmapFields { table_offset, table_entries, flags, granularity_bits, name_len, extra_len }))
}

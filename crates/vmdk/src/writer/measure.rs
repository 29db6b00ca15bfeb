//! The sizes of an image's files before it is written.

use std::ops::Range;

use diskimg_core::{CreateOptions, Measured, Result, Siblings, Touched};

use super::extent_files::ExtentFiles;
use super::extent_layout::{DESCRIPTOR_SECTORS, GRAIN_TABLE_BYTES, MetadataLayout, checked_geometry};
use super::grain_encoder::GrainEncoder;
use super::image_writer::{OWN_NAME, check};
use super::options::{Subformat, WriterOptions};
use super::settings::from_settings;
use super::stream_optimized_writer::overhead_sectors;
use crate::addr::{SECTOR, sectors};

/// Computes the size of the image that [`super::create`] makes with these options, as the sum of all its files.
///
/// The ranges `data` are stored; they ascend and do not overlap. `None` stores nothing. The result is exact if each
/// grain that the ranges touch has a byte that is not zero. For streamOptimized it assumes grains that cannot be
/// compressed. Without [`CreateOptions::siblings`] the image is named `disk.vmdk`. A sparse extent larger than the
/// format supports is measured too.
///
/// # Errors
/// Those of [`super::create`]; an error of `data`.
///
/// ```
/// use diskimg_core::{CreateOptions, Setting};
/// let options = CreateOptions {
///     virtual_size: 1 << 30,
///     settings: Setting::parse_list("subformat=monolithicSparse")?,
///     ..CreateOptions::default()
/// };
/// let mut data = [Ok(0..100), Ok(200..300), Ok(70_000..70_001)].into_iter();
/// let measured = diskimg_vmdk::measure(&options, Some(&mut data))?;
/// assert_eq!(measured.fully_allocated - measured.required, (1 << 30) - 2 * 65_536);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn measure(
    options: &CreateOptions,
    data: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
) -> Result<Measured> {
    let parsed = from_settings(options)?;
    check(&parsed)?;
    let sizes = match parsed.subformat {
        Subformat::MonolithicSparse => sparse(&parsed)?,
        Subformat::StreamOptimized => stream_optimized(&parsed)?,
        _ => several_files(&parsed, options.siblings.as_deref().map_or(OWN_NAME, Siblings::image_name))?,
    };
    let required = data.map_or(Ok(sizes.fixed), |data| sizes.file_bytes(data))?;
    let fully_allocated = sizes.file_bytes(&mut std::iter::once(Ok(0..parsed.virtual_size)))?;
    Ok(Measured::new(required, fully_allocated))
}

/// The parts of the file sizes: a constant, and bytes per stored grain and per grain table.
#[derive(Default)]
struct ExtentFileSizes {
    /// Bytes for any data.
    fixed: u64,
    /// Guest bytes of a grain, and file bytes per stored grain.
    grain: (u64, u64),
    /// Guest bytes that a grain table maps, and file bytes per table that maps a stored grain.
    table: (u64, u64),
}

impl ExtentFileSizes {
    /// The bytes of the files if these ranges of the disk are stored.
    fn file_bytes(&self, stored: &mut dyn Iterator<Item = Result<Range<u64>>>) -> Result<u64> {
        let (mut grains, mut tables) = (Touched::new(self.grain.0), Touched::new(self.table.0));
        for range in stored {
            let range = range?;
            grains.add(&range);
            tables.add(&range);
        }
        let grain_bytes = grains.count().saturating_mul(self.grain.1);
        let table_bytes = tables.count().saturating_mul(self.table.1);
        Ok(self.fixed.saturating_add(grain_bytes).saturating_add(table_bytes))
    }
}

fn sparse(options: &WriterOptions) -> Result<ExtentFileSizes> {
    let geometry = checked_geometry(options.virtual_size, options.grain_size)?;
    let fixed = sectors(MetadataLayout::new(geometry, DESCRIPTOR_SECTORS)?.overhead_sectors);
    Ok(ExtentFileSizes {
        fixed,
        grain: (options.grain_size, options.grain_size),
        ..ExtentFileSizes::default()
    })
}

fn stream_optimized(options: &WriterOptions) -> Result<ExtentFileSizes> {
    let geometry = checked_geometry(options.virtual_size, options.grain_size)?;
    // An invalid level is rejected here too.
    let record = GrainEncoder::new(options.grain_size, options.level)?.max_record_bytes();
    // The marker and sectors of the directory; then a marker, the footer, and the end of the stream.
    let end_sectors = geometry.directory_sectors().saturating_add(4);
    Ok(ExtentFileSizes {
        fixed: sectors(overhead_sectors(geometry, DESCRIPTOR_SECTORS).saturating_add(end_sectors)),
        grain: (options.grain_size, record as u64),
        table: (geometry.table_span().get(), SECTOR + GRAIN_TABLE_BYTES),
    })
}

fn several_files(options: &WriterOptions, image_name: &str) -> Result<ExtentFileSizes> {
    let files = ExtentFiles::new(options, image_name)?;
    let entries = files.entries()?;
    let mut sizes =
        ExtentFileSizes { fixed: files.descriptor(&entries)?.len() as u64, ..ExtentFileSizes::default() };
    for (index, entry) in (0..).zip(&entries) {
        let file_sectors = match files.sparse_layout(index)? {
            // Each file has whole grains.
            Some(geometry) => {
                sizes.grain = (options.grain_size, options.grain_size);
                MetadataLayout::new(geometry, 0)?.overhead_sectors
            }
            None => entry.sectors,
        };
        sizes.fixed = sizes.fixed.saturating_add(sectors(file_sectors));
    }
    Ok(sizes)
}

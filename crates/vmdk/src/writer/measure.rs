//! What an image would take up, before it is written.

use std::ops::Range;

use diskimg_codec::cluster::ZlibEncoder;
use diskimg_core::{CreateOptions, Measured, Result, Siblings, Touched};

use super::extent_files::Plan;
use super::grain_encoder::Packer;
use super::layout::{DESCRIPTOR_SECTORS, Front, GRAIN_TABLE_BYTES, SECTOR_BYTES, Shape};
use super::options::{Subformat, WriterOptions};
use super::settings::from_settings;
use super::sink::{OWN_NAME, check};
use super::stream_optimized::overhead_sectors;
use crate::marker::GRAIN_HEADER;
use crate::sparse_header::SECTOR;

/// Measures the image that [`super::create`] would make with these options of a disk whose bytes in the ranges `data`
/// are stored; the ranges ascend and do not overlap; `None` if nothing is written. Of several files it is the sum, the descriptor among them; without
/// [`CreateOptions::siblings`] the image is taken to be called `disk.vmdk`.
///
/// Exact, where each grain that the ranges touch has a byte that is not zero; of a streamOptimized image it is what
/// grains take up that cannot be compressed. A sparse extent larger than its format can have is measured all the same.
///
/// # Errors
/// As [`super::create`]; an error of `data`.
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
    let layout = match parsed.subformat {
        Subformat::MonolithicSparse => sparse(&parsed)?,
        Subformat::StreamOptimized => stream_optimized(&parsed)?,
        _ => split(&parsed, options.siblings.as_deref().map_or(OWN_NAME, Siblings::image_name))?,
    };
    layout.measured(parsed.virtual_size, data)
}

/// What of an image's files there always is, and what comes with the data.
#[derive(Default)]
struct Layout {
    /// Bytes whatever is stored.
    fixed: u64,
    /// Guest bytes in a grain, and bytes of the file for each one stored.
    grain: (u64, u64),
    /// Guest bytes that a grain table maps, and bytes of the file for each one that maps a stored grain.
    table: (u64, u64),
}

impl Layout {
    fn measured(
        &self,
        size: u64,
        data: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
    ) -> Result<Measured> {
        let counts = || (Touched::new(self.grain.0), Touched::new(self.table.0));
        let (mut stored, mut all) = (counts(), counts());
        for range in data.into_iter().flatten() {
            let range = range?;
            stored.0.add(&range);
            stored.1.add(&range);
        }
        all.0.add(&(0..size));
        all.1.add(&(0..size));
        let bytes = |(grains, tables): (Touched, Touched)| {
            let grains = grains.count().saturating_mul(self.grain.1);
            self.fixed.saturating_add(grains).saturating_add(tables.count().saturating_mul(self.table.1))
        };
        Ok(Measured { required: bytes(stored), fully_allocated: bytes(all) })
    }
}

fn sparse(options: &WriterOptions) -> Result<Layout> {
    let shape = Shape::new(options.virtual_size, options.grain_size)?;
    let fixed = Front::new(&shape, DESCRIPTOR_SECTORS)?.overhead.saturating_mul(SECTOR);
    Ok(Layout { fixed, grain: (shape.grain(), shape.grain()), ..Layout::default() })
}

fn stream_optimized(options: &WriterOptions) -> Result<Layout> {
    let shape = Shape::new(options.virtual_size, options.grain_size)?;
    // A level that there is not is refused here too.
    Packer::new(options.level)?;
    let grain = usize::try_from(shape.grain()).unwrap_or(usize::MAX);
    let record = ZlibEncoder::max_len(grain).saturating_add(GRAIN_HEADER).next_multiple_of(SECTOR_BYTES);
    // The marker and sectors of the directory; then a marker, the footer, and the end of the stream.
    let end_sectors = shape.directory_sectors().saturating_add(4);
    Ok(Layout {
        fixed: overhead_sectors(&shape, DESCRIPTOR_SECTORS)
            .saturating_add(end_sectors)
            .saturating_mul(SECTOR),
        grain: (shape.grain(), record as u64),
        table: (shape.table_reach(), SECTOR + GRAIN_TABLE_BYTES),
    })
}

fn split(options: &WriterOptions, image_name: &str) -> Result<Layout> {
    let plan = Plan::new(options, image_name)?;
    let lines = plan.lines()?;
    let mut layout = Layout { fixed: plan.descriptor(&lines)?.len() as u64, ..Layout::default() };
    for (index, line) in (0..).zip(&lines) {
        let sectors = match plan.shape(index)? {
            // No grain lies in two files: each holds a whole number of them.
            Some(shape) => {
                layout.grain = (options.grain_size, options.grain_size);
                Front::new(&shape, 0)?.overhead
            }
            None => line.sectors,
        };
        layout.fixed = layout.fixed.saturating_add(sectors.saturating_mul(SECTOR));
    }
    Ok(layout)
}

//! The size of an image before it is written.
//!
//! Source: VirtualBox, `src/VBox/Storage/VDI.cpp` (`vdiInitHeader`): header and map, then whole blocks.

use std::ops::Range;

use diskimg_core::{CreateOptions, Measured, Result, Touched};

use super::layout::ImageLayout;
use super::options::Allocation;
use super::settings::from_settings;

/// Computes the size of the image that [`super::create`] makes with these options.
///
/// The ranges `data` are stored; they ascend and do not overlap. `None` stores nothing. The result is exact if each
/// block that the ranges touch has a byte that is not zero.
///
/// # Errors
/// Those of [`super::create`]; an error of `data`.
///
/// ```
/// use diskimg_core::CreateOptions;
/// let options = CreateOptions { virtual_size: 1 << 40, ..CreateOptions::default() };
/// let mut data = [Ok(0..100), Ok(5 << 20..6 << 20)].into_iter();
/// let measured = diskimg_vdi::measure(&options, Some(&mut data))?;
/// // Header, map, and two blocks.
/// assert_eq!(measured.required, (1 + 4 + 2) << 20);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub fn measure(
    options: &CreateOptions,
    data: Option<&mut dyn Iterator<Item = Result<Range<u64>>>>,
) -> Result<Measured> {
    let layout = ImageLayout::new(&from_settings(options)?)?;
    let mut touched = Touched::new(layout.geometry.block_bytes());
    for range in data.into_iter().flatten() {
        touched.add(&range?);
    }
    let all = layout.geometry.blocks;
    let stored = match layout.allocation {
        Allocation::Dynamic => u32::try_from(touched.count()).unwrap_or(all).min(all),
        Allocation::Fixed => all,
    };
    // The file ends with a whole block.
    let end = |blocks: u32| layout.geometry.host(blocks).0;
    Ok(Measured::new(end(stored), end(all)))
}

//! The settings of an existing image.

use diskimg_core::{BlockSource, ImageInfo, Limits, Result, Setting};

use crate::features::LAZY_REFCOUNTS;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;

/// Returns the settings that create an image like this one: [`diskimg_core::Driver::settings_of`] of this format.
///
/// # Errors
/// If the header is damaged.
pub(crate) fn settings_of(source: &dyn BlockSource, _: &ImageInfo) -> Result<Vec<Setting>> {
    let limits = Limits::default();
    let budget = limits.header_budget();
    let header = FirstCluster::read(&mut FileWindow::new(source, &limits)?, &budget)?.header;
    let on_off = |set: bool| if set { "on" } else { "off" }.to_owned();
    let mut all = vec![
        ("compat", if header.version >= 3 { "1.1" } else { "0.10" }.to_owned()),
        ("cluster_size", header.geometry.cluster_size().to_string()),
        ("compression_type", header.compression.name().to_owned()),
    ];
    if header.version >= 3 {
        all.push(("refcount_bits", 1_u64.checked_shl(header.refcount_order).unwrap_or_default().to_string()));
        all.push(("extended_l2", on_off(header.geometry.extended_l2())));
        all.push(("lazy_refcounts", on_off(header.compatible & LAZY_REFCOUNTS != 0)));
    }
    Ok(all.into_iter().map(|(name, value)| Setting { name: name.to_owned(), value }).collect())
}

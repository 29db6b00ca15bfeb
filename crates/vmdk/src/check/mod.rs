//! The check of an image's structure: every entry of every table, and the bytes of the file that it refers to.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Grain Directory" and "Grain Table": each allocated grain has a
//! place of its own in the file, and the redundant tables equal the primary ones.

mod extent_check;
mod file_claims;
mod grain_order;
mod grains;
mod image;
mod orphans;
mod overlaps;
mod tables;
mod unit_bitmap;

pub(crate) use image::check;

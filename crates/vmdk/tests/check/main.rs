//! Checks of valid images, and of images with one fault each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few grains"
)]

mod cost;
mod damage;
mod esx;
mod image;
mod qemu;
mod sparse;
mod split;

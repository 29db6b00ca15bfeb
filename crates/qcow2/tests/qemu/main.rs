//! Images made by QEMU's tools. Bytes, extents and details must equal those of `qemu-img`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few megabytes"
)]

mod info;
mod map;
mod matrix;
mod special;
mod tools;

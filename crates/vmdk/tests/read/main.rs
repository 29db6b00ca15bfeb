//! Images made by QEMU's tools, read by QEMU and by this crate: bytes, extents and details must agree.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few megabytes"
)]

mod details;
mod locations;
mod matrix;
mod tools;
mod unlike_qemu;

//! Images made by QEMU's tools, read by QEMU and by this crate. Tests of intended differences say so in their names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few megabytes"
)]

mod agree;
mod check;
mod tools;
mod wrong;

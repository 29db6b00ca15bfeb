//! Images made by QEMU's tools, read here and there: bytes and extents have to agree. Where QEMU is wrong, a
//! test says so by its name.
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

//! Images made by QEMU's tools, read here and there: bytes, extents and facts have to agree.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few megabytes"
)]

mod facts;
mod matrix;
mod places;
mod tools;
mod wrong;

//! Damaged and hostile images.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few clusters"
)]

mod cost;
mod damage;
mod data_file;
mod header;
mod image;
mod lists;
mod names;
mod tables;
mod truncation;

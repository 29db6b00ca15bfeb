//! Damaged and hostile images, read by their tables. The tests of the stream decoder cover the markers of a
//! stream.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few grains"
)]

mod cost;
mod damage;
mod descriptor;
mod esx;
mod files;
mod header;
mod image;
mod streams;
mod tables;

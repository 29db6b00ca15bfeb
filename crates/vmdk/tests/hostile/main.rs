//! Images that are damaged or mean harm: each case of the catalogue by its number. Read by their tables; what
//! the markers of a stream say is tested with the decoder of streams.
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

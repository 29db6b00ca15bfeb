//! Stream-optimised images decoded in one pass: the layouts of all writers, and hostile streams.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few grains"
)]

mod bounds;
mod check;
mod damage;
mod grains;
mod image;
mod layouts;
mod qemu;
mod refusals;

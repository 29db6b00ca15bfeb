//! Stream-optimised images that arrive once, in order: what every writer makes, and what means harm.
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

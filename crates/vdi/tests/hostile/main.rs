//! Images built field by field, most of them damaged or hostile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failed test panics, and images have a few blocks"
)]

mod check;
mod cost;
mod damage;
mod describe;
mod header;
mod image;
mod map;
mod parent;
mod probe;
mod stream;

//! The suite that every source and every sink has to pass.
//!
//! Each function panics with what it expected; call them from `#[test]`s. They are cheap enough to run for
//! every kind of image a format knows. [`batched`] and [`apply`] write a disk in two more ways, for tests of a
//! format's own that look at what came of it; [`Counted`] tells what they cost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a suite of assertions"
)]

mod batches;
mod calls;
mod counted;
mod damage;
mod forwarding;
mod numbers;
mod paint;
mod sinks;
mod sources;
#[cfg(test)]
mod tests;

pub use batches::batched;
pub use calls::{Call, apply};
pub use counted::Counted;
pub use damage::{damaged, exercise};
pub use forwarding::forwards_properties;
pub use numbers::Numbers;
pub use paint::{mixed, paint, painted};
pub use sinks::sink;
pub use sources::source;

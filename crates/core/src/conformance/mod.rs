//! The conformance suite of sources and sinks.
//!
//! Each function panics with its expectation; call them from `#[test]`s. They are cheap enough for every kind of image
//! of a format. [`batched`] and [`apply`] write a disk in two more ways, for tests that examine the resulting image.
//! [`Counted`] counts the reads of a source.
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

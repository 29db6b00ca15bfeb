//! What a stream holds, told as it passes by: format, wrapper, size, names and findings.
//!
//! The bytes are unwrapped ([`crate::unwrap`]) and taken out of an OVA ([`archive_probe`]), and of the image itself only
//! the head, the last sectors and what its format asks for are kept ([`retained`]). A format is asked by its own
//! `inspect`, over what is there ([`evaluate`]); what it missed is kept when it passes, and then it is asked again
//! ([`payload`]). What is told before the end is told in bounded memory ([`bounded_info`]).

mod archive_probe;
mod bounded_info;
mod evaluate;
mod payload;
mod prober;
mod report;
mod retained;

pub(crate) use evaluate::{inspect_head, longer_head};
pub use prober::Prober;
pub use report::ProbeReport;

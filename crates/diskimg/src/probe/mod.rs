//! What a stream holds, told as it passes by: format, wrapper, size, names and findings.
//!
//! The bytes are unwrapped ([`crate::unwrap`]) and taken out of an OVA ([`inside`]), and of the image itself only
//! the head, the last sectors and what its format asks for are kept ([`kept`]). A format is asked by its own
//! `inspect`, over what is there ([`judge`]); what it missed is kept when it passes, and then it is asked again
//! ([`payload`]). What is told before the end is told in bounded memory ([`described`]).

mod described;
mod inside;
mod judge;
mod kept;
mod payload;
mod prober;
mod report;

pub(crate) use judge::{inspect_head, longer_head};
pub use prober::Prober;
pub use report::ProbeReport;

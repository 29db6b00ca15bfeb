//! Probing a stream: its format, compression, size, names and findings.
//!
//! The stream is decompressed, and the disk of an archive extracted ([`archive_probe`]). Of the image only the head,
//! the last sectors and the ranges that its format reads are retained ([`retained`]). The `inspect` function of the
//! format reads the retained bytes ([`evaluate`]). Ranges that it missed are retained as they are streamed, and then it
//! is called again ([`payload`]). If the tables of the image are to be compared with its length, all of it is stored
//! ([`image_store`]). Results before the end of the stream use bounded memory ([`bounded_info`]).

mod archive_probe;
mod bounded_info;
mod evaluate;
mod image_store;
mod payload;
mod probed;
mod prober;
mod report;
mod retained;

pub(crate) use evaluate::{inspect_head, longer_head};
pub(crate) use payload::Payload;
pub use probed::Probed;
pub use prober::Prober;
pub use report::ProbeReport;

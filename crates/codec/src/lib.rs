//! Codecs of the diskimg workspace.
//!
//! - [`cluster`]: whole buffers in, whole buffers out: the compressed clusters of qcow2 and grains of VMDK.
//!   One object per thread, reused for every cluster.
//!
//! No I/O of its own happens here: whoever has the bytes hands them in.
#![forbid(unsafe_code)]

pub mod cluster;
mod zstd_format;

//! A stream-optimised image that arrives once, in order.
//!
//! Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"; what its writers do
//! beyond it: tables in front without markers (QEMU, open-vmdk), no end but a tail of zeros (QEMU), grains in
//! any order (`qemu-img convert -W`, open-vmdk with threads).
//!
//! The grains say themselves where they belong, so the disk is written without the tables; the tables, wherever
//! they are, then have to agree with what came.

mod cross_check;
mod decoder;
mod grain_set;
mod input_buffer;
mod output;
mod preamble;
mod stream_image;
mod stream_layout;

pub(crate) use decoder::stream;

//! Decodes a stream-optimised image that is streamed.
//!
//! Sources: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents". Writers go beyond it: tables
//! before the grains, without markers (QEMU, open-vmdk); a tail of zeros instead of an end-of-stream marker (QEMU);
//! grains in any order (`qemu-img convert -W`, open-vmdk with threads).
//!
//! Each grain has its guest offset, so the disk is written without the tables. The tables, which precede or follow the
//! grains, are compared with them at the end.

mod cross_check;
mod decoder;
mod grain_output;
mod grain_set;
mod input_buffer;
mod preamble;
mod stream_image;
mod stream_layout;
mod stream_tail;

pub(crate) use decoder::stream;

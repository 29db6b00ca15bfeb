//! Decodes an image that is streamed.
//!
//! The block map precedes the blocks. The [`decoder`] reads the header, the [`map_reader`] inverts the block map, and the
//! [`block_reader`] writes each file block to its guest blocks.
//!
//! If the map ascends, as most do, blocks are streamed in guest order and every sink can be written. Otherwise the sink
//! must accept any order.

mod block_reader;
mod decoder;
mod map_reader;

pub(crate) use decoder::stream;

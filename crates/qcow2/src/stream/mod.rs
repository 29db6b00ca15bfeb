//! Images that arrive once, in order.
//!
//! The image is taken cluster by cluster ([`decoder`]). Tables are read as they pass ([`table_reader`]), and what their
//! entries name is noted until it arrives ([`claims`]), then written to the guest offsets it stands for ([`clusters`]).
//! Images as converters write them have each table before its data, and take one pass with little memory.
//! Elsewhere data stands before the table that names it: what passes unnamed is put aside ([`spill`]), in
//! memory while there is room and then on the shelf that the caller lent. Without a shelf it is let go, and a
//! table that names it later ends the stream with [`diskimg_core::ErrorKind::NeedsSeek`]. A table that names more
//! than memory has room for goes to the shelf with all it names, and is read at the end.
//!
//! Refcounts, snapshots and bitmaps are not read.

mod claims;
mod clusters;
mod decoder;
mod spill;
mod table_reader;
#[cfg(test)]
mod tests;

pub(crate) use decoder::stream;

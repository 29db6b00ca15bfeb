//! Images that arrive once, in order.

use crate::{BlockSink, Result};

/// Decodes an image that arrives once, in order, into a sink. No I/O inside: any runtime can drive it.
pub trait StreamDecoder: Send {
    /// Takes the next bytes of the image, any number at a time; the cut points change nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NeedsSeek`] when the rest of the image cannot be decoded in order; otherwise what
    /// is wrong with the image or the sink. After an error the decoder takes no more.
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()>;

    /// The image has ended. Returns the virtual size in bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Truncated`] when it ended too early.
    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64>;

    /// Lends the decoder a place for bytes that have passed and may be named later, before the first push. One
    /// that has none, or has no use for it, says [`crate::ErrorKind::NeedsSeek`] when such bytes are named.
    fn use_spill_file(&mut self, file: Box<dyn SpillFile>) {
        drop(file);
    }

    /// Whether the disk is written from its first byte to its last, so that a sink of
    /// [`crate::WriteOrder::Ascending`] can take it.
    fn ascends(&self) -> bool {
        false
    }
}

/// Where a [`StreamDecoder`] puts aside bytes of the image that it may need again.
pub trait SpillFile: Send {
    /// Keeps `bytes`, which stand at `offset` in the image. Nothing is put at a place twice.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Limit`] when there is no more room; those of writing.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Fills `buf` with bytes that were put at `offset` and behind it, in whatever pieces.
    ///
    /// # Errors
    /// Those of reading.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

//! Decoding streamed images.

use crate::{BlockSink, Finding, Result};

/// Decodes a streamed image into a sink. It does no I/O of its own, so any runtime can drive it.
pub trait StreamDecoder: Send {
    /// Decodes the next bytes of the image, any number at a time. The result does not depend on how the image is
    /// split.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NeedsSeek`] if the rest of the image cannot be decoded in order; otherwise the errors of
    /// the image and the sink. After an error every call fails.
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()>;

    /// Ends the image. Returns the virtual size in bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Truncated`] if it ended too early.
    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64>;

    /// Lends the decoder a file for bytes that may be needed later. Called before the first push.
    ///
    /// A decoder without one, or that does not use it, fails with [`crate::ErrorKind::NeedsSeek`] if such bytes are
    /// needed.
    fn use_spill_file(&mut self, file: Box<dyn SpillFile>) {
        drop(file);
    }

    /// Returns true if the disk is written from its first byte to its last, as a sink of
    /// [`crate::WriteOrder::Ascending`] requires.
    fn ascends(&self) -> bool {
        false
    }

    /// The findings about the bytes pushed so far, complete after [`StreamDecoder::finish`]. A decoder reports those that
    /// the driver's `inspect` does not see.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// Stores bytes of a streamed image that a [`StreamDecoder`] may need again.
pub trait SpillFile: Send {
    /// Stores `bytes`, which are at `offset` of the image. No range is stored twice.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Limit`] if there is no more room; the errors of writing.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Fills `buf` with stored bytes from `offset` on. They may have been stored in several pieces.
    ///
    /// # Errors
    /// The errors of reading.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()>;
}

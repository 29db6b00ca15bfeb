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
}

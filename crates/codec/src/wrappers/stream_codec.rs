//! The interface and the errors that the codecs of all wrappers share.

use diskimg_core::{Error, ErrorKind, Finding, Result};

/// The bytes that one step consumed and produced.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct CodecStep {
    pub(super) read: usize,
    pub(super) written: usize,
}

/// Decompresses one streamed file, one output buffer at a time.
pub(super) trait StreamCodec: Send {
    /// Decompresses from the start of `input` to the start of `output`, which is not empty.
    ///
    /// If `output` is not full afterwards, either all of `input` was read and more input is needed, or the step
    /// produced something and the next step continues.
    ///
    /// `end` means that `input` is empty and no more follows. If nothing is written then, the file is complete;
    /// an incomplete file is [`ErrorKind::Truncated`].
    fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep>;

    /// The number of members, streams or frames begun so far.
    fn units(&self) -> u64;

    /// True if nothing that follows can have content. Such input is not counted as input without output.
    fn has_ended(&self) -> bool {
        false
    }

    /// The findings about the input so far.
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// Returns the error for `field`, which starts at byte `offset` of the file.
pub(super) fn error_at(kind: ErrorKind, field: &str, offset: u64) -> Error {
    Error::new(kind).field(field).at(offset)
}

/// Returns the error for bytes after the last member, stream or frame.
pub(super) fn trailing_data(offset: u64) -> Error {
    error_at(ErrorKind::Corrupt, "trailing data", offset).because("more bytes follow the end")
}

/// Returns the error for a file that ends at `offset`, within `field`.
pub(super) fn truncated(field: &str, offset: u64) -> Error {
    error_at(ErrorKind::Truncated, field, offset).because("the file ends here")
}

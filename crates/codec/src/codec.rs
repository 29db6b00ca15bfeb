//! What the decoders of the wrappers have in common.

use diskimg_core::{Error, ErrorKind, Result};

/// What one step took and gave, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Step {
    pub(crate) read: usize,
    pub(crate) written: usize,
}

/// A decoder of one file that arrives in pieces, pulled one buffer at a time.
pub(crate) trait Codec: Send {
    /// Decodes from the start of `input` to the start of `output`, which is not empty.
    ///
    /// Where `output` is not full afterwards, all of `input` was read and nothing more can be written
    /// without more of it, or the step wrote something and the next one goes on.
    ///
    /// With `end` the input is empty and no more will come: nothing written then means that the file is
    /// whole, and a file that is not is [`ErrorKind::Truncated`].
    fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<Step>;

    /// Members, streams or frames begun so far.
    fn units(&self) -> u64;
}

/// The error for bytes behind the last member, stream or frame.
pub(crate) fn trailing_data(offset: u64) -> Error {
    Error::new(ErrorKind::Corrupt).field("trailing data").at(offset).because("more bytes follow the end")
}

/// The error for a file that ends at `offset`, within `field`.
pub(crate) fn truncated(field: &'static str, offset: u64) -> Error {
    Error::new(ErrorKind::Truncated).field(field).at(offset).because("the file ends here")
}

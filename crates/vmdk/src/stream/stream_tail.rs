//! The bytes after the end of a stream.

use diskimg_core::{Error, HostOffset, Result};

use crate::addr::SECTOR;
use crate::errors::corrupt;

/// The bytes from the end-of-stream marker on, or from the end of the last structure that the tables require.
///
/// After a footer only zeros may follow: a device that holds an image ends with them. Bytes in a truncated last sector, and
/// all bytes of an image without a footer, are ignored, the latter with a finding.
pub(super) struct StreamTail {
    start: HostOffset,
    first_nonzero: Option<HostOffset>,
}

impl StreamTail {
    pub(super) const fn new(start: HostOffset) -> Self {
        Self { start, first_nonzero: None }
    }

    pub(super) const fn start(&self) -> HostOffset {
        self.start
    }

    /// Returns true if a byte other than zero followed.
    pub(super) const fn has_data(&self) -> bool {
        self.first_nonzero.is_some()
    }

    /// The first byte other than zero.
    pub(super) const fn first_nonzero(&self) -> Option<HostOffset> {
        self.first_nonzero
    }

    /// Adds the bytes at `position`.
    pub(super) fn push(&mut self, position: HostOffset, bytes: &[u8]) {
        if self.first_nonzero.is_none() {
            let first = bytes.iter().position(|byte| *byte != 0);
            self.first_nonzero = first.map(|index| position.plus(index as u64));
        }
    }

    /// Checks the tail of an image with a footer, of which all bytes below `end` were pushed.
    pub(super) fn check(&self, end: HostOffset) -> Result<()> {
        match self.first_nonzero {
            Some(at) if at.0 < end.0 / SECTOR * SECTOR => Err(trailing_data(at)),
            _ => Ok(()),
        }
    }
}

/// The error for data at `at`, after the end of the stream.
pub(super) fn trailing_data(at: HostOffset) -> Error {
    corrupt("trailing data").at(at.0).because("more bytes follow the end of the stream")
}

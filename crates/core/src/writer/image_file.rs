//! The file that an image is written to.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::write_ledger::WriteLedger;
use crate::{BlockSink, Format, HostOffset, Result, WriteOrder};

/// The file that an image is written to: a sink, a [`WriteLedger`], and the end of the bytes written so far.
pub struct ImageFile {
    sink: Box<dyn BlockSink>,
    ledger: WriteLedger,
    end: AtomicU64,
}

impl ImageFile {
    /// The file of an image of `format` over an empty sink.
    #[must_use]
    pub fn new(format: Format, sink: Box<dyn BlockSink>) -> Self {
        Self { sink, ledger: WriteLedger::new(format), end: AtomicU64::new(0) }
    }

    /// The order in which the sink accepts writes.
    pub fn order(&self) -> WriteOrder {
        self.sink.properties().order
    }

    /// True if the sink stores zeros like other data, and the image has units for them.
    #[must_use]
    pub fn stores_zeros(&self) -> bool {
        self.sink.properties().stores_zeros
    }

    /// Writes `bytes` at `host`.
    ///
    /// # Errors
    /// An error of the sink, which the ledger remembers.
    pub fn write_at(&self, host: HostOffset, bytes: &[u8]) -> Result<()> {
        self.end.fetch_max(host.plus(bytes.len() as u64).0, Ordering::AcqRel);
        self.ledger.record(self.sink.write_at(host.0, bytes))
    }

    /// Makes `range` read as zeros.
    ///
    /// # Errors
    /// An error of the sink, which the ledger remembers.
    pub fn zero(&self, range: Range<HostOffset>) -> Result<()> {
        self.end.fetch_max(range.end.0, Ordering::AcqRel);
        self.ledger.record(self.sink.zero(range.start.0..range.end.0))
    }

    /// Makes the file end at `end` or later: zeros fill the gap after the last byte written.
    ///
    /// # Errors
    /// Those of [`ImageFile::zero`].
    pub fn extend_to(&self, end: HostOffset) -> Result<()> {
        let written = HostOffset(self.end.load(Ordering::Acquire));
        if written < end { self.zero(written..end) } else { Ok(()) }
    }

    /// The record of outstanding and failed writes. [`ImageFile::write_at`] and [`ImageFile::zero`] add their failures.
    #[must_use]
    pub fn ledger(&self) -> &WriteLedger {
        &self.ledger
    }

    /// Completes the file.
    ///
    /// # Errors
    /// An error of the sink.
    pub fn finish(self) -> Result<()> {
        self.sink.finish()
    }
}

//! Streams that a flag stops.

use std::io::Read;
use std::sync::Arc;

use diskimg_core::{Cancel, Progress, Result};

/// # Errors
/// [`Cancelled`](diskimg_core::ErrorKind::Cancelled) once the flag is triggered.
pub(crate) fn check_cancel(cancel: Option<&Cancel>) -> Result<()> {
    cancel.map_or(Ok(()), |cancel| cancel.report(0))
}

/// A stream whose reads fail once a flag is triggered.
pub(crate) struct StoppableReader<R> {
    stream: R,
    cancel: Option<Arc<Cancel>>,
}

impl<R: Read> StoppableReader<R> {
    pub(crate) fn new(stream: R, cancel: Option<&Arc<Cancel>>) -> Self {
        Self { stream, cancel: cancel.cloned() }
    }
}

impl<R: Read> Read for StoppableReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        check_cancel(self.cancel.as_deref())?;
        let len = self.stream.read(buf)?;
        // The read may have waited for its bytes.
        check_cancel(self.cancel.as_deref())?;
        Ok(len)
    }
}

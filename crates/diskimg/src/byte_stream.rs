//! Byte streams: full reads, and a source as a stream.

use std::io::Read;

use diskimg_core::{BlockSource, Result, range};

/// Reads until `buf` is full or the stream ends; returns the bytes read.
pub(crate) fn read_full(stream: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(n) => done = done.saturating_add(n),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Reads a source from its first byte to its last.
pub(crate) struct SourceReader<S> {
    source: S,
    position: u64,
}

impl<S: BlockSource> SourceReader<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, position: 0 }
    }
}

impl<S: BlockSource> Read for SourceReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        // The position never exceeds the size.
        let len = range::buffer_len(&(self.position..self.source.size())).min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        self.source.read_at(self.position, buf)?;
        self.position = self.position.saturating_add(len as u64);
        Ok(len)
    }
}

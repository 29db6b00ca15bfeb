//! Assembles whole structures from chunks of any size.

use diskimg_core::{Fault, HostOffset, Result};

use crate::errors::limit;

/// The unused bytes of earlier chunks.
#[derive(Default)]
pub(super) struct InputBuffer {
    buffered: Vec<u8>,
    /// The host offset of the next byte.
    position: HostOffset,
}

/// The unused bytes of earlier chunks, and then the current chunk.
///
/// A structure that is entirely in the current chunk is returned from there. Only one that is split between chunks is
/// copied.
pub(super) struct StreamedBytes<'a> {
    earlier: &'a mut InputBuffer,
    chunk: &'a [u8],
}

impl InputBuffer {
    /// The host offset of the next byte.
    pub(super) const fn position(&self) -> HostOffset {
        self.position
    }

    /// The beginning of an incomplete structure.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffered
    }

    /// Adds the current chunk.
    pub(super) fn with<'a>(&'a mut self, chunk: &'a [u8]) -> StreamedBytes<'a> {
        StreamedBytes { earlier: self, chunk }
    }
}

impl StreamedBytes<'_> {
    /// The host offset of the next byte.
    pub(super) const fn position(&self) -> HostOffset {
        self.earlier.position
    }

    /// Returns the next `len` bytes without consuming them. If there are fewer, buffers them all and returns `None`.
    /// The caller limits `len`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if there is no memory for them.
    pub(super) fn peek(&mut self, len: usize) -> Result<Option<&[u8]>> {
        let buffered = &mut self.earlier.buffered;
        if buffered.is_empty() {
            if let Some(bytes) = self.chunk.get(..len) {
                return Ok(Some(bytes));
            }
        }
        let missing = len.saturating_sub(buffered.len()).min(self.chunk.len());
        let (taken, rest) = self.chunk.split_at_checked(missing).unwrap_or((self.chunk, &[]));
        let no_memory = |_| limit("memory").found(format_args!("{missing} bytes")).with_fault(Fault::Machine);
        buffered.try_reserve(missing).map_err(no_memory)?;
        buffered.extend_from_slice(taken);
        self.chunk = rest;
        Ok(buffered.get(..len))
    }

    /// Returns the next bytes, as many as are contiguous in memory; none at the end of the chunk.
    pub(super) fn contiguous(&self) -> &[u8] {
        if self.earlier.buffered.is_empty() { self.chunk } else { &self.earlier.buffered }
    }

    /// Consumes `len` bytes.
    pub(super) fn consume(&mut self, len: usize) {
        let buffered = self.earlier.buffered.len().min(len);
        self.earlier.buffered.drain(..buffered);
        self.chunk = self.chunk.get(len.saturating_sub(buffered)..).unwrap_or_default();
        self.earlier.position = self.position().plus(len as u64);
    }

    /// Skips bytes up to `end`. Returns true if `end` was reached.
    pub(super) fn skip_to(&mut self, end: HostOffset) -> bool {
        let left = usize::try_from(end.since(self.position())).unwrap_or(usize::MAX);
        self.consume(left.min(self.earlier.buffered.len().saturating_add(self.chunk.len())));
        self.position() >= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_assembled_from_chunks_of_any_size() {
        let bytes: Vec<u8> = (0..100).collect();
        for step in 1..=100 {
            let mut buffer = InputBuffer::default();
            let (mut found, mut skipped) = (Vec::new(), false);
            for chunk in bytes.chunks(step) {
                let mut input = buffer.with(chunk);
                if found.is_empty() {
                    match input.peek(7).unwrap() {
                        Some(bytes) => found.extend_from_slice(bytes),
                        None => continue,
                    }
                    input.consume(5);
                    assert_eq!(input.position(), HostOffset(5));
                }
                skipped = skipped || input.skip_to(HostOffset(60));
                if let Some(last) = input.peek(40).unwrap().filter(|_| skipped) {
                    assert_eq!(last, &bytes[60..]);
                    found.push(99);
                }
            }
            assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 99], "step {step}");
        }
    }
}

//! Assembles whole structures from chunks of any size.

use diskimg_core::{HostOffset, Result};

use crate::errors::limit;

/// The unused bytes of earlier chunks. The rest of the current chunk is passed to each method as `input`.
///
/// A structure that is entirely in the current chunk is returned from there. Only one that is split between chunks is
/// copied.
#[derive(Default)]
pub(super) struct InputBuffer {
    buffered: Vec<u8>,
    /// The host offset of the next byte.
    position: HostOffset,
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

    /// Returns the next `len` bytes without consuming them. If there are fewer, returns `None` and leaves `input` empty.
    /// The caller limits `len`.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Limit`] if there is no memory for them.
    pub(super) fn peek<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        len: usize,
    ) -> Result<Option<&'a [u8]>> {
        if self.buffered.is_empty()
            && let Some(bytes) = input.get(..len)
        {
            return Ok(Some(bytes));
        }
        let missing = len.saturating_sub(self.buffered.len()).min(input.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.buffered
            .try_reserve(taken.len())
            .map_err(|_| limit("memory").found(format_args!("{} bytes", taken.len())))?;
        self.buffered.extend_from_slice(taken);
        *input = rest;
        Ok(self.buffered.get(..len))
    }

    /// Consumes `len` bytes returned by [`InputBuffer::peek`].
    pub(super) fn consume(&mut self, input: &mut &[u8], len: usize) {
        let buffered = self.buffered.len().min(len);
        self.buffered.drain(..buffered);
        *input = input.get(len.saturating_sub(buffered)..).unwrap_or_default();
        self.position = self.position.plus(len as u64);
    }

    /// Skips bytes up to `end`. Returns true if `end` was reached.
    pub(super) fn skip_to(&mut self, input: &mut &[u8], end: HostOffset) -> bool {
        let left = end.since(self.position);
        let available = self.buffered.len().saturating_add(input.len());
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        self.consume(input, len);
        self.position >= end
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
            for mut chunk in bytes.chunks(step) {
                if found.is_empty() {
                    match buffer.peek(&mut chunk, 7).unwrap() {
                        Some(bytes) => found.extend_from_slice(bytes),
                        None => continue,
                    }
                    buffer.consume(&mut chunk, 5);
                    assert_eq!(buffer.position(), HostOffset(5));
                }
                skipped = skipped || buffer.skip_to(&mut chunk, HostOffset(60));
                if let Some(last) = buffer.peek(&mut chunk, 40).unwrap().filter(|_| skipped) {
                    assert_eq!(last, &bytes[60..]);
                    found.push(99);
                }
            }
            assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 99], "step {step}");
        }
    }
}

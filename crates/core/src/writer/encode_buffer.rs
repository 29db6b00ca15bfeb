//! Buffers of a job that encodes units.

use std::ops::Range;

use crate::Result;

/// The encoded units of a segment, one after the other. Its memory is reused for the next segment.
///
/// ```
/// use diskimg_core::writer::EncodeBuffer;
/// let mut buffer = EncodeBuffer::default();
/// let first = buffer.append(4, |room| {
///     room[..2].copy_from_slice(b"ab");
///     Ok(Some(2))
/// })?;
/// assert_eq!(first, Some(0..2));
/// assert_eq!(buffer.append(4, |_| Ok(None))?, None);
/// assert_eq!(buffer.bytes(&(0..2)), b"ab");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct EncodeBuffer {
    bytes: Vec<u8>,
    used: usize,
}

impl EncodeBuffer {
    /// Calls `encode` with `room` bytes of arbitrary content, and keeps as many of them as it returns. `None`
    /// keeps nothing.
    ///
    /// # Errors
    /// The error of `encode`.
    pub fn append(
        &mut self,
        room: usize,
        encode: impl FnOnce(&mut [u8]) -> Result<Option<usize>>,
    ) -> Result<Option<Range<usize>>> {
        let start = self.used;
        let end = start.saturating_add(room);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let len = encode(self.bytes.get_mut(start..end).unwrap_or_default())?;
        Ok(len.map(|len| {
            self.used = start.saturating_add(len.min(room));
            start..self.used
        }))
    }

    /// Bytes that [`EncodeBuffer::append`] has kept; none for a range that it did not return.
    #[must_use]
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(..self.used).and_then(|used| used.get(range.clone())).unwrap_or_default()
    }

    /// Drops all encoded units and keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

/// Pads the last unit of a disk with zeros: readers decode a whole unit there too.
#[derive(Debug, Default)]
pub struct UnitPadding(Vec<u8>);

impl UnitPadding {
    /// Returns `bytes`, or a copy of them with zeros up to `unit_bytes` if they are fewer.
    pub fn whole_unit<'a>(&'a mut self, bytes: &'a [u8], unit_bytes: usize) -> &'a [u8] {
        if bytes.len() >= unit_bytes {
            return bytes;
        }
        self.0.clear();
        self.0.extend_from_slice(bytes);
        self.0.resize(unit_bytes, 0);
        &self.0
    }
}

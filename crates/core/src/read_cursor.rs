//! The unfilled part of a read buffer.

/// The unfilled part of a read buffer, filled from front to back, and its offset on the disk.
///
/// A format takes the front of the buffer for each run:
///
/// ```
/// use diskimg_core::ReadCursor;
///
/// // Runs of four bytes, each filled with its index.
/// let mut buf = [0; 6];
/// let mut rest = ReadCursor::new(7, &mut buf);
/// while !rest.is_empty() {
///     let run = rest.offset() / 4;
///     let len = rest.end().min((run + 1) * 4) - rest.offset();
///     rest.take(len).expect("a run that fits").fill(run as u8);
/// }
/// assert_eq!(buf, [1, 2, 2, 2, 2, 3]);
/// ```
#[derive(Debug)]
pub struct ReadCursor<'a> {
    offset: u64,
    buf: &'a mut [u8],
}

impl<'a> ReadCursor<'a> {
    /// Creates a cursor over all of `buf`, whose first byte is at `offset` of the disk.
    #[must_use]
    pub fn new(offset: u64, buf: &'a mut [u8]) -> Self {
        Self { offset, buf }
    }

    /// The disk offset of the next byte to fill.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The disk offset after the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len())
    }

    /// The number of bytes left to fill.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buf.len() as u64
    }

    /// True if the buffer is full.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Takes the next `len` bytes for the caller to fill. `None` if `len` is 0, with which a loop would not end, or
    /// more than is left; nothing is taken then.
    pub fn take(&mut self, len: u64) -> Option<&'a mut [u8]> {
        let count = usize::try_from(len).ok().filter(|count| (1..=self.buf.len()).contains(count))?;
        let (front, rest) = std::mem::take(&mut self.buf).split_at_mut_checked(count)?;
        self.buf = rest;
        self.offset = self.offset.saturating_add(len);
        Some(front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_refuses_zero_and_too_many_bytes() {
        let mut buf = [0; 5];
        let mut rest = ReadCursor::new(10, &mut buf);
        for len in [0, 6, u64::MAX] {
            assert_eq!(rest.take(len), None, "{len}");
            assert_eq!((rest.offset(), rest.end(), rest.len()), (10, 15, 5));
        }
        rest.take(3).unwrap().fill(1);
        assert_eq!((rest.offset(), rest.end(), rest.is_empty()), (13, 15, false));
        rest.take(2).unwrap().fill(2);
        assert!(rest.is_empty() && rest.take(0).is_none());
        assert_eq!(buf, [1, 1, 1, 2, 2]);
    }

    #[test]
    fn cursor_at_the_last_offset_does_not_overflow() {
        let mut buf = [0; 2];
        let mut rest = ReadCursor::new(u64::MAX, &mut buf);
        assert_eq!(rest.end(), u64::MAX);
        assert!(rest.take(2).is_some());
        assert_eq!(rest.offset(), u64::MAX);
    }
}

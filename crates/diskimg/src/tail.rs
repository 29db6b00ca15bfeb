//! The last bytes of a stream.

use std::collections::VecDeque;

/// The last bytes of a stream so far, up to a number that can be increased.
pub(crate) struct Tail {
    bytes: VecDeque<u8>,
    most: usize,
}

impl Tail {
    /// Retains `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: VecDeque::with_capacity(most), most }
    }

    /// Adds the next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let last = bytes.get(bytes.len().saturating_sub(self.most)..).unwrap_or(bytes);
        let over = self.bytes.len().saturating_add(last.len()).saturating_sub(self.most);
        self.bytes.drain(..over.min(self.bytes.len()));
        self.bytes.extend(last);
    }

    /// Retains at least `most` bytes from now on.
    pub(crate) fn lengthen(&mut self, most: usize) {
        self.most = self.most.max(most);
        self.bytes.reserve_exact(self.most.saturating_sub(self.bytes.len()));
    }

    /// A copy of the last bytes, at most `count`.
    pub(crate) fn last(&self, count: usize) -> Vec<u8> {
        self.bytes.iter().skip(self.bytes.len().saturating_sub(count)).copied().collect()
    }

    /// All bytes, in two slices. After [`Tail::join`] the second is empty until more bytes are pushed.
    pub(crate) fn slices(&self) -> (&[u8], &[u8]) {
        self.bytes.as_slices()
    }

    /// Makes the bytes contiguous.
    pub(crate) fn join(&mut self) {
        self.bytes.make_contiguous();
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

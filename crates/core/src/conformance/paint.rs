//! Bytes that tell where they stand.

/// The byte that stands at `offset` of a painted disk: `offset % 251`, so that no power of two repeats it.
#[must_use]
pub fn paint(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap_or_default()
}

/// `len` painted bytes from `offset` on.
#[must_use]
pub fn painted(offset: u64, len: usize) -> Vec<u8> {
    (offset..).take(len).map(paint).collect()
}

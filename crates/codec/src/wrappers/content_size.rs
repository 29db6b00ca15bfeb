//! The decompressed size that the head of a compressed file records.

use zstd::zstd_safe::get_frame_content_size;

use crate::wrapper::Wrapper;

impl Wrapper {
    /// The least number of decompressed bytes of a file with this head; `None` if the head does not record it. A zstd
    /// frame may record the size of its content, and more frames may follow. The decompressor checks the recorded size.
    ///
    /// ```
    /// use diskimg_codec::Wrapper;
    /// let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 41, 0, 0, b'd', b'i', b's', b'k', b'.'];
    /// assert_eq!(Wrapper::Zstd.least_size(&frame), Some(5));
    /// assert_eq!(Wrapper::Gzip.least_size(&[0x1f, 0x8b, 8]), None);
    /// ```
    #[must_use]
    pub fn least_size(self, head: &[u8]) -> Option<u64> {
        match self {
            Self::Zstd => get_frame_content_size(head).ok().flatten(),
            _ => None,
        }
    }
}

//! zlib compression of VMDK grains: RFC 1950 with a window of 32 KiB.

use diskimg_core::Result;

use super::deflate_level::deflate_level;

/// Compresses VMDK grains to zlib streams (RFC 1950) with an Adler-32. Create one per thread.
///
/// The output depends on the input, the level and the feature `libdeflate`.
pub struct ZlibEncoder {
    stream: backend::ZlibBackend,
}

impl ZlibEncoder {
    /// Creates an encoder of this level, 1 (fast) to 9 (small); `None` is 6.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::InvalidInput`] for any other level.
    pub fn new(level: Option<i32>) -> Result<Self> {
        Ok(Self { stream: backend::ZlibBackend::new(deflate_level(level)?) })
    }

    /// Writes `input` as one zlib stream to the start of `output` and returns its length; `None` if it does not
    /// fit, and the content of `output` is then undefined.
    ///
    /// A grain that does not compress grows by some bytes; [`ZlibEncoder::max_len`] bytes always suffice.
    ///
    /// # Errors
    /// [`diskimg_core::ErrorKind::Internal`] if the library fails.
    pub fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
        self.stream.encode(input, output)
    }

    /// The maximum number of bytes of a stream of `len` bytes of input; `usize::MAX` if there is no such number.
    #[must_use]
    pub const fn max_len(len: usize) -> usize {
        // Without matches the fastest level of zlib-rs writes 9 bits per byte and never uses stored blocks;
        // libdeflate uses them, with 5 bytes per 5000. Header and checksum are 6 bytes.
        len.saturating_add(len / 8).saturating_add(64)
    }
}

#[cfg(feature = "libdeflate")]
mod backend {
    use diskimg_core::Result;
    use libdeflater::{CompressionLvl, Compressor};

    pub(super) struct ZlibBackend(Compressor);

    impl ZlibBackend {
        /// A backend of this level, 1 to 9.
        pub(super) fn new(level: u32) -> Self {
            let level = i32::try_from(level).ok().and_then(|level| CompressionLvl::new(level).ok());
            Self(Compressor::new(level.unwrap_or_default()))
        }

        /// libdeflate fails only if the output is too small.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            Ok(self.0.zlib_compress(input, output).ok())
        }
    }
}

#[cfg(not(feature = "libdeflate"))]
mod backend {
    use diskimg_core::{Error, ErrorKind, Result};
    use flate2::{Compress, Compression, FlushCompress, Status};

    pub(super) struct ZlibBackend(Compression);

    impl ZlibBackend {
        pub(super) fn new(level: u32) -> Self {
            Self(Compression::new(level))
        }

        /// Uses a new stream for each grain: a stream that ran out of room cannot be reused (zlib-rs 0.6.8), and a
        /// full output would need a second call.
        pub(super) fn encode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
            let mut stream = Compress::new(self.0, true);
            let status = stream
                .compress(input, output, FlushCompress::Finish)
                .map_err(|error| Error::new(ErrorKind::Internal).because("deflate failed").source(error))?;
            let len = usize::try_from(stream.total_out()).ok();
            Ok(len.filter(|_| status == Status::StreamEnd))
        }
    }
}

//! Inflating qcow2 clusters (RFC 1951) and VMDK grains (RFC 1950).
//!
//! libdeflate handles the ordinary case. Input that it refuses goes to zlib-rs, which can stop in the middle of a
//! stream when the output is full and decides what is corrupt. The results are therefore the same with and
//! without libdeflate.

use diskimg_core::{Error, ErrorKind, Result};
use flate2::{Decompress, FlushDecompress, Status};

/// Inflates whole clusters and grains. Create one per thread.
pub struct Inflater {
    #[cfg(feature = "libdeflate")]
    fast: libdeflater::Decompressor,
    /// Created when first needed: about 40 KiB that most threads do not need if libdeflate is used.
    exact: Option<Decompress>,
}

impl Inflater {
    /// Creates an inflater for any number of calls.
    #[must_use]
    pub fn new() -> Self {
        Self {
            #[cfg(feature = "libdeflate")]
            fast: libdeflater::Decompressor::new(),
            exact: None,
        }
    }

    /// Fills all of `output` from a raw deflate stream (RFC 1951) with a window of up to 32 KiB.
    ///
    /// Bytes of `input` after the stream are ignored, because qcow2 rounds lengths up to sectors. The rest of a
    /// longer stream is ignored too once `output` is full, as in QEMU.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if `input` is not a deflate stream, or the stream ends before `output` is full.
    pub fn raw_deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<()> {
        #[cfg(feature = "libdeflate")]
        if self.fast.deflate_decompress(input, output).is_ok_and(|len| len == output.len()) {
            return Ok(());
        }
        let (len, _) = self.exact(input, output, false)?;
        if len == output.len() { Ok(()) } else { Err(short("deflate", len, output.len())) }
    }

    /// Inflates a zlib stream (RFC 1950) and checks its Adler-32. Returns the number of bytes produced; the rest
    /// of `output` is undefined. Bytes of `input` after the stream are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the stream is invalid or truncated, or does not fit into `output`.
    pub fn zlib(&mut self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        #[cfg(feature = "libdeflate")]
        if let Ok(len) = self.fast.zlib_decompress(input, output) {
            return Ok(len);
        }
        match self.exact(input, output, true)? {
            (len, true) => Ok(len),
            (len, false) if len == output.len() => Err(Error::new(ErrorKind::Corrupt)
                .because(format_args!("the zlib stream does not end within {len} bytes of output"))),
            (len, false) => Err(short("zlib", len, output.len())),
        }
    }

    /// Inflates with zlib-rs. Returns the number of bytes produced, and true if the stream ended.
    fn exact(&mut self, input: &[u8], output: &mut [u8], zlib: bool) -> Result<(usize, bool)> {
        let stream = self.exact.get_or_insert_with(|| Decompress::new(zlib));
        stream.reset(zlib);
        let status = stream
            .decompress(input, output, FlushDecompress::Finish)
            .map_err(|error| garbage(if zlib { "zlib" } else { "deflate" }, &error))?;
        // The count is at most the length of `output`, so the conversion cannot fail.
        let len = usize::try_from(stream.total_out()).unwrap_or_default();
        Ok((len, status == Status::StreamEnd))
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

fn garbage(what: &str, error: &flate2::DecompressError) -> Error {
    let why = error.message().unwrap_or("invalid data");
    Error::new(ErrorKind::Corrupt).because(format_args!("not a valid {what} stream: {why}"))
}

fn short(what: &str, len: usize, expected: usize) -> Error {
    Error::new(ErrorKind::Corrupt)
        .because(format_args!("the {what} stream ends after {len} of {expected} bytes of output"))
}

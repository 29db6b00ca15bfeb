//! Inflating one unit: RFC 1951 for qcow2 clusters, RFC 1950 for VMDK grains.
//!
//! libdeflate does the ordinary case. What it refuses goes to zlib-rs, which alone can cut a stream at the
//! end of the output, and which decides what counts as corrupt: with and without libdeflate the answers are
//! the same.

use diskimg_core::{Error, ErrorKind, Result};
use flate2::{Decompress, FlushDecompress, Status};

/// Inflates whole clusters and grains. Keeps its state between calls: one per thread.
pub struct Inflater {
    #[cfg(feature = "libdeflate")]
    fast: libdeflater::Decompressor,
    /// Made when first needed: about 40 KiB that most threads never touch when libdeflate is there.
    exact: Option<Decompress>,
}

impl Inflater {
    /// An inflater for any number of calls.
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
    /// Bytes of `input` behind the stream are ignored: qcow2 rounds lengths up to sectors. A stream that
    /// would go on past a full `output` is cut there, as QEMU does.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the stream is no deflate stream, or ends before `output` is full.
    pub fn raw_deflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<()> {
        #[cfg(feature = "libdeflate")]
        if self.fast.deflate_decompress(input, output).is_ok_and(|len| len == output.len()) {
            return Ok(());
        }
        let (len, _) = self.exact(input, output, false)?;
        if len == output.len() { Ok(()) } else { Err(short("deflate", len, output.len())) }
    }

    /// Inflates a zlib stream (RFC 1950) and checks its Adler-32. Returns the number of bytes produced;
    /// those of `output` behind them mean nothing. Bytes of `input` behind the stream are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the stream is broken, is not whole, or holds more than `output` does.
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

    /// One call of zlib-rs: how many bytes came out, and whether the stream ended.
    fn exact(&mut self, input: &[u8], output: &mut [u8], zlib: bool) -> Result<(usize, bool)> {
        let stream = self.exact.get_or_insert_with(|| Decompress::new(zlib));
        stream.reset(zlib);
        let status = stream
            .decompress(input, output, FlushDecompress::Finish)
            .map_err(|error| garbage(if zlib { "zlib" } else { "deflate" }, &error))?;
        // Lossless: no more than the length of `output`, and zero for a count that cannot be.
        let len = usize::try_from(stream.total_out()).unwrap_or_default();
        Ok((len, status == Status::StreamEnd))
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

fn garbage(what: &str, error: &flate2::DecompressError) -> Error {
    // The library's words where it has some; its own type would only repeat them.
    let why = error.message().unwrap_or("invalid data");
    Error::new(ErrorKind::Corrupt).because(format_args!("not a valid {what} stream: {why}"))
}

fn short(what: &str, len: usize, expected: usize) -> Error {
    Error::new(ErrorKind::Corrupt)
        .because(format_args!("the {what} stream ends after {len} of {expected} bytes of output"))
}

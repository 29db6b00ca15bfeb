//! A [`Decompressor`] over a reader.

use std::io::{self, Read};

use diskimg_core::Finding;

use super::decompressor::Decompressor;

/// The size of the input buffer. Our limit: few calls for a pipe (64 KiB at most on Linux), one read-ahead of a
/// file.
const INPUT_LEN: usize = 128 << 10;

/// Reads the content of a compressed file.
///
/// Short reads of the inner reader are accepted and interrupted ones are repeated. Any other error of the inner
/// reader is returned without loss of data: the next call continues where this one stopped. An error of the file
/// itself is an [`io::Error`] around a [`diskimg_core::Error`], which `diskimg_core::Error::from` unpacks. The
/// end is reported only if the file is complete.
///
/// ```
/// use diskimg_codec::{DecompressReader, Decompressor, Wrapper};
/// use diskimg_core::Limits;
/// use std::io::Read;
/// let file = zstd::encode_all(&b"a disk"[..], 0)?;
/// let mut disk = String::new();
/// let decompressor = Decompressor::new(Wrapper::Zstd, &Limits::default())?;
/// DecompressReader::new(&file[..], decompressor).read_to_string(&mut disk)?;
/// assert_eq!(disk, "a disk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DecompressReader<R> {
    reader: R,
    decompressor: Decompressor,
    input: Vec<u8>,
    /// The part of `input` that is not yet decompressed.
    start: usize,
    end: usize,
    at_end: bool,
    /// True if the last step filled its buffer, so that more output may follow without more input.
    more: bool,
}

impl<R: Read> DecompressReader<R> {
    /// Creates a reader of the compressed file that starts at the current position of `reader`. Nothing must have been
    /// pushed to `decompressor`.
    #[must_use]
    pub fn new(reader: R, decompressor: Decompressor) -> Self {
        let input = vec![0; INPUT_LEN];
        Self { reader, decompressor, input, start: 0, end: 0, at_end: false, more: false }
    }

    /// The findings about the compressed file so far, complete after the end was read: see [`Decompressor::findings`].
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.decompressor.findings()
    }

    /// Returns the inner reader. Input that was read and not yet decompressed is lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Reads more input if all of it is decompressed.
    fn fill(&mut self) -> io::Result<()> {
        while self.start == self.end && !self.at_end {
            match self.reader.read(&mut self.input) {
                Ok(len) if len > self.input.len() => {
                    return Err(io::Error::other("the reader claims to have read more bytes than requested"));
                }
                Ok(len) => {
                    (self.start, self.end) = (0, len);
                    self.at_end = len == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for DecompressReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.more {
                self.fill()?;
            }
            let input = self.input.get(self.start..self.end).unwrap_or_default();
            let step = self.decompressor.step(input, buf, self.at_end && input.is_empty())?;
            self.start = self.start.saturating_add(step.read).min(self.end);
            self.more = step.written == buf.len();
            if step.written > 0 || self.at_end {
                return Ok(step.written);
            }
        }
    }
}

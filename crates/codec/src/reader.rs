//! A [`Decoder`] over a reader.

use std::io::{self, Read};

use diskimg_core::{Limits, Result};

use crate::decoder::{Decoder, DecoderOptions};
use crate::wrapper::Wrapper;

/// Bytes asked of the reader at a time. A bound of ours: few calls for a pipe (64 KiB at most on Linux), one
/// read-ahead's worth for a file.
const INPUT_LEN: usize = 128 << 10;

/// Reads what a compressed file holds.
///
/// Short reads of the reader below are fine, an interrupted one is repeated, and any other error of it is
/// passed on with nothing lost: the next call goes on where this one stopped. Errors of the file itself come
/// as an [`io::Error`] around an [`diskimg_core::Error`]; `diskimg_core::Error::from` gives it back whole.
/// The end is only reported once the file was seen to be whole.
///
/// ```
/// use diskimg_codec::{DecodeReader, Wrapper};
/// use diskimg_core::Limits;
/// use std::io::Read;
/// let file = zstd::encode_all(&b"a disk"[..], 0)?;
/// let mut disk = String::new();
/// DecodeReader::new(&file[..], Wrapper::Zstd, &Limits::default())?.read_to_string(&mut disk)?;
/// assert_eq!(disk, "a disk");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DecodeReader<R> {
    reader: R,
    decoder: Decoder,
    input: Vec<u8>,
    /// The part of `input` that is not yet decoded.
    start: usize,
    end: usize,
    at_end: bool,
    /// The last step filled its buffer: there may be more without more input.
    more: bool,
}

impl<R: Read> DecodeReader<R> {
    /// Reads what `reader`, at the start of a compressed file, holds.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn new(reader: R, wrapper: Wrapper, limits: &Limits) -> Result<Self> {
        Self::with_options(reader, wrapper, limits, &DecoderOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`Decoder::with_options`].
    pub fn with_options(
        reader: R,
        wrapper: Wrapper,
        limits: &Limits,
        options: &DecoderOptions,
    ) -> Result<Self> {
        let decoder = Decoder::with_options(wrapper, limits, options)?;
        Ok(Self { reader, decoder, input: vec![0; INPUT_LEN], start: 0, end: 0, at_end: false, more: false })
    }

    /// The reader below. What was read from it and not yet decoded is lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Reads more input where all of it is decoded.
    fn fill(&mut self) -> io::Result<()> {
        while self.start == self.end && !self.at_end {
            match self.reader.read(&mut self.input) {
                Ok(len) if len > self.input.len() => {
                    return Err(io::Error::other("the reader claims to have read more than asked for"));
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

impl<R: Read> Read for DecodeReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.more {
                self.fill()?;
            }
            let input = self.input.get(self.start..self.end).unwrap_or_default();
            let step = self.decoder.step(input, buf, self.at_end && input.is_empty())?;
            self.start = self.start.saturating_add(step.read).min(self.end);
            self.more = step.written == buf.len();
            if step.written > 0 || self.at_end {
                return Ok(step.written);
            }
        }
    }
}

//! Unwrapping a stream that is pushed.

use diskimg_codec::{DecompressOptions, Decompressor, Wrapper};
use diskimg_core::{Limits, Result};

use crate::open::Opener;

/// Bytes of a compressed stream that go into its decoder at a time. A bound of ours: a decoder may hand out
/// what precedes an error or not, as its input was cut, and here the cuts are always the same.
const BLOCK: usize = 16 << 10;

/// Takes what unwrapping yields, in order.
pub(crate) type Out<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Recognises how a stream is compressed, and decodes it on the fly, one level deep.
pub(crate) struct Unwrapper {
    state: State,
    limits: Limits,
    threads: u32,
}

enum State {
    /// Too few bytes to tell.
    Start(Vec<u8>),
    Plain,
    Wrapped {
        decoder: Box<Decompressor>,
        /// The beginning of the next block.
        block: Vec<u8>,
    },
}

impl Unwrapper {
    /// The front of a stream, unwrapped if `opener` wants it.
    pub(crate) fn new(opener: &Opener) -> Self {
        let state = if opener.unwrap { State::Start(Vec::new()) } else { State::Plain };
        Self { state, limits: opener.limits.clone(), threads: opener.threads }
    }

    /// How the stream is compressed, once that is known.
    pub(crate) fn wrapper(&self) -> Option<Wrapper> {
        match &self.state {
            State::Wrapped { decoder, .. } => Some(decoder.wrapper()),
            _ => None,
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// As [`Decompressor::push`], and what `out` gives.
    pub(crate) fn push(&mut self, chunk: &[u8], out: Out<'_>) -> Result<()> {
        let State::Start(start) = &mut self.state else { return self.forward(chunk, out) };
        let missing = Wrapper::HEAD.saturating_sub(start.len());
        let (taken, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        start.extend_from_slice(taken);
        if start.len() < Wrapper::HEAD {
            return Ok(());
        }
        self.settle(out)?;
        self.forward(rest, out)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// As [`Decompressor::finish`], and what `out` gives.
    pub(crate) fn finish(&mut self, out: Out<'_>) -> Result<()> {
        if matches!(self.state, State::Start(_)) {
            self.settle(out)?;
        }
        match &mut self.state {
            State::Wrapped { decoder, block } => {
                decoder.push(block, out)?;
                decoder.finish(out)
            }
            _ => Ok(()),
        }
    }

    /// The first bytes are there: decides, and passes them on.
    fn settle(&mut self, out: Out<'_>) -> Result<()> {
        let State::Start(start) = std::mem::replace(&mut self.state, State::Plain) else { return Ok(()) };
        if let Some(wrapper) = Wrapper::recognise(&start) {
            let options = DecompressOptions { threads: self.threads, ..DecompressOptions::default() };
            let decoder = Box::new(Decompressor::with_options(wrapper, &self.limits, &options)?);
            self.state = State::Wrapped { decoder, block: Vec::new() };
        }
        self.forward(&start, out)
    }

    fn forward(&mut self, chunk: &[u8], out: Out<'_>) -> Result<()> {
        let State::Wrapped { decoder, block } = &mut self.state else {
            return if chunk.is_empty() { Ok(()) } else { out(chunk) };
        };
        let mut rest = chunk;
        if !block.is_empty() {
            let missing = BLOCK.saturating_sub(block.len());
            let (taken, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            block.extend_from_slice(taken);
            rest = later;
            if block.len() < BLOCK {
                return Ok(());
            }
            decoder.push(block, out)?;
            block.clear();
        }
        let (whole, rest) = rest.as_chunks::<BLOCK>();
        for whole in whole {
            decoder.push(whole, out)?;
        }
        block.extend_from_slice(rest);
        Ok(())
    }
}

//! Decompressing a stream that is pushed.

use diskimg_codec::Wrapper;
use diskimg_core::{Finding, Result};

use crate::opener::Opener;
use crate::wrappers::{Decompressor, decompressor};

/// Compressed bytes that are passed to the decoder at a time, our choice. Decoders may or may not emit output that
/// precedes an error, depending on how their input is split; blocks of fixed size make the result independent of
/// the caller's chunks.
const BLOCK: usize = 16 << 10;

/// Receives the decompressed bytes, in order.
type EmitBytes<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Recognises the compression of a pushed stream and decompresses it, one level deep.
pub(crate) struct AutoDecompressor {
    stage: DecompressStage,
    opener: Opener,
}

enum DecompressStage {
    /// Too few bytes to recognise a compression.
    Start(Vec<u8>),
    Plain,
    Compressed {
        decoder: Box<Decompressor>,
        /// The beginning of the next block.
        block: Vec<u8>,
    },
}

impl AutoDecompressor {
    /// A decompressor that follows [`Opener::decompress`].
    pub(crate) fn new(opener: &Opener) -> Self {
        let stage = match opener.decompress {
            true => DecompressStage::Start(Vec::new()),
            false => DecompressStage::Plain,
        };
        Self { stage, opener: opener.clone() }
    }

    /// The compression of the stream, once it is known.
    pub(crate) fn wrapper(&self) -> Option<Wrapper> {
        match &self.stage {
            DecompressStage::Compressed { decoder, .. } => Some(decoder.wrapper()),
            _ => None,
        }
    }

    /// The findings about the compression so far, complete at the end of the stream.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        match &self.stage {
            DecompressStage::Compressed { decoder, .. } => decoder.findings(),
            _ => Vec::new(),
        }
    }

    /// Accepts the next bytes of the stream.
    ///
    /// # Errors
    /// As [`Decompressor::push`], and those of `emit`.
    pub(crate) fn push(&mut self, chunk: &[u8], emit: EmitBytes<'_>) -> Result<()> {
        let DecompressStage::Start(start) = &mut self.stage else { return self.forward(chunk, emit) };
        let missing = Wrapper::HEAD.saturating_sub(start.len());
        let (taken, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        start.extend_from_slice(taken);
        if start.len() < Wrapper::HEAD {
            return Ok(());
        }
        self.leave_start(emit)?;
        self.forward(rest, emit)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// As [`Decompressor::finish`], and those of `emit`.
    pub(crate) fn finish(&mut self, emit: EmitBytes<'_>) -> Result<()> {
        if matches!(self.stage, DecompressStage::Start(_)) {
            self.leave_start(emit)?;
        }
        match &mut self.stage {
            DecompressStage::Compressed { decoder, block } => {
                decoder.push(block, emit)?;
                decoder.finish(emit)
            }
            _ => Ok(()),
        }
    }

    /// Recognises the compression by the first bytes and forwards them.
    fn leave_start(&mut self, emit: EmitBytes<'_>) -> Result<()> {
        let DecompressStage::Start(start) = std::mem::replace(&mut self.stage, DecompressStage::Plain) else {
            return Ok(());
        };
        if let Some(wrapper) = Wrapper::recognise(&start) {
            let decoder = Box::new(decompressor(wrapper, &self.opener)?);
            self.stage = DecompressStage::Compressed { decoder, block: Vec::new() };
        }
        self.forward(&start, emit)
    }

    fn forward(&mut self, chunk: &[u8], emit: EmitBytes<'_>) -> Result<()> {
        let DecompressStage::Compressed { decoder, block } = &mut self.stage else {
            return if chunk.is_empty() { Ok(()) } else { emit(chunk) };
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
            decoder.push(block, emit)?;
            block.clear();
        }
        let mut blocks = rest.chunks_exact(BLOCK);
        for whole in blocks.by_ref() {
            decoder.push(whole, emit)?;
        }
        block.extend_from_slice(blocks.remainder());
        Ok(())
    }
}

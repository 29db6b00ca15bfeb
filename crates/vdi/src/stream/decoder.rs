//! Splits a stream into header, block map and blocks.

use diskimg_core::{BlockSink, Error, ErrorKind, Limits, Result, StreamDecoder, StreamWriter};

use super::block_reader::BlockReader;
use super::map_reader::MapReader;
use crate::addr::HostOffset;
use crate::errors::{invalid, truncated};
use crate::header::Header;
use crate::header_fields::length_of_version;

/// Creates a decoder: [`diskimg_core::Driver::stream`] of this format.
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(VdiDecoder {
        limits: limits.clone(),
        position: HostOffset(0),
        stage: DecoderStage::Header(Vec::new()),
        writer: StreamWriter::default(),
    }))
}

/// Decodes a streamed image.
///
/// Uses four bytes of memory for each file block, taken from [`Limits::metadata_cache`]. An image whose header counts
/// more blocks is refused before its block map.
///
/// A file block that several guest blocks refer to is written to each of them, as when a file is read. That is damage,
/// which only the check of [`crate::DRIVER`] reports.
struct VdiDecoder {
    limits: Limits,
    /// The host offset of the next byte.
    position: HostOffset,
    stage: DecoderStage,
    writer: StreamWriter,
}

enum DecoderStage {
    /// The beginning of the header.
    Header(Vec<u8>),
    /// Before or in the block map.
    Map(Box<MapReader>),
    /// Past the block map.
    Blocks(Box<BlockReader>),
    /// Finished or failed.
    Ended,
}

impl StreamDecoder for VdiDecoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let mut input = input;
        while !input.is_empty() {
            let stage = std::mem::replace(&mut self.stage, DecoderStage::Ended);
            let (stage, used) = self.step(stage, input, sink)?;
            self.stage = stage;
            self.position = self.position.plus(used as u64);
            input = input.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        let end = self.position;
        match std::mem::replace(&mut self.stage, DecoderStage::Ended) {
            DecoderStage::Header(bytes) => {
                Err(Header::parse(&bytes).err().unwrap_or_else(|| truncated("header").at(0)))
            }
            DecoderStage::Map(map) => {
                map.check_complete(end)?;
                // An image without blocks ends with its map.
                map.into_block_reader(sink)?.finish(end, &mut self.writer, sink)
            }
            DecoderStage::Blocks(blocks) => blocks.finish(end, &mut self.writer, sink),
            DecoderStage::Ended => Err(ended()),
        }
    }
}

impl VdiDecoder {
    /// Processes some of `input`. Returns the next stage and the number of bytes used, which is 0 only if the stage has
    /// changed.
    fn step(
        &mut self,
        stage: DecoderStage,
        input: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<(DecoderStage, usize)> {
        match stage {
            DecoderStage::Header(mut bytes) => {
                let missing = length_of_version(&bytes).saturating_sub(bytes.len());
                let taken = input.get(..missing).unwrap_or(input);
                bytes.extend_from_slice(taken);
                let stage = match Header::parse(&bytes) {
                    Ok(header) => DecoderStage::Map(Box::new(MapReader::new(header, &self.limits)?)),
                    Err(error) if error.kind() == ErrorKind::Truncated => DecoderStage::Header(bytes),
                    Err(error) => return Err(error),
                };
                Ok((stage, taken.len()))
            }
            DecoderStage::Map(mut map) => {
                let used = map.push(self.position, input, sink)?;
                let stage = if map.is_complete(self.position.plus(used as u64)) {
                    DecoderStage::Blocks(Box::new(map.into_block_reader(sink)?))
                } else {
                    DecoderStage::Map(map)
                };
                Ok((stage, used))
            }
            DecoderStage::Blocks(mut blocks) => {
                let used = blocks.push(self.position, input, &mut self.writer, sink)?;
                Ok((DecoderStage::Blocks(blocks), used))
            }
            DecoderStage::Ended => Err(ended()),
        }
    }
}

fn ended() -> Error {
    invalid("stream").because("the decoder has ended or failed before and accepts no more input")
}

//! The decoder from the first byte on.

use diskimg_core::{BlockSink, HostOffset, Limits, Result, StreamDecoder};

use super::input_buffer::Intake;
use super::stream_image::StreamImage;
use super::stream_layout::Shape;
use crate::errors::truncated;
use crate::sparse_header::SparseHeader;

/// Bytes of the header with what fills its sector.
const HEADER_SECTOR: usize = 512;

/// Makes a decoder of a stream-optimised image that arrives in order.
///
/// Memory: a grain, its compressed form, the descriptor, and, out of [`Limits::metadata_cache`], 1 bit a grain
/// and less than 64 bytes a grain table that came: about 4 MiB for 1 TiB of data.
///
/// # Errors
/// None; the image's come from the decoder.
#[expect(clippy::unnecessary_wraps, reason = "the type that `Driver::stream` has")]
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(Decoder { limits: limits.clone(), intake: Intake::default(), image: None }))
}

struct Decoder {
    limits: Limits,
    intake: Intake,
    /// From the end of the header on.
    image: Option<StreamImage>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let mut input = input;
        let image = match &mut self.image {
            Some(image) => image,
            none => {
                let Some(bytes) = self.intake.peek(&mut input, HEADER_SECTOR)? else { return Ok(()) };
                let header = SparseHeader::parse(bytes, HostOffset(0))?;
                self.intake.consume(&mut input, HEADER_SECTOR);
                none.insert(StreamImage::new(Shape::new(header, &self.limits)?, &self.limits)?)
            }
        };
        image.take(&mut self.intake, input, sink)
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        match &mut self.image {
            Some(image) => image.finish(&self.intake, sink),
            None => {
                // Says what is wrong with the beginning, if that is more than its length.
                SparseHeader::parse(self.intake.kept(), HostOffset(0))?;
                let found = format_args!("{} bytes", self.intake.kept().len());
                Err(truncated("header").at(0).found(found).expected("a sector of 512, and grains"))
            }
        }
    }
}

//! The decoder, which reads the header itself.

use diskimg_core::{BlockSink, Finding, HostOffset, Limits, Result, StreamDecoder};

use super::input_buffer::InputBuffer;
use super::stream_image::StreamImage;
use super::stream_layout::StreamLayout;
use crate::errors::truncated;
use crate::sparse_header::SparseHeader;

/// Bytes of the header's sector.
const HEADER_SECTOR: usize = 512;

/// Creates a decoder: [`diskimg_core::Driver::stream`] of this format.
///
/// The decoder allocates a grain, its compressed form, the descriptor and, from [`Limits::metadata_cache`], 1 bit for
/// each grain and less than 64 bytes for each grain table: about 4 MiB for 1 TiB of data.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "the type that `Driver::stream` has")]
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(VmdkDecoder { limits: limits.clone(), buffer: InputBuffer::default(), image: None }))
}

struct VmdkDecoder {
    limits: Limits,
    buffer: InputBuffer,
    /// The image, once its header is known.
    image: Option<StreamImage>,
}

impl StreamDecoder for VmdkDecoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let mut input = self.buffer.with(input);
        let image = match &mut self.image {
            Some(image) => image,
            none => {
                let Some(bytes) = input.peek(HEADER_SECTOR)? else { return Ok(()) };
                let header = SparseHeader::parse(bytes, HostOffset(0))?;
                input.consume(HEADER_SECTOR);
                none.insert(StreamImage::new(StreamLayout::new(header, &self.limits)?, &self.limits)?)
            }
        };
        image.push(&mut input, sink)
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        if let Some(image) = &mut self.image {
            return image.finish(&self.buffer, sink);
        }
        let bytes = self.buffer.buffered();
        // Errors other than the length come first.
        SparseHeader::parse(bytes, HostOffset(0))?;
        let found = format!("{} bytes", bytes.len());
        Err(truncated("header").at(0).found(found).expected("a sector of 512 bytes, then grains"))
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = self.image.as_ref().and_then(|image| image.trailing_data(&self.buffer));
        finding.into_iter().collect()
    }
}

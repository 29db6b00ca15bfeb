//! The size of the dictionary that the first block of an xz stream needs.
//!
//! Source: "The .xz File Format" 1.2.1, sections 1.2 (multibyte integers), 3.1 (block header) and 5.3.1 (LZMA2).

/// The memory of an LZMA2 decoder in addition to its dictionary, rounded up. liblzma 5.8 needs less than 200 KiB.
const DECODER: u64 = 1 << 20;

/// The id of the filter LZMA2.
const LZMA2: u64 = 0x21;

/// The first bytes after a stream header: the beginning of the header of a block. The filters of a real block header are
/// within them.
#[derive(Default)]
pub(super) struct BlockHeader(Vec<u8>);

impl BlockHeader {
    /// The number of bytes that are stored. Our limit: four filters with their longest usual properties.
    const LEN: usize = 64;

    /// Adds the next bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = Self::LEN.saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// A power of two in bytes that suffices for the decoder of the block. `None` if the header is incomplete or has no
    /// dictionary.
    pub(super) fn decoder_memory(&self) -> Option<u64> {
        let (&[_, flags], mut rest) = self.0.split_first_chunk()?;
        // The compressed and the uncompressed size, if they are recorded.
        for present in [0x40, 0x80] {
            if flags & present != 0 {
                number(&mut rest)?;
            }
        }
        for _ in 0..=flags & 3 {
            let (id, len) = (number(&mut rest)?, number(&mut rest)?);
            let (properties, later) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            if id == LZMA2 {
                let bits = *properties.first()?;
                let dictionary = match bits {
                    0..40 => u64::from(2 | bits & 1) << (bits / 2 + 11),
                    40 => u32::MAX.into(),
                    _ => return None,
                };
                return Some((dictionary + DECODER).next_power_of_two());
            }
            rest = later;
        }
        None
    }
}

/// Reads a multibyte integer.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

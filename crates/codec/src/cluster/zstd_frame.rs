//! The header of a zstd frame.
//!
//! Source: RFC 8878, section 3.1.1.1 (frame header) and 3.1.2 (skippable frames).

const MAGIC: u32 = 0xFD2F_B528;

/// Returns the bytes that a decoder of the frame at the start of `input` must keep: its window, or all of the
/// frame if it is a single segment. `None` if no data frame starts there or its header is incomplete.
pub(super) fn window_size(input: &[u8]) -> Option<u64> {
    let (magic, rest) = input.split_first_chunk::<4>()?;
    let (&descriptor, rest) = rest.split_first()?;
    if u32::from_le_bytes(*magic) != MAGIC {
        return None;
    }
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = *rest.first()?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary_id_len = match descriptor & 3 {
        3 => 4,
        len => usize::from(len),
    };
    let size = rest.get(dictionary_id_len..)?;
    match descriptor >> 6 {
        0 => size.first().map(|&byte| u64::from(byte)),
        1 => size.first_chunk().map(|&bytes| u64::from(u16::from_le_bytes(bytes)) + 256),
        2 => size.first_chunk().map(|&bytes| u64::from(u32::from_le_bytes(bytes))),
        _ => size.first_chunk().map(|&bytes| u64::from_le_bytes(bytes)),
    }
}

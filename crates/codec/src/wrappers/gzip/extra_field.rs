//! The extra field of a gzip member, parsed in pieces.
//!
//! Sources: RFC 1952, section 2.3.1.1; SAM/BAM format specification, section 4.1 (BGZF, `BC`); mgzip and pgzip (`SZ`,
//! `IG`); LinkedIn MiGz (`MZ`).

/// The ids of subfields with the length of a block. Programs that write a file as many small members record them.
const BLOCK_IDS: [[u8; 2]; 4] = [*b"BC", *b"SZ", *b"IG", *b"MZ"];

/// An extra field: subfields of an id of two bytes, a little-endian length, and data.
#[derive(Default)]
pub(super) struct ExtraField {
    /// The id and the length of the current subfield, as far as they were read.
    head: [u8; 4],
    head_len: usize,
    /// Bytes of the data of the current subfield that follow.
    left: usize,
    marks_a_block: bool,
}

impl ExtraField {
    /// Adds the next bytes of the field.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let data = self.left.min(bytes.len());
                self.left = self.left.saturating_sub(data);
                bytes = bytes.get(data..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = byte;
                self.head_len = self.head_len.saturating_add(1);
            }
            if self.head_len == self.head.len() {
                let [id0, id1, len0, len1] = self.head;
                self.marks_a_block |= BLOCK_IDS.contains(&[id0, id1]);
                self.left = usize::from(u16::from_le_bytes([len0, len1]));
                self.head_len = 0;
            }
            bytes = rest;
        }
    }

    /// Returns true if a subfield has the length of a block.
    pub(super) fn marks_a_block(&self) -> bool {
        self.marks_a_block
    }
}

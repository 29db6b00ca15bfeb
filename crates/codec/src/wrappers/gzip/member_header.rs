//! The header of one gzip member, parsed in pieces.
//!
//! Source: RFC 1952, section 2.3.

use diskimg_core::{ErrorKind, LimitKind, Remedy, Result};
use flate2::Crc;

use super::extra_field::ExtraField;
use crate::wrappers::stream_codec::error_at;

pub(super) const MAGIC: [u8; 2] = [0x1F, 0x8B];
const DEFLATE: u8 = 8;
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
/// Section 2.3.1.2: "must give an error indication if any reserved bit is non-zero".
const RESERVED: u8 = 0xE0;

/// A header that is parsed as it is streamed. Names and comments are skipped.
pub(super) struct MemberHeader {
    start: u64,
    len: u64,
    flags: u8,
    extra_len: u16,
    extra: ExtraField,
    crc: Crc,
    /// The computed CRC, without its own two bytes.
    header_crc: u32,
    /// The stored CRC, as far as it was read.
    found_crc: u16,
    field: HeaderField,
    /// Bytes of `field` read so far.
    at: u16,
}

/// The fields in the order of the file. All but the first are optional.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum HeaderField {
    Fixed,
    ExtraLen,
    Extra,
    Name,
    Comment,
    HeaderCrc,
    Done,
}

impl MemberHeader {
    /// Creates the parser of a header that starts at this offset of the file.
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            len: 0,
            flags: 0,
            extra_len: 0,
            extra: ExtraField::default(),
            crc: Crc::new(),
            header_crc: 0,
            found_crc: 0,
            field: HeaderField::Fixed,
            at: 0,
        }
    }

    /// Returns true if the member is a block of a file that was compressed in blocks.
    pub(super) fn is_block(&self) -> bool {
        self.extra.marks_a_block()
    }

    /// Parses bytes at the start of `input`. Returns their number, and true if the header has ended.
    pub(super) fn feed(&mut self, input: &[u8], limit: u64) -> Result<(usize, bool)> {
        let mut read = 0_usize;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            let taken = match self.field {
                HeaderField::Done => return Ok((read, true)),
                _ if rest.is_empty() => return Ok((read, false)),
                HeaderField::Fixed => self.fixed(rest)?,
                HeaderField::ExtraLen => {
                    self.extra_len = push_byte(self.extra_len, self.at, rest);
                    self.numbered(2, HeaderField::Extra)
                }
                HeaderField::Extra => {
                    let left = usize::from(self.extra_len.saturating_sub(self.at));
                    let taken = left.min(rest.len());
                    self.extra.push(rest.get(..taken).unwrap_or_default());
                    self.at = self.at.saturating_add(u16::try_from(taken).unwrap_or(u16::MAX));
                    if self.at == self.extra_len {
                        self.enter(HeaderField::Name);
                    }
                    taken
                }
                HeaderField::Name => self.text(rest, HeaderField::Comment),
                HeaderField::Comment => self.text(rest, HeaderField::HeaderCrc),
                HeaderField::HeaderCrc => {
                    if self.at == 0 {
                        self.header_crc = self.crc.sum() & 0xFFFF;
                    }
                    self.found_crc = push_byte(self.found_crc, self.at, rest);
                    self.numbered(2, HeaderField::Done)
                }
            };
            self.crc.update(rest.get(..taken).unwrap_or_default());
            self.len = self.len.saturating_add(taken as u64);
            read = read.saturating_add(taken);
            self.check(limit)?;
        }
    }

    /// Parses one of the first ten bytes. Each is checked immediately, so that garbage is not reported as a truncated
    /// header.
    fn fixed(&mut self, rest: &[u8]) -> Result<usize> {
        let Some(&byte) = rest.first() else { return Ok(0) };
        let offset = self.start.saturating_add(u64::from(self.at));
        let wrong = |field| error_at(ErrorKind::Corrupt, field, offset).found_hex(byte);
        match (self.at, byte) {
            (0, byte) if byte == MAGIC[0] => {}
            (1, byte) if byte == MAGIC[1] => {}
            (0 | 1, _) => return Err(wrong("magic").expected("0x1f 0x8b")),
            (2, DEFLATE) => {}
            (2, _) => return Err(wrong("compression method").expected("8 (deflate)")),
            (3, flags) if flags & RESERVED != 0 => {
                return Err(wrong("flags").expected("zeros in the reserved bits 0xe0"));
            }
            (3, flags) => self.flags = flags,
            _ => {}
        }
        Ok(self.numbered(10, HeaderField::ExtraLen))
    }

    /// Counts one byte of a field of `len` bytes that is followed by `next`.
    fn numbered(&mut self, len: u16, next: HeaderField) -> usize {
        self.at = self.at.saturating_add(1);
        if self.at == len {
            self.enter(next);
        }
        1
    }

    /// Skips text up to and including its zero byte.
    fn text(&mut self, rest: &[u8], next: HeaderField) -> usize {
        match rest.iter().position(|&byte| byte == 0) {
            Some(at) => {
                self.enter(next);
                at.saturating_add(1)
            }
            None => rest.len(),
        }
    }

    /// Continues with `field`, or with the first field after it that the flags announce.
    fn enter(&mut self, field: HeaderField) {
        let has = |flag: u8| self.flags & flag != 0;
        let optional = [
            (HeaderField::ExtraLen, has(FEXTRA)),
            (HeaderField::Extra, self.extra_len > 0),
            (HeaderField::Name, has(FNAME)),
            (HeaderField::Comment, has(FCOMMENT)),
            (HeaderField::HeaderCrc, has(FHCRC)),
        ];
        let next = optional.iter().find(|(optional, present)| *optional >= field && *present);
        self.field = next.map_or(HeaderField::Done, |(field, _)| *field);
        self.at = 0;
    }

    fn check(&self, limit: u64) -> Result<()> {
        if self.len > limit {
            return Err(error_at(ErrorKind::Limit, "header", self.start)
                .expected(format_args!("extra field, name and comment within {limit} bytes"))
                .with_remedy(Remedy::RaiseLimit(LimitKind::HeaderBytes)));
        }
        let has_crc = self.field == HeaderField::Done && self.flags & FHCRC != 0;
        if has_crc && u32::from(self.found_crc) != self.header_crc {
            let at = self.start.saturating_add(self.len).saturating_sub(2);
            return Err(error_at(ErrorKind::Corrupt, "header crc16", at)
                .found_hex(self.found_crc)
                .expected(format_args!("{:#x} computed from the header", self.header_crc)));
        }
        Ok(())
    }
}

/// Adds byte `at` of a little-endian number of two bytes to `value`.
fn push_byte(value: u16, at: u16, rest: &[u8]) -> u16 {
    let byte = u16::from(rest.first().copied().unwrap_or_default());
    if at == 0 { byte } else { value | byte << 8 }
}

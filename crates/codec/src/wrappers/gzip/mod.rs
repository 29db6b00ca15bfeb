//! gzip files: concatenated members.
//!
//! Source: RFC 1952, section 2. zlib-rs inflates and computes the CRC. The framing is parsed here, so that each
//! kind of damage is reported with its own error and offset.
//!
//! Bytes after the last member that do not begin a member are ignored with a finding, as `gzip -d` ignores them with a
//! warning: OpenWrt appends metadata to compressed images. They are an error after a block of BGZF or mgzip, where they
//! are more likely a damaged block.

mod extra_field;
mod member_header;

use diskimg_core::{ErrorKind, Finding, Result};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::stream_codec::{CodecStep, StreamCodec, error_at, trailing_data, truncated};
use crate::wrapper::TRAILING_DATA;
use member_header::{MAGIC, MemberHeader};

/// CRC-32 and ISIZE, RFC 1952 section 2.3.1.
const TRAILER_LEN: usize = 8;

/// Decompresses a gzip file.
pub(super) struct Gzip {
    state: GzipState,
    inflate: Decompress,
    crc: Crc,
    header_limit: u64,
    /// Bytes of the file read so far.
    offset: u64,
    /// Offset of the deflate data of this member.
    body: u64,
    members: u64,
    /// True if the last member that began is a block of BGZF, mgzip or MiGz.
    is_block: bool,
}

enum GzipState {
    Header(MemberHeader),
    Body,
    Trailer([u8; TRAILER_LEN], usize),
    /// After a member; another one, padding or the end follows.
    Between,
    /// After the first byte of the magic of a member.
    HalfMagic {
        /// True if zeros precede it.
        padded: bool,
    },
    /// Zeros after a member. Tapes and block devices are padded with them; gzip ignores them too.
    Padding,
    /// Bytes that are ignored up to the end of the file.
    Ignored {
        start: u64,
        len: u64,
    },
}

impl Gzip {
    pub(super) fn new(header_limit: u64) -> Self {
        Self {
            state: GzipState::Header(MemberHeader::new(0)),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            header_limit,
            offset: 0,
            body: 0,
            members: 0,
            is_block: false,
        }
    }

    /// Inflates into `output`. Returns true if the data of the member has ended.
    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<(CodecStep, bool)> {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, FlushDecompress::None).map_err(|error| {
            let at = self.body.saturating_add(self.inflate.total_in());
            error_at(ErrorKind::Corrupt, "deflate data", at)
                .because(error.message().unwrap_or("invalid data"))
        })?;
        // Lossless: neither is longer than its buffer.
        let len = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or_default();
        let step = CodecStep {
            read: len(self.inflate.total_in(), read),
            written: len(self.inflate.total_out(), written),
        };
        self.crc.update(output.get(..step.written).unwrap_or_default());
        Ok((step, status == Status::StreamEnd))
    }

    /// Compares the trailer that ends at `end` with the output.
    fn check(&self, trailer: [u8; TRAILER_LEN], end: u64) -> Result<()> {
        let (crc, size) = trailer.split_at(TRAILER_LEN / 2);
        let value =
            |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let check = |field, found: u64, expected: u64, at| match found == expected {
            true => Ok(()),
            false => Err(error_at(ErrorKind::Corrupt, field, at)
                .found_hex(found)
                .expected(format_args!("{expected:#x} computed from the content"))),
        };
        check("crc32", value(crc), self.crc.sum().into(), end.saturating_sub(8))?;
        // The size is stored modulo 2^32.
        check("isize", value(size), self.inflate.total_out() & 0xFFFF_FFFF, end.saturating_sub(4))
    }

    /// Ignores the bytes from this offset of the file on, unless they follow a block.
    fn ignore_from(&mut self, start: u64) -> Result<()> {
        if self.is_block {
            return Err(trailing_data(start));
        }
        self.state = GzipState::Ignored { start, len: 0 };
        Ok(())
    }

    /// Continues until it produced output or consumed the input.
    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<CodecStep> {
        let mut read = 0_usize;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            let here = self.offset.saturating_add(read as u64);
            match &mut self.state {
                GzipState::Header(header) => {
                    let (len, done) = header.feed(rest, self.header_limit)?;
                    read = read.saturating_add(len);
                    if !done {
                        return Ok(CodecStep { read, written: 0 });
                    }
                    self.is_block = header.is_block();
                    self.members = self.members.saturating_add(1);
                    self.body = self.offset.saturating_add(read as u64);
                    self.inflate.reset(false);
                    self.crc.reset();
                    self.state = GzipState::Body;
                }
                GzipState::Body => {
                    let (step, ended) = self.inflate(rest, output)?;
                    read = read.saturating_add(step.read);
                    if ended {
                        self.state = GzipState::Trailer([0; TRAILER_LEN], 0);
                    }
                    if !ended || step.written > 0 {
                        return Ok(CodecStep { read, written: step.written });
                    }
                }
                GzipState::Trailer(trailer, len) => {
                    let before = *len;
                    for (place, &byte) in trailer.iter_mut().skip(before).zip(rest) {
                        *place = byte;
                        *len = len.saturating_add(1);
                    }
                    let taken = len.saturating_sub(before);
                    read = read.saturating_add(taken);
                    if *len < TRAILER_LEN {
                        return Ok(CodecStep { read, written: 0 });
                    }
                    let trailer = *trailer;
                    self.check(trailer, here.saturating_add(taken as u64))?;
                    self.state = GzipState::Between;
                }
                GzipState::Between => match rest.first() {
                    None => return Ok(CodecStep { read, written: 0 }),
                    Some(0) => self.state = GzipState::Padding,
                    Some(&byte) if byte == MAGIC[0] => {
                        self.state = GzipState::HalfMagic { padded: false };
                        read = read.saturating_add(1);
                    }
                    Some(_) => self.ignore_from(here)?,
                },
                GzipState::HalfMagic { padded } => {
                    let (start, padded) = (here.saturating_sub(1), *padded);
                    match rest.first() {
                        None => return Ok(CodecStep { read, written: 0 }),
                        // A member may not follow padding, but its content must not be missing from the disk.
                        Some(&byte) if byte == MAGIC[1] && padded => return Err(trailing_data(start)),
                        Some(&byte) if byte == MAGIC[1] => {
                            let mut header = MemberHeader::new(start);
                            header.feed(&MAGIC[..1], self.header_limit)?;
                            self.state = GzipState::Header(header);
                        }
                        Some(_) => self.ignore_from(start)?,
                    }
                }
                GzipState::Padding => match rest.iter().position(|&byte| byte != 0) {
                    None => return Ok(CodecStep { read: input.len(), written: 0 }),
                    Some(at) => {
                        read = read.saturating_add(at);
                        if rest.get(at) == MAGIC.first() {
                            read = read.saturating_add(1);
                            self.state = GzipState::HalfMagic { padded: true };
                        } else {
                            self.ignore_from(here.saturating_add(at as u64))?;
                        }
                    }
                },
                GzipState::Ignored { start, len } => {
                    let end = here.saturating_add(rest.len() as u64);
                    *len = end.saturating_sub(*start);
                    return Ok(CodecStep { read: input.len(), written: 0 });
                }
            }
        }
    }
}

impl StreamCodec for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep> {
        let step = self.advance(input, output)?;
        self.offset = self.offset.saturating_add(step.read as u64);
        if !end || step.written > 0 {
            return Ok(step);
        }
        let incomplete = match self.state {
            GzipState::Between | GzipState::Padding | GzipState::Ignored { .. } => return Ok(step),
            GzipState::Header(_) | GzipState::HalfMagic { .. } => "header",
            GzipState::Body => "deflate data",
            GzipState::Trailer(..) => "trailer",
        };
        Err(truncated(incomplete, self.offset))
    }

    fn units(&self) -> u64 {
        self.members
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, GzipState::Padding | GzipState::Ignored { .. })
    }

    fn findings(&self) -> Vec<Finding> {
        let GzipState::Ignored { start, len } = self.state else { return Vec::new() };
        let message =
            format!("the gzip data ends at byte {start}, and the {len} bytes after it were ignored");
        vec![Finding::warning(TRAILING_DATA, message).at(start)]
    }
}

//! xz files: concatenated streams with padding between them.
//!
//! Source: "The .xz File Format" 1.2.1, sections 2.1.1 (stream header) and 2.2 (stream padding). liblzma
//! decodes and checks one stream. The Rust interface of its multi-threaded decoder accepts no flags, so this
//! module separates the streams and refuses checks that cannot be verified.

use diskimg_core::{Error, ErrorKind, Fault, LimitKind, Remedy, Result};
use flate2::Crc;
use xz2::stream::{Action, MtStreamBuilder, Status, Stream};

use super::decompress_options::DecompressOptions;
use super::stream_codec::{CodecStep, StreamCodec, error_at, trailing_data, truncated};
use super::xz_dictionary::BlockHeader;

const MAGIC: [u8; 6] = [0xFD, b'7', b'z', b'X', b'Z', 0];
const HEADER_LEN: usize = 12;

/// None, CRC32, CRC64 and SHA-256: the checks that section 2.1.1.2 defines.
const CHECKS: [u8; 4] = [0, 1, 4, 10];

/// Decompresses an xz file.
pub(super) struct Xz {
    state: XzState,
    memory: u64,
    threads: u32,
    thread_memory: u64,
    /// Bytes of the file read so far.
    offset: u64,
    streams: u64,
}

enum XzState {
    /// The bytes of a stream header so far, and their number.
    Header([u8; HEADER_LEN], usize),
    Body(Box<Stream>, BlockHeader),
    /// After a stream, with the number of zeros of padding so far.
    Between(u64),
}

impl Xz {
    pub(super) fn new(memory: u64, options: &DecompressOptions) -> Self {
        let threads = match options.threads {
            0 => {
                std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
            }
            threads => threads,
        };
        Self {
            state: XzState::Header([0; HEADER_LEN], 0),
            memory,
            // The limit of liblzma (LZMA_THREADS_MAX); it creates no decoder for more.
            threads: threads.min(16_384),
            thread_memory: options.thread_memory,
            offset: 0,
            streams: 0,
        }
    }

    /// Creates a decoder that has consumed this header, which ends at `end`.
    fn open(&self, header: &[u8; HEADER_LEN], end: u64) -> Result<Stream> {
        let start = end.saturating_sub(HEADER_LEN as u64);
        check_header(header, start)?;
        let stream = if self.threads > 1 {
            MtStreamBuilder::new()
                .threads(self.threads)
                .memlimit_threading(self.thread_memory.min(self.memory))
                .memlimit_stop(self.memory)
                .decoder()
        } else {
            Stream::new_stream_decoder(self.memory, 0)
        };
        let mut stream = stream.map_err(|error| self.describe(error, start))?;
        stream.process(header, &mut [], Action::Run).map_err(|error| self.describe(error, start))?;
        Ok(stream)
    }

    /// Converts an error of liblzma. With several threads `offset` is the end of the input so far, which may be
    /// past the cause.
    fn describe(&self, error: xz2::stream::Error, offset: u64) -> Error {
        use xz2::stream::Error as Lzma;
        match error {
            Lzma::MemLimit => error_at(ErrorKind::Limit, "dictionary", offset)
                .expected(format_args!("one that {} bytes of memory can decode", self.memory))
                .with_remedy(Remedy::RaiseLimit(LimitKind::DecoderMemory)),
            Lzma::Mem => Error::new(ErrorKind::Limit)
                .at(offset)
                .because("no memory for the decoder")
                .with_fault(Fault::Machine),
            Lzma::Options | Lzma::UnsupportedCheck | Lzma::NoCheck => {
                error_at(ErrorKind::Unsupported, "filters", offset)
                    .because("the filter, or one of its options, is not supported")
            }
            Lzma::Data | Lzma::Format | Lzma::Program => {
                error_at(ErrorKind::Corrupt, "compressed data", offset)
                    .because("the data, its check or its index is wrong")
            }
        }
    }

    /// As [`Xz::describe`]; `memory` is what the first block of the stream needs, if known.
    fn describe_block(&self, error: xz2::stream::Error, offset: u64, memory: Option<u64>) -> Error {
        let described = self.describe(error, offset);
        match memory.filter(|memory| *memory > self.memory) {
            Some(memory) if described.remedy() == Some(Remedy::RaiseLimit(LimitKind::DecoderMemory)) => {
                described
                    .found(format_args!("one that needs {memory} bytes"))
                    .with_remedy(Remedy::RaiseLimitTo(LimitKind::DecoderMemory, memory))
            }
            _ => described,
        }
    }

    /// Continues until it produced output or consumed the input.
    fn advance(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep> {
        let mut read = 0_usize;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            let here = self.offset.saturating_add(read as u64);
            match &mut self.state {
                XzState::Header(header, len) => {
                    let before = *len;
                    for (place, &byte) in header.iter_mut().skip(before).zip(rest) {
                        *place = byte;
                        *len = len.saturating_add(1);
                    }
                    let start = here.saturating_sub(before as u64);
                    if header.iter().zip(&MAGIC).take(*len).any(|(found, expected)| found != expected) {
                        return Err(match self.streams {
                            0 => error_at(ErrorKind::Corrupt, "magic", start).expected("fd 37 7a 58 5a 00"),
                            _ => trailing_data(start),
                        });
                    }
                    read = read.saturating_add(len.saturating_sub(before));
                    if *len < HEADER_LEN {
                        return Ok(CodecStep { read, written: 0 });
                    }
                    let header = *header;
                    let stream = self.open(&header, start.saturating_add(HEADER_LEN as u64))?;
                    self.streams = self.streams.saturating_add(1);
                    self.state = XzState::Body(Box::new(stream), BlockHeader::default());
                }
                XzState::Body(stream, block) => {
                    let (step, status) = decode(stream, rest, output, end);
                    block.push(rest);
                    read = read.saturating_add(step.read);
                    let here = self.offset.saturating_add(read as u64);
                    let memory = block.decoder_memory();
                    match status.map_err(|error| self.describe_block(error, here, memory))? {
                        Status::StreamEnd => self.state = XzState::Between(0),
                        Status::MemNeeded if step.written == 0 && end => {
                            return Err(truncated("compressed data", here));
                        }
                        Status::MemNeeded if step.written == 0 && !rest.is_empty() => {
                            return Err(self.describe(xz2::stream::Error::Data, here));
                        }
                        _ if end && step.written == 0 => continue,
                        _ => return Ok(CodecStep { read, written: step.written }),
                    }
                    if step.written > 0 {
                        return Ok(CodecStep { read, written: step.written });
                    }
                }
                XzState::Between(padding) => {
                    let zeros = rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
                    *padding = padding.saturating_add(zeros as u64);
                    read = read.saturating_add(zeros);
                    if *padding % 4 != 0 && (end || zeros < rest.len()) {
                        let start = here.saturating_add(zeros as u64).saturating_sub(*padding);
                        return Err(error_at(ErrorKind::Corrupt, "stream padding", start)
                            .found(format_args!("{padding} bytes"))
                            .expected("a multiple of 4"));
                    }
                    if zeros == rest.len() {
                        return Ok(CodecStep { read, written: 0 });
                    }
                    self.state = XzState::Header([0; HEADER_LEN], 0);
                }
            }
        }
    }
}

impl StreamCodec for Xz {
    fn step(&mut self, input: &[u8], output: &mut [u8], end: bool) -> Result<CodecStep> {
        let step = self.advance(input, output, end)?;
        self.offset = self.offset.saturating_add(step.read as u64);
        match self.state {
            XzState::Header(..) if end => Err(truncated("stream header", self.offset)),
            _ => Ok(step),
        }
    }

    fn units(&self) -> u64 {
        self.streams
    }
}

/// Calls liblzma once.
fn decode(
    stream: &mut Stream,
    input: &[u8],
    output: &mut [u8],
    end: bool,
) -> (CodecStep, Result<Status, xz2::stream::Error>) {
    let (read, written) = (stream.total_in(), stream.total_out());
    let status = stream.process(input, output, if end { Action::Finish } else { Action::Run });
    // Lossless: neither is longer than its buffer.
    let len = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or_default();
    (CodecStep { read: len(stream.total_in(), read), written: len(stream.total_out(), written) }, status)
}

/// Checks the flags of the stream header at `start`. Its magic was checked before.
fn check_header(header: &[u8; HEADER_LEN], start: u64) -> Result<()> {
    let [.., reserved, check, crc0, crc1, crc2, crc3] = *header;
    let mut crc = Crc::new();
    crc.update(&[reserved, check]);
    let found = u32::from_le_bytes([crc0, crc1, crc2, crc3]);
    if found != crc.sum() {
        return Err(error_at(ErrorKind::Corrupt, "stream header crc32", start.saturating_add(8))
            .found_hex(found)
            .expected(format_args!("{:#x} computed from the header", crc.sum())));
    }
    let unsupported = |field, at: u64, found: u8| {
        error_at(ErrorKind::Unsupported, field, start.saturating_add(at)).found_hex(found)
    };
    if reserved != 0 {
        return Err(unsupported("stream flags", 6, reserved).expected("0"));
    }
    if !CHECKS.contains(&check) {
        return Err(unsupported("check", 7, check).expected("0 (none), 1 (CRC32), 4 (CRC64) or 10 (SHA-256)"));
    }
    Ok(())
}

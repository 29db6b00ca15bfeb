//! The decompressors of compressed files.

use std::io::Read;

use diskimg_codec::{DecompressOptions, DecompressReader, Wrapper};
use diskimg_core::Result;

pub(crate) use diskimg_codec::Decompressor;

use crate::byte_stream::read_full;
use crate::finding_log::FindingLog;
use crate::opener::Opener;
use crate::stoppable::StoppableReader;
use crate::workers::{startable, thread_count};

/// A decompressor of pushed bytes.
pub(crate) fn decompressor(wrapper: Wrapper, opener: &Opener) -> Result<Decompressor> {
    let options = DecompressOptions { threads: threads(wrapper, opener), ..DecompressOptions::default() };
    Decompressor::with_options(wrapper, &opener.limits, &options)
}

/// The number of threads that decode: only xz has several. liblzma fails if it cannot start one.
fn threads(wrapper: Wrapper, opener: &Opener) -> u32 {
    let wanted = match wrapper {
        Wrapper::Xz => thread_count(usize::try_from(opener.threads).unwrap_or(usize::MAX)),
        _ => 1,
    };
    let threads = if wanted > 1 { startable(wanted).max(1) } else { 1 };
    u32::try_from(threads).unwrap_or(u32::MAX)
}

/// The least number of decompressed bytes that the head of a compressed file records.
pub(crate) fn least_size(wrapper: Wrapper, head: &[u8]) -> Option<u64> {
    wrapper.least_size(head)
}

/// The decompressed bytes of a stream. Its findings are in `log` once the end was read.
pub(crate) fn decompress_reader(
    stream: impl Read + Send + 'static,
    wrapper: Wrapper,
    opener: &Opener,
    log: &FindingLog,
) -> Result<Box<dyn Read + Send>> {
    let cancel = opener.cancel.as_ref();
    let stored = StoppableReader::new(stream, cancel);
    let reader = DecompressReader::new(stored, decompressor(wrapper, opener)?);
    // A little input may have much output, so the output is stopped too.
    Ok(Box::new(StoppableReader::new(LoggedReader { reader, log: log.clone() }, cancel)))
}

/// The first bytes of a compressed stream, at most `len`.
///
/// # Errors
/// Errors of the stream, and of the decompressor before that many bytes.
pub(crate) fn decompress_prefix(
    stream: &mut dyn Read,
    wrapper: Wrapper,
    len: usize,
    opener: &Opener,
) -> Result<Vec<u8>> {
    let single = Opener { threads: 1, ..opener.clone() };
    let mut bytes = vec![0; len];
    let len = read_full(&mut DecompressReader::new(stream, decompressor(wrapper, &single)?), &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// A decompressing reader that reports its findings at the end.
struct LoggedReader<R> {
    reader: DecompressReader<R>,
    log: FindingLog,
}

impl<R: Read> Read for LoggedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.reader.read(buf)?;
        if len == 0 && !buf.is_empty() {
            self.log.add(self.reader.findings());
        }
        Ok(len)
    }
}

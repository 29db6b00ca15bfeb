//! The conversion of an image that is read once, in order.

use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSink, BlockSource, Driver, Error, ErrorKind, Finding, Format, Image, Progress, Result, StreamDecoder,
};

use super::byte_counts::ByteCounts;
use super::counting_sink::CountingSink;
use super::engine::convert;
use super::options::{ConvertOptions, Converted};
use super::rate_limit::RateLimit;
use crate::finding_log::merge;
use crate::foreign_formats::TRAILER;
use crate::opener::Opener;
use crate::probe::Payload;
use crate::sniff::{FileParts, HEAD};
use crate::spool::ImageSpool;
use crate::stream_input::{more_of_head, one_pass};
use crate::tail::Tail;

/// The conversion of a decompressed image that is pushed: in one pass if its format and layout allow it, otherwise
/// through a temporary file.
pub(super) struct OnePass {
    opener: Opener,
    options: ConvertOptions,
    sink: Box<dyn BlockSink>,
    counts: ByteCounts,
    rate: Option<RateLimit>,
    stage: PassStage,
    raw: Option<RawCheck>,
    /// Describes an image that is decoded in order, for its findings.
    described: Payload,
}

enum PassStage {
    /// Too few bytes to recognise the format, or the files that the image needs.
    Head {
        bytes: Vec<u8>,
        enough: usize,
    },
    Decoding(&'static Driver, Box<dyn StreamDecoder>),
    Spooling(&'static Driver, Box<ImageSpool>),
    Failed,
}

/// The bytes that decide at the end of a stream if it was a raw disk.
struct RawCheck {
    head: Vec<u8>,
    tail: Tail,
    size: u64,
}

impl RawCheck {
    fn push(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
    }

    fn check(&self, opener: &Opener) -> Result<()> {
        let trailer = self.tail.last(TRAILER);
        let parts = FileParts { head: &self.head, trailer: &trailer, size: Some(self.size) };
        opener.driver_for(parts).map(|_| ())
    }
}

impl OnePass {
    pub(super) fn new(opener: &Opener, sink: Box<dyn BlockSink>, options: &ConvertOptions) -> Self {
        let stage = PassStage::Head { bytes: Vec::new(), enough: HEAD };
        let (opener, options) = (opener.clone(), options.clone());
        let described = Payload::new(&opener);
        let (counts, rate) = (ByteCounts::default(), RateLimit::new(options.rate));
        Self { opener, options, sink, counts, rate, stage, raw: None, described }
    }

    /// The driver, once the format is known.
    pub(super) fn driver(&self) -> Option<&'static Driver> {
        match &self.stage {
            PassStage::Decoding(driver, _) | PassStage::Spooling(driver, _) => Some(driver),
            PassStage::Head { .. } | PassStage::Failed => None,
        }
    }

    /// True if the whole image is stored and converted at its end.
    pub(super) fn is_spooling(&self) -> bool {
        matches!(self.stage, PassStage::Spooling(..))
    }

    /// Sets the format that the image was recognised as, unless the caller gave one.
    pub(super) fn recognised(&mut self, format: Format) {
        self.opener.format.get_or_insert(format);
    }

    /// Accepts the next bytes. After an error it accepts no more. `progress` stops a wait for the rate; nothing else is
    /// reported to it.
    pub(super) fn push(&mut self, bytes: &[u8], progress: &dyn Progress) -> Result<()> {
        let pushed = self.push_head(bytes, progress).and_then(|rest| self.forward(rest, progress));
        if pushed.is_err() {
            self.stage = PassStage::Failed;
        }
        pushed
    }

    /// Completes the head; returns the bytes after it, which are empty as long as the head is incomplete.
    fn push_head<'b>(&mut self, bytes: &'b [u8], progress: &dyn Progress) -> Result<&'b [u8]> {
        let mut rest = bytes;
        while let PassStage::Head { bytes: head, enough } = &mut self.stage {
            let missing = enough.saturating_sub(head.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            head.extend_from_slice(now);
            if head.len() < *enough {
                return Ok(&[]);
            }
            self.leave_head(None, progress)?;
            rest = later;
        }
        Ok(rest)
    }

    /// Recognises the format by the head and chooses how to convert it, or requests a longer head. `size` is that of
    /// the image if it has ended.
    fn leave_head(&mut self, size: Option<u64>, progress: &dyn Progress) -> Result<()> {
        let PassStage::Head { bytes: head, .. } = std::mem::replace(&mut self.stage, PassStage::Failed)
        else {
            return Ok(());
        };
        let opener = &self.opener;
        let driver = opener.driver_for(FileParts::of_head(&head, size))?;
        if let (None, Some(more)) = (size, more_of_head(opener, driver, &head)) {
            let enough = head.len().saturating_add(more);
            self.stage = PassStage::Head { bytes: head, enough };
            return Ok(());
        }
        self.stage = match one_pass(opener, driver, &head, self.sink.properties().order)? {
            Some(decoder) => PassStage::Decoding(driver, decoder),
            None => {
                let spool = ImageSpool::new(&opener.spool, opener.limits.virtual_size);
                PassStage::Spooling(driver, Box::new(spool.map_err(|error| error.format(driver.format))?))
            }
        };
        self.described = Payload::new(&Opener { format: Some(driver.format), ..self.opener.clone() });
        if driver.format == diskimg_raw::DRIVER.format && !self.is_spooling() {
            self.raw = Some(RawCheck { head: head.clone(), tail: Tail::new(TRAILER), size: 0 });
        }
        self.forward(&head, progress)
    }

    fn forward(&mut self, bytes: &[u8], progress: &dyn Progress) -> Result<()> {
        if let Some(raw) = &mut self.raw {
            raw.push(bytes);
        }
        let (counts, sparse, rate) = (&self.counts, self.options.sparse, self.rate.as_ref());
        let sink = CountingSink { sink: &*self.sink, counts, sparse, rate, progress };
        match &mut self.stage {
            PassStage::Decoding(_, decoder) => {
                self.described.push(bytes);
                decoder.push(bytes, &sink)
            }
            PassStage::Spooling(_, spool) => spool.push(bytes),
            PassStage::Head { .. } if bytes.is_empty() => Ok(()),
            PassStage::Head { .. } | PassStage::Failed => Err(failed("accepts no more bytes")),
        }
    }

    /// Ends the image: converts it if it was stored, and finishes the sink. `streamed` returns the findings about the
    /// stream of an image of this virtual size.
    pub(super) fn finish(
        mut self,
        wrapper: Option<Wrapper>,
        streamed: &dyn Fn(u64) -> Vec<Finding>,
        progress: &dyn Progress,
    ) -> Result<Converted> {
        if let PassStage::Head { bytes, .. } = &self.stage {
            self.leave_head(Some(bytes.len() as u64), progress)?;
        }
        if let Some(raw) = &self.raw {
            raw.check(&self.opener)?;
        }
        match self.stage {
            PassStage::Decoding(driver, mut decoder) => {
                let (counts, sparse, rate) = (&self.counts, self.options.sparse, self.rate.as_ref());
                let sink = CountingSink { sink: &*self.sink, counts, sparse, rate, progress };
                let size = decoder.finish(&sink)?;
                let described = self.described.finish().image;
                let mut findings = described.map(|info| info.findings).unwrap_or_default();
                merge(&mut findings, decoder.findings().into_iter().chain(streamed(size)));
                self.opener.accept(driver.format, &findings)?;
                let done = self.counts.totals();
                self.sink.finish()?;
                let zeros = size.saturating_sub(done.written);
                Ok(Converted { virtual_size: size, zeros, findings, ..done })
            }
            PassStage::Spooling(_, spool) => {
                let file: Arc<dyn BlockSource> = Arc::new(spool.finish()?);
                let mut disk = self.opener.open_image(&file, wrapper, None)?;
                disk.add_findings(streamed(disk.info().virtual_size));
                let findings = disk.findings();
                self.opener.accept(disk.info().format, &findings)?;
                let done = convert(&disk, self.sink, &self.options, progress)?;
                Ok(Converted { findings, ..done })
            }
            PassStage::Head { .. } | PassStage::Failed => Err(failed("cannot be finished")),
        }
    }
}

/// The error for a call after a failure.
pub(super) fn failed(so: &str) -> Error {
    Error::new(ErrorKind::InvalidInput).because(format_args!("the conversion has failed and {so}"))
}

//! Converting unwrapped bytes as they come: one pass where the format allows it.

use std::sync::Arc;

use diskimg_codec::Wrapper;
use diskimg_core::{
    BlockSink, BlockSource, Driver, Error, ErrorKind, Format, Progress, Result, SinkProperties,
    StreamDecoder, zeros,
};

use super::Counts;
use super::options::{ConvertOptions, Converted, Sparse};
use crate::foreign_formats::TRAILER;
use crate::opener::Opener;
use crate::sniff::{HEAD, Parts};
use crate::spool::Spooling;
use crate::stream_input::{more_of_head, one_pass};
use crate::tail::Tail;

/// An image on its way through.
pub(super) struct Pass {
    opener: Opener,
    options: ConvertOptions,
    sink: Box<dyn BlockSink>,
    counts: Counts,
    stage: Stage,
    raw: Option<Raw>,
}

/// What tells at the end whether it was a raw disk.
struct Raw {
    head: Vec<u8>,
    tail: Tail,
    size: u64,
}

impl Raw {
    fn push(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
    }

    fn check(&self, opener: &Opener) -> Result<()> {
        let trailer = self.tail.last(TRAILER);
        let parts = Parts { head: &self.head, trailer: &trailer, size: Some(self.size) };
        opener.driver_for(parts).map(|_| ())
    }
}

enum Stage {
    /// Too few bytes to tell the format, or the files that the image needs.
    Head(Head),
    Decoding(&'static Driver, Box<dyn StreamDecoder>),
    Spooling(&'static Driver, Box<Spooling>),
    Failed,
}

/// The first bytes, until there are enough of them.
struct Head {
    bytes: Vec<u8>,
    enough: usize,
}

impl Pass {
    pub(super) fn new(opener: &Opener, sink: Box<dyn BlockSink>, options: &ConvertOptions) -> Self {
        let stage = Stage::Head(Head { bytes: Vec::new(), enough: HEAD });
        let (opener, options) = (opener.clone(), options.clone());
        Self { opener, options, sink, counts: Counts::default(), stage, raw: None }
    }

    /// The driver, once the format is known.
    pub(super) fn driver(&self) -> Option<&'static Driver> {
        match &self.stage {
            Stage::Decoding(driver, _) | Stage::Spooling(driver, _) => Some(driver),
            Stage::Head(_) | Stage::Failed => None,
        }
    }

    /// Whether the image is kept whole, to be converted at its end.
    pub(super) fn is_spooling(&self) -> bool {
        matches!(self.stage, Stage::Spooling(..))
    }

    /// The image that comes is of this format, unless another is wanted: it was recognised already.
    pub(super) fn recognised(&mut self, format: Format) {
        self.opener.format.get_or_insert(format);
    }

    /// Takes the next bytes. After an error it takes no more.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let taken = self.take(bytes);
        if taken.is_err() {
            self.stage = Stage::Failed;
        }
        taken
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while let Stage::Head(head) = &mut self.stage {
            let missing = head.enough.saturating_sub(head.bytes.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            head.bytes.extend_from_slice(now);
            if head.bytes.len() < head.enough {
                return Ok(());
            }
            self.settle(None)?;
            rest = later;
        }
        self.forward(rest)
    }

    /// The head is there: recognises the format, and decides how it is converted, or to wait for more. `size`
    /// is that of the image if it has ended.
    fn settle(&mut self, size: Option<u64>) -> Result<()> {
        let Stage::Head(head) = std::mem::replace(&mut self.stage, Stage::Failed) else { return Ok(()) };
        let head = head.bytes;
        let opener = &self.opener;
        let driver = opener.driver_for(Parts::of_head(&head, size))?;
        if let (None, Some(more)) = (size, more_of_head(opener, driver, &head)) {
            let enough = head.len().saturating_add(more);
            self.stage = Stage::Head(Head { bytes: head, enough });
            return Ok(());
        }
        self.stage = match one_pass(opener, driver, &head, self.sink.properties().order)? {
            Some(decoder) => Stage::Decoding(driver, decoder),
            None => {
                let spooling = Spooling::new(&opener.spool, opener.limits.virtual_size);
                Stage::Spooling(driver, Box::new(spooling.map_err(|error| error.format(driver.format))?))
            }
        };
        if driver.format == diskimg_raw::DRIVER.format && !self.is_spooling() {
            self.raw = Some(Raw { head: head.clone(), tail: Tail::new(TRAILER), size: 0 });
        }
        self.forward(&head)
    }

    fn forward(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(raw) = &mut self.raw {
            raw.push(bytes);
        }
        let sieve = Sieve { sink: &*self.sink, counts: &self.counts, sparse: self.options.sparse };
        match &mut self.stage {
            Stage::Decoding(_, decoder) => decoder.push(bytes, &sieve),
            Stage::Spooling(_, spooling) => spooling.push(bytes),
            Stage::Head(_) | Stage::Failed => Err(Error::new(ErrorKind::InvalidInput)
                .because("the conversion has failed before and takes no more")),
        }
    }

    /// The image has ended. Converts what was kept, and finishes the sink.
    pub(super) fn finish(mut self, wrapper: Option<Wrapper>, progress: &dyn Progress) -> Result<Converted> {
        if let Stage::Head(head) = &self.stage {
            let size = head.bytes.len() as u64;
            self.settle(Some(size))?;
        }
        if let Some(raw) = &self.raw {
            raw.check(&self.opener)?;
        }
        match self.stage {
            Stage::Decoding(_, mut decoder) => {
                let sparse = self.options.sparse;
                let size = decoder.finish(&Sieve { sink: &*self.sink, counts: &self.counts, sparse })?;
                let done = self.counts.totals();
                self.sink.finish()?;
                Ok(Converted { virtual_size: size, zeros: size.saturating_sub(done.written), ..done })
            }
            Stage::Spooling(_, spooling) => {
                let file: Arc<dyn BlockSource> = Arc::new(spooling.finish()?);
                let disk = self.opener.open_image(&file, wrapper, None)?;
                super::convert(&disk, self.sink, &self.options, progress)
            }
            Stage::Head(_) | Stage::Failed => Err(Error::new(ErrorKind::InvalidInput)
                .because("the conversion has failed before and cannot be finished")),
        }
    }
}

/// Counts what goes into a sink, and has zeros found as the options say: a decoder does that by the granularity.
struct Sieve<'a> {
    sink: &'a dyn BlockSink,
    counts: &'a Counts,
    sparse: Sparse,
}

impl BlockSink for Sieve<'_> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        match self.sparse {
            // Finer than a decoder searches.
            Sparse::Search(step) if step < zeros::GRANULARITY as u64 => {
                let mut runs = Vec::new();
                zeros::runs(data, usize::try_from(step).unwrap_or(zeros::GRANULARITY), offset, &mut runs);
                super::worker::count(self.counts, data.len() as u64, &runs);
                zeros::write_runs(self.sink, offset, data, &runs)
            }
            Sparse::Search(_) | Sparse::Auto | Sparse::Never => {
                self.counts.written(data.len() as u64);
                self.sink.write_at(offset, data)
            }
        }
    }

    fn zero(&self, range: std::ops::Range<u64>) -> Result<()> {
        self.counts.zeros(range.end.saturating_sub(range.start));
        self.sink.zero(range)
    }

    fn properties(&self) -> SinkProperties {
        let inner = self.sink.properties();
        match self.sparse {
            Sparse::Search(step) => SinkProperties { granularity: inner.granularity.max(step), ..inner },
            Sparse::Never => SinkProperties { wants_holes: false, ..inner },
            Sparse::Auto => inner,
        }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diskimg_core::WriteOrder;

    /// A sink with given properties that discards every byte.
    struct Properties(SinkProperties);

    impl BlockSink for Properties {
        fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn zero(&self, _: std::ops::Range<u64>) -> Result<()> {
            Ok(())
        }
        fn properties(&self) -> SinkProperties {
            self.0
        }
        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn sparse_option_changes_one_property_of_the_sink_and_no_other() {
        let counts = Counts::default();
        for order in [WriteOrder::Any, WriteOrder::Ascending] {
            for wants_holes in [false, true] {
                let inner = SinkProperties { order, granularity: 8192, wants_holes };
                let of = |sparse| Sieve { sink: &Properties(inner), counts: &counts, sparse }.properties();
                assert_eq!(of(Sparse::Auto), inner);
                assert_eq!(of(Sparse::Search(4096)), inner);
                let coarse = SinkProperties { granularity: 65536, ..inner };
                assert_eq!(of(Sparse::Search(65536)), coarse);
                assert_eq!(of(Sparse::Never), SinkProperties { wants_holes: false, ..inner });
            }
        }
    }
}

//! One thread's part of a conversion.

use std::ops::{ControlFlow, Range};

use diskimg_core::{
    Batch, BlockSink, BlockSource, Error, ErrorKind, Progress, Result, Segment, WriteOrder, zeros,
};

use super::options::Sparse;
use super::plan::{Plan, Planned};
use super::{Counts, sequencer::Sequencer};

/// What all workers share.
pub(super) struct Job<'a> {
    pub(super) source: &'a dyn BlockSource,
    pub(super) sink: &'a dyn BlockSink,
    pub(super) sparse: Sparse,
    pub(super) plan: Plan<'a>,
    pub(super) turns: Sequencer,
    pub(super) progress: &'a dyn Progress,
    pub(super) counts: Counts,
}

/// One thread's part of a conversion: a buffer, and a batch if the sink has them.
pub(super) struct Worker<'a> {
    job: &'a Job<'a>,
    batch: Option<Box<dyn Batch + 'a>>,
    buffer: Vec<u8>,
    zeros: Vec<Range<u64>>,
    segment: usize,
}

impl<'a> Worker<'a> {
    pub(super) fn new(job: &'a Job<'a>, segment: usize) -> Self {
        Self { job, batch: job.sink.batch(), buffer: Vec::new(), zeros: Vec::new(), segment }
    }

    /// Does segments until there are no more, or something stops the work. A panic of a source or sink stops
    /// the other workers too, who would wait for this one's turn otherwise.
    pub(super) fn run(mut self) {
        let stop = StopOnPanic(&self.job.turns);
        if let Err(error) = self.all() {
            self.job.turns.fail(error);
        }
        std::mem::forget(stop);
    }

    fn all(&mut self) -> Result<()> {
        while !self.job.turns.stopped() {
            let Some(planned) = self.job.plan.next()? else { break };
            let range = planned.range();
            self.segment(&planned)?;
            if let ControlFlow::Break(()) = self.job.progress.advance(range.end.saturating_sub(range.start)) {
                return Err(Error::new(ErrorKind::Cancelled).because("the conversion was cancelled"));
            }
        }
        Ok(())
    }

    fn segment(&mut self, planned: &Planned<'_>) -> Result<()> {
        if self.batch.is_some() {
            self.batched(planned)
        } else if self.job.sink.properties().order == WriteOrder::Ascending {
            self.load(planned)?;
            let job = self.job;
            job.turns.take(planned.number, || self.write(planned))
        } else {
            self.at_once(planned)
        }
    }

    /// Into a sink that takes any order: by the kernel if it can, else as [`Self::write`] does.
    fn at_once(&mut self, planned: &Planned<'_>) -> Result<()> {
        let range = planned.range();
        if !matches!(self.job.sparse, Sparse::Search(_))
            && let Some(host) = planned.host()
            && self.job.sink.copy_from(range.start, host)?
        {
            self.job.counts.copied(range.end.saturating_sub(range.start));
            return Ok(());
        }
        let len = range.end.saturating_sub(range.start);
        if planned.is_zeros() || len <= self.segment as u64 {
            self.load(planned)?;
            return self.write(planned);
        }
        self.in_parts(planned)
    }

    /// A long run that the kernel turned out unable to copy, buffer by buffer.
    fn in_parts(&mut self, planned: &Planned<'_>) -> Result<()> {
        for extent in &planned.extents {
            let mut rest = *extent;
            while rest.len > 0 {
                let part = rest.truncated(self.segment as u64);
                rest = rest.without_first(part.len);
                let part = Planned { number: planned.number, extents: vec![part] };
                self.load(&part)?;
                self.write(&part)?;
            }
        }
        Ok(())
    }

    fn batched(&mut self, planned: &Planned<'_>) -> Result<()> {
        self.load(planned)?;
        let range = planned.range();
        let len = range.end.saturating_sub(range.start);
        let segment = Segment { offset: range.start, len, bytes: &self.buffer, zeros: &self.zeros };
        let Some(batch) = &mut self.batch else { return Ok(()) };
        batch.prepare(&segment)?;
        self.job.turns.take(planned.number, || batch.place(&segment))?;
        batch.write(&segment)?;
        count(&self.job.counts, len, &self.zeros);
        Ok(())
    }

    /// Brings the bytes of a segment into the buffer, unless they are all zeros or in memory already and
    /// nobody needs them in one place, and finds the runs of zeros.
    fn load(&mut self, planned: &Planned<'_>) -> Result<()> {
        self.zeros.clear();
        self.buffer.clear();
        let range = planned.range();
        if planned.is_zeros() {
            self.zeros.push(range);
            return Ok(());
        }
        if self.batch.is_none() && planned.bytes().is_some() {
            return Ok(());
        }
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        self.buffer.try_reserve(len).map_err(|_| no_memory(len))?;
        self.buffer.resize(len, 0);
        self.read(planned)?;
        let granularity = match self.job.sparse {
            Sparse::Auto => Some(zeros::GRANULARITY),
            Sparse::Search(bytes) => Some(usize::try_from(bytes).unwrap_or(zeros::GRANULARITY)),
            Sparse::Never => None,
        };
        match granularity {
            Some(granularity) => zeros::runs(&self.buffer, granularity, range.start, &mut self.zeros),
            None => self.zeros.extend(known_zeros(planned)),
        }
        if self.batch.is_some() && self.zeros.first() == Some(&range) {
            self.buffer.clear();
        }
        Ok(())
    }

    /// Reads what is stored of a segment, neighbours in one call.
    fn read(&mut self, planned: &Planned<'_>) -> Result<()> {
        let base = planned.range().start;
        let mut extents = planned.extents.iter().filter(|extent| !extent.kind.reads_as_zeros()).peekable();
        while let Some(first) = extents.next() {
            let mut end = first.end();
            while let Some(next) = extents.next_if(|next| next.offset == end) {
                end = next.end();
            }
            let place = |offset: u64| usize::try_from(offset.saturating_sub(base)).unwrap_or(usize::MAX);
            if let Some(buf) = self.buffer.get_mut(place(first.offset)..place(end)) {
                self.job.source.read_at(first.offset, buf)?;
            }
        }
        Ok(())
    }

    /// Writes a loaded segment: its runs of zeros as such, the rest as bytes.
    fn write(&self, planned: &Planned<'_>) -> Result<()> {
        let range = planned.range();
        let job = self.job;
        if planned.is_zeros() {
            job.counts.zeros(range.end.saturating_sub(range.start));
            return job.sink.zero(range);
        }
        match planned.bytes() {
            Some(bytes) if self.buffer.is_empty() => {
                let mut runs = Vec::new();
                match job.sparse {
                    Sparse::Never => {}
                    Sparse::Auto => zeros::runs(bytes, zeros::GRANULARITY, range.start, &mut runs),
                    Sparse::Search(step) => {
                        let step = usize::try_from(step).unwrap_or(zeros::GRANULARITY);
                        zeros::runs(bytes, step, range.start, &mut runs);
                    }
                }
                count(&job.counts, bytes.len() as u64, &runs);
                zeros::write_runs(job.sink, range.start, bytes, &runs)
            }
            _ => {
                count(&job.counts, self.buffer.len() as u64, &self.zeros);
                zeros::write_runs(job.sink, range.start, &self.buffer, &self.zeros)
            }
        }
    }
}

/// Stops all workers when it is dropped, which only a panic does.
struct StopOnPanic<'a>(&'a Sequencer);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::new(ErrorKind::Io).because("a worker of the conversion panicked"));
    }
}

fn known_zeros<'p>(planned: &'p Planned<'_>) -> impl Iterator<Item = Range<u64>> + 'p {
    planned.extents.iter().filter(|extent| extent.kind.reads_as_zeros()).map(diskimg_core::Extent::range)
}

pub(super) fn count(counts: &Counts, len: u64, zeros: &[Range<u64>]) {
    let zeros: u64 = zeros.iter().map(|run| run.end.saturating_sub(run.start)).sum();
    counts.zeros(zeros);
    counts.written(len.saturating_sub(zeros));
}

fn no_memory(len: usize) -> Error {
    Error::new(ErrorKind::Limit).field("buffer").because(format_args!("no memory for {len} bytes"))
}

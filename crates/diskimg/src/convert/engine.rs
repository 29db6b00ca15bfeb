//! The conversion of a disk with random access.

use diskimg_core::{BlockSink, BlockSource, Progress, Result};

use super::byte_counts::ByteCounts;
use super::options::{ConvertOptions, Converted};
use super::rate_limit::RateLimit;
use super::segment_plan::SegmentPlan;
use super::sequencer::Sequencer;
use super::worker::{Conversion, ConvertWorker};
use super::workload::Workload;
use crate::workers::run_on;

/// Copies all of `source` into `sink` and finishes the sink.
///
/// Holes and zeros become holes. Bytes that are stored verbatim in a host file are copied by the kernel if the sink
/// supports it; all cores decode the rest. Memory is limited by [`ConvertOptions::memory`] whatever the size of the
/// disk, and the output does not depend on the number of threads.
///
/// # Errors
/// The first error of the source or the sink; [`Cancelled`](crate::ErrorKind::Cancelled) if `progress` stops it. The
/// sink is then dropped unfinished and no valid image is left.
///
/// ```
/// use diskimg::{ConvertOptions, Memory, MemorySink, convert};
/// let source = Memory::new(vec![7; 100_000]);
/// let sink = MemorySink::new(1 << 20);
/// let done = convert(&source, Box::new(sink.clone()), &ConvertOptions::default(), &())?;
/// assert_eq!(done.written, 100_000);
/// assert_eq!(sink.bytes(), vec![7; 100_000]);
/// # Ok::<(), diskimg::Error>(())
/// ```
pub fn convert(
    source: &dyn BlockSource,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Converted> {
    convert_if(source, sink, options, progress, || Ok(()))
}

/// Copies all of `source` into `sink`, and finishes the sink if `confirm` returns no error after that.
pub(super) fn convert_if(
    source: &dyn BlockSource,
    sink: Box<dyn BlockSink>,
    options: &ConvertOptions,
    progress: &dyn Progress,
    confirm: impl FnOnce() -> Result<()>,
) -> Result<Converted> {
    let workload = Workload::new(options, source, &*sink);
    let conversion = Conversion {
        source,
        sink: &*sink,
        sparse: options.sparse,
        stores_zeros: workload.stores_zeros,
        kernel_copies: workload.kernel_copies,
        rate: RateLimit::new(options.rate),
        plan: SegmentPlan::new(source, &workload),
        sequencer: Sequencer::new(workload.threads),
        progress,
        counts: ByteCounts::default(),
    };
    let work = || ConvertWorker::new(&conversion, workload.segment).run();
    run_on(workload.threads, work);
    let counts = conversion.counts.totals();
    conversion.sequencer.outcome()?;
    confirm()?;
    sink.finish()?;
    Ok(counts)
}

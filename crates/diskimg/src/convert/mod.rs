//! Converting: a plan over extents, done by workers, into a sink.
//!
//! The disk is cut into segments in order ([`plan`]). Each worker takes the next segment, and depending on
//! where its bytes lie and what the sink can do, has the kernel copy them, writes them out of memory, or
//! reads and writes them ([`worker`]). Sinks that need an order get their turns from [`sequencer`]; the bytes
//! they write do not depend on how many workers there are.

mod atomic;
mod dry_run;
mod one_pass;
mod options;
mod plan;
mod sequencer;
mod sibling_files;
mod stream_convert;
mod stream_reader;
mod target;
mod worker;

pub use options::{ConvertOptions, Converted, Sparse};
pub use stream_convert::StreamConvert;
pub use stream_reader::convert_stream;
pub use target::{Target, TargetPlace};

use std::sync::atomic::{AtomicU64, Ordering};

use diskimg_core::{BlockSink, BlockSource, Progress, Result};

use plan::Plan;
use sequencer::Sequencer;
use worker::{Job, Worker};

/// Copies all of `source` into `sink` and finishes it.
///
/// Holes and zeros become holes; bytes that lie verbatim in a host file are copied by the kernel where the
/// sink can take them so; everything else is decoded by all cores. Memory is bounded by
/// [`ConvertOptions::memory`] whatever the size of the disk, and the bytes written do not depend on the
/// number of threads.
///
/// # Errors
/// Whatever the source or the sink gives, the first one met. [`diskimg_core::ErrorKind::Cancelled`] when
/// `progress` stopped it. The sink is dropped without being finished then: nothing valid is left.
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
    let shape = options.shape(source, &*sink);
    let job = Job {
        source,
        sink: &*sink,
        sparse: options.sparse,
        plan: Plan::new(source, &shape),
        turns: Sequencer::new(shape.threads),
        progress,
        counts: Counts::default(),
    };
    run(&job, shape.threads, shape.segment);
    let counts = job.counts.totals();
    job.turns.outcome()?;
    sink.finish()?;
    Ok(counts)
}

fn run<'a>(job: &'a Job<'a>, threads: usize, segment: usize) {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| Worker::new(job, segment).run());
        }
        Worker::new(job, segment).run();
    });
}

/// What was done so far, counted by all workers.
#[derive(Default)]
struct Counts {
    written: AtomicU64,
    copied: AtomicU64,
    zeros: AtomicU64,
}

impl Counts {
    fn written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    fn copied(&self, bytes: u64) {
        self.copied.fetch_add(bytes, Ordering::Relaxed);
    }

    fn zeros(&self, bytes: u64) {
        self.zeros.fetch_add(bytes, Ordering::Relaxed);
    }

    fn totals(&self) -> Converted {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (written, copied, zeros) = (get(&self.written), get(&self.copied), get(&self.zeros));
        Converted {
            virtual_size: written.saturating_add(copied).saturating_add(zeros),
            written: written.saturating_add(copied),
            copied,
            zeros,
        }
    }
}

#[cfg(test)]
mod tests;

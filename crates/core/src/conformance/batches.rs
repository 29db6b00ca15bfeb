//! A disk written through batches, the way a conversion does: workers that take segment after segment, and a
//! turnstile that lets them take their places in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::{BlockSink, Segment, zeros};

/// Lets segment after segment through; a worker that panics lets everyone through, to panic too.
#[derive(Default)]
struct Turnstile {
    next: Mutex<usize>,
    moved: Condvar,
}

impl Turnstile {
    fn pass(&self, index: usize, work: impl FnOnce()) {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next =
            self.moved.wait_while(next, |next| *next < index).unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*next, index, "another worker failed");
        work();
        *next += 1;
        self.moved.notify_all();
    }
}

/// Opens the turnstile for good when its worker panics.
struct Opens<'a>(&'a Turnstile);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) = usize::MAX;
            self.0.moved.notify_all();
        }
    }
}

/// Writes a disk through the batches of a sink: `workers` threads, segments of `len` bytes, a multiple of
/// [`BlockSink::granularity`]. Segments that are all zeros come without bytes, and of the others it is told
/// which pieces of [`zeros::GRANULARITY`] are zeros.
///
/// The sink is not finished. What it holds must not depend on `len` and `workers`.
///
/// # Panics
/// When the sink has no batches, or one of them fails; every worker stops then.
pub fn batched(sink: &dyn BlockSink, disk: &[u8], len: usize, workers: usize) {
    let taken = AtomicUsize::new(0);
    let turnstile = Turnstile::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let _opens = Opens(&turnstile);
                let mut batch = sink.batch().expect("a sink with batches");
                loop {
                    let index = taken.fetch_add(1, Ordering::Relaxed);
                    let start = index * len;
                    if start >= disk.len() {
                        return;
                    }
                    let bytes = &disk[start..disk.len().min(start + len)];
                    let mut zeros = Vec::new();
                    zeros::runs(bytes, zeros::GRANULARITY, start as u64, &mut zeros);
                    let offset = start as u64;
                    let known = if zeros::is_zero(bytes) { &[] } else { bytes };
                    let segment = Segment { offset, len: bytes.len() as u64, bytes: known, zeros: &zeros };
                    batch.prepare(&segment).expect("prepare");
                    turnstile.pass(index, || batch.place(&segment).expect("place"));
                    batch.write(&segment).expect("write");
                }
            });
        }
    });
}

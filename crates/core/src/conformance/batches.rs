//! Writing a disk through batches as a conversion does: workers take segments, and a turnstile orders their calls of
//! `place`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::{BlockSink, Segment, zeros};

/// Lets segments pass in order. After a panic of a worker all others pass and panic too.
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

/// Opens the turnstile if its worker panics.
struct OpenOnPanic<'a>(&'a Turnstile);

impl Drop for OpenOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) = usize::MAX;
            self.0.moved.notify_all();
        }
    }
}

/// Writes a disk through the batches of a sink with `workers` threads and segments of `len` bytes, a multiple of the
/// granularity in [`BlockSink::properties`]. Segments of zeros have no bytes; in the others the zeros in steps of
/// [`zeros::GRANULARITY`] are known.
///
/// The sink is not finished. Its content must not depend on `len` and `workers`.
///
/// # Panics
/// If the sink has no batches or one of them fails; every worker stops then.
pub fn batched(sink: &dyn BlockSink, disk: &[u8], len: usize, workers: usize) {
    let taken = AtomicUsize::new(0);
    let turnstile = Turnstile::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let _open_on_panic = OpenOnPanic(&turnstile);
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

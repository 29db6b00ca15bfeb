//! Drives a batch the way a conversion does: workers, segments in turn, a turnstile for the places.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::*;

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

/// Writes a disk through batches: `workers` threads, segments of `len` bytes, zeros told where they are known.
pub(super) fn batched(writer: &Writer, disk: &[u8], len: usize, workers: usize) {
    let taken = AtomicUsize::new(0);
    let turnstile = Turnstile::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let _opens = Opens(&turnstile);
                let mut batch = writer.batch().unwrap();
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
                    batch.prepare(&segment).unwrap();
                    turnstile.pass(index, || batch.place(&segment).unwrap());
                    batch.write(&segment).unwrap();
                }
            });
        }
    });
}

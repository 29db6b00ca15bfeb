//! Passes any bytes to the C library from a C program, and counts leaks.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use diskimg_capi as _;
use libfuzzer_sys::fuzz_target;

/// Allocations of Rust that are not freed yet.
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

unsafe extern "C" {
    /// Defined in `capi/c/entry.c`.
    fn diskimg_fuzz_entry(data: *const u8, length: usize) -> i32;
}

/// Returns the numbers of allocations and descriptors that a run leaks.
fn leaked_by(data: &[u8]) -> (isize, i32) {
    let before = (LIVE.load(Ordering::Relaxed), next_descriptor());
    // SAFETY: the bytes are valid during the call.
    unsafe { diskimg_fuzz_entry(data.as_ptr(), data.len()) };
    (LIVE.load(Ordering::Relaxed) - before.0, next_descriptor() - before.1)
}

/// Returns the number that the next opened file would have.
fn next_descriptor() -> i32 {
    use std::os::fd::AsRawFd;
    std::fs::File::open("/dev/null").expect("/dev/null opens").as_raw_fd()
}

fuzz_target!(|data: &[u8]| {
    // The first run may allocate something permanent, and a thread may still be ending. A leak grows with each run.
    let is_leak = |count: (isize, i32)| count.0 > 0 || count.1 > 0;
    assert!((0..4).any(|_| !is_leak(leaked_by(data))), "every run leaks: {:?}", leaked_by(data));
});

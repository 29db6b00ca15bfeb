//! Pushes any bytes through the C library, from a C program, and counts what is left of it.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use diskimg_capi as _;
use libfuzzer_sys::fuzz_target;

/// Allocations of Rust that are not freed yet.
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

unsafe extern "C" {
    /// In `capi/c/entry.c`.
    fn diskimg_fuzz_entry(data: *const u8, length: usize) -> i32;
}

/// Allocations and descriptors that a run left behind.
fn left_by(data: &[u8]) -> (isize, i32) {
    let before = (LIVE.load(Ordering::Relaxed), next_descriptor());
    // SAFETY: the bytes are there for the whole call.
    unsafe { diskimg_fuzz_entry(data.as_ptr(), data.len()) };
    (LIVE.load(Ordering::Relaxed) - before.0, next_descriptor() - before.1)
}

/// The number that the next opened file would have.
fn next_descriptor() -> i32 {
    use std::os::fd::AsRawFd;
    std::fs::File::open("/dev/null").expect("/dev/null opens").as_raw_fd()
}

fuzz_target!(|data: &[u8]| {
    // The first time something may be made for good, and a thread may still be ending; a leak grows each time.
    let leaks = |left: (isize, i32)| left.0 > 0 || left.1 > 0;
    assert!((0..4).any(|_| !leaks(left_by(data))), "something is left behind each time: {:?}", left_by(data));
});

//! Threads that share the work of the caller's own thread.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism, scope};

use crate::signal_mask::without_signals;

/// The name of the threads of this library, as debuggers show it. Linux shows 15 bytes.
const NAME: &str = "diskimg-worker";

/// The address space in bytes that one thread may reserve: 64 MiB for its heap in glibc (`HEAP_MAX_SIZE` in
/// `malloc/arena.c`), its stack, and its buffers.
const RESERVED: u64 = 80 << 20;

/// Returns the number of threads to use for `wanted`, where 0 means one per core. If the address space of the process
/// is limited (`RLIMIT_AS`), half of it has room for all of them.
pub(crate) fn thread_count(wanted: usize) -> usize {
    let wanted = match wanted {
        0 => available_parallelism().map_or(1, usize::from),
        wanted => wanted,
    };
    let room = address_space().map_or(u64::MAX, |bytes| bytes / 2 / RESERVED);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// Runs `work` on the caller's thread and on up to `threads - 1` others. Threads that the system does not start are
/// done without, so `work` must take its next piece from a place that all threads share.
pub(crate) fn run_on(threads: usize, work: impl Fn() + Sync) {
    scope(|scope| {
        let started = (1..threads).map_while(|_| spawn_worker(scope, &work).ok());
        let started: Vec<_> = started.collect();
        work();
        started.into_iter().for_each(join);
    });
}

/// Starts a thread with the name of this library that blocks signals: handlers of the program run on its own threads.
///
/// # Errors
/// Errors of the system, which may have no resources for a thread. A caller does without it then.
pub(crate) fn spawn_worker<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    without_signals(|| Builder::new().name(NAME.into()).spawn_scoped(scope, work))
}

/// Waits until a thread is gone, and returns its result. A scope waits only for its work.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Returns how many of `wanted` threads the system can start now, by starting them. For libraries that fail if they
/// cannot start a thread.
#[cfg_attr(not(feature = "wrappers"), allow(dead_code, reason = "only xz has threads of its own"))]
pub(crate) fn startable(wanted: usize) -> usize {
    let gate = Mutex::new(());
    scope(|scope| {
        // All threads live until the last is started.
        let closed = gate.lock();
        let wait = || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        let started = (0..wanted).map_while(|_| spawn_worker(scope, wait).ok());
        let started: Vec<_> = started.collect();
        drop(closed);
        started.into_iter().map(ScopedJoinHandle::join).count()
    })
}

/// The limit of the address space of this process in bytes, if it has one.
#[cfg(target_os = "linux")]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(target_os = "linux"))]
fn address_space() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn work_runs_on_each_thread_and_on_the_callers() {
        for threads in [0, 1, 2, 9] {
            let runs = AtomicUsize::new(0);
            run_on(threads, || {
                runs.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(runs.into_inner(), threads.max(1));
        }
    }

    #[test]
    fn all_threads_of_a_small_number_can_be_started() {
        assert_eq!(startable(3), 3);
        assert!(thread_count(0) >= 1);
        assert_eq!(thread_count(1), 1);
    }
}

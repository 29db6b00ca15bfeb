//! Signals that the threads of this library do not handle.

#[cfg(unix)]
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// The signals of a fault, which the system sends to the thread that caused it. They would end the process without a report
/// if they were blocked.
#[cfg(unix)]
const FAULTS: [Signal; 6] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGTRAP, Signal::SIGSYS];

/// Blocks all signals but those of faults on the calling thread while `start` runs. A thread that it starts inherits the
/// mask, so handlers of the program never run on it.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    let _blocked = BlockedSignals::new();
    start()
}

/// The signals of the calling thread are blocked until it is dropped.
#[cfg(unix)]
struct BlockedSignals(Option<SigSet>);

#[cfg(unix)]
impl BlockedSignals {
    fn new() -> Self {
        let mut blocked = SigSet::all();
        for fault in FAULTS {
            blocked.remove(fault);
        }
        Self(blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

#[cfg(unix)]
impl Drop for BlockedSignals {
    fn drop(&mut self) {
        if let Some(mask) = &self.0 {
            // It is the mask that the thread had.
            let _ = mask.thread_set_mask();
        }
    }
}

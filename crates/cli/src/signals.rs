//! Signals: a clean stop, a forced stop if that takes too long, and the progress on request.
//!
//! SIGINT, SIGTERM and SIGHUP stop the command. SIGUSR1 prints the progress as `qemu-img` does. SIGXFSZ has a handler
//! that does nothing, so that a write past `RLIMIT_FSIZE` is an error. A signal that was ignored when the command
//! began stays ignored, as `nohup` requires.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use diskimg::{Cancel, UnfinishedFiles};
use signal_hook::consts::SIGTERM;

use crate::failure::{Failure, Outcome};
use crate::work_counts::WorkCounts;

/// The time for a clean stop. A stalled pipe may prevent one forever.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The time for which a forced stop waits for a complete target that gets its name.
const PUBLISHING_PERIOD: Duration = Duration::from_secs(2);

/// The handling of signals of this process, from its start.
static INSTALLED: OnceLock<Interrupt> = OnceLock::new();

/// The signal received, the flag that cancels the work, and the files that a forced stop removes.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    pub(crate) cancel: Arc<Cancel>,
    pub(crate) counts: Arc<WorkCounts>,
    signal: Arc<AtomicI32>,
    unfinished: Arc<Mutex<Option<UnfinishedFiles>>>,
    /// Signals that no thread waits for: the last one that stops the command, and requests for the progress.
    polled: Arc<PolledSignals>,
}

#[derive(Default)]
struct PolledSignals {
    stop: Arc<AtomicUsize>,
    report: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Returns the handling of signals, which begins with the first call.
    pub(crate) fn listen() -> Self {
        INSTALLED.get_or_init(Self::install).clone()
    }

    fn install() -> Self {
        let interrupt = Self::default();
        let handler = interrupt.clone();
        platform::install(&interrupt.polled, move |signal| handler.handle(signal));
        interrupt
    }

    fn handle(&self, signal: i32) {
        if platform::is_report(signal) {
            self.counts.print();
            return;
        }
        if self.signal.swap(signal, Ordering::AcqRel) != 0 {
            self.stop(signal);
        }
        self.cancel.trigger();
        let later = self.clone();
        let _ = Builder::new().spawn(move || {
            std::thread::sleep(GRACE_PERIOD);
            later.stop(signal);
        });
    }

    /// Handles the signals that no thread waits for.
    pub(crate) fn poll(&self) {
        if self.polled.report.swap(0, Ordering::Relaxed) != 0 {
            self.counts.print();
        }
        let signal = self.polled.stop.load(Ordering::Relaxed);
        if signal != 0 && self.exit_code().is_none() {
            self.signal.store(i32::try_from(signal).unwrap_or(SIGTERM), Ordering::Release);
            self.cancel.trigger();
        }
    }

    /// Registers the files of a target, which a forced stop removes.
    pub(crate) fn removes(&self, files: UnfinishedFiles) {
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
    }

    #[allow(clippy::disallowed_methods, reason = "nothing is left to remove")]
    fn stop(&self, signal: i32) -> ! {
        if let Some(files) = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).take() {
            files.remove(PUBLISHING_PERIOD);
        }
        std::process::exit(signal.saturating_add(128))
    }

    /// Returns the exit code of work that a signal may have cancelled.
    pub(crate) fn outcome(&self, done: Result<(), Failure>) -> Outcome {
        match (self.exit_code(), done) {
            (Some(code), Err(_)) => Ok(code),
            (_, done) => done.map(|()| 0),
        }
    }

    /// Returns the exit code for the signal received, 128 and its number; `None` without a signal.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            signal => u8::try_from(signal).ok().map(|signal| signal.saturating_add(128)),
        }
    }
}

#[cfg(unix)]
mod platform {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread::Builder;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    use crate::signals::PolledSignals;

    pub(super) fn is_report(signal: i32) -> bool {
        signal == SIGUSR1
    }

    /// Calls `act` for each signal, on a separate thread. If the system starts none, the signals wait in `polled`.
    pub(super) fn install(polled: &PolledSignals, act: impl Fn(i32) + Send + 'static) {
        let ignored = ignored_at_start();
        let is_handled = |signal: &i32| !ignored.contains(signal);
        if is_handled(&SIGXFSZ) {
            let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
        }
        let handled: Vec<i32> = [SIGINT, SIGTERM, SIGHUP, SIGUSR1].into_iter().filter(is_handled).collect();
        let Ok(mut signals) = Signals::new(&handled) else { return };
        if Builder::new().spawn(move || signals.forever().for_each(act)).is_err() {
            poll_for(&handled, polled);
        }
    }

    fn poll_for(handled: &[i32], polled: &PolledSignals) {
        let armed = Arc::new(AtomicBool::new(false));
        for &signal in handled {
            if is_report(signal) {
                let _ = flag::register_usize(signal, Arc::clone(&polled.report), 1);
                continue;
            }
            // The second signal ends the process at once: the work may wait for a pipe.
            let _ =
                flag::register_conditional_shutdown(signal, signal.saturating_add(128), Arc::clone(&armed));
            let _ = flag::register(signal, Arc::clone(&armed));
            let value = usize::try_from(signal).unwrap_or_default();
            let _ = flag::register_usize(signal, Arc::clone(&polled.stop), value);
        }
    }

    /// The signals that are ignored, from the mask `SigIgn` of `/proc/self/status` (proc(5)): bit `n - 1` is signal
    /// `n`. None where there is no such file.
    fn ignored_at_start() -> Vec<i32> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        (1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
    }
}

#[cfg(not(unix))]
mod platform {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::Builder;
    use std::time::Duration;

    use signal_hook::consts::{SIGINT, SIGTERM};

    use crate::signals::PolledSignals;

    pub(super) fn is_report(_: i32) -> bool {
        false
    }

    /// Calls `act` for each signal, on a separate thread that polls a flag ten times a second.
    pub(super) fn install(_: &PolledSignals, act: impl Fn(i32) + Send + 'static) {
        let received = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let value = usize::try_from(signal).unwrap_or_default();
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&received), value);
        }
        let _ = Builder::new().spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(100));
                match received.swap(0, Ordering::AcqRel) {
                    0 => {}
                    signal => act(i32::try_from(signal).unwrap_or(SIGTERM)),
                }
            }
        });
    }
}

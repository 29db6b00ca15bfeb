//! SIGINT and SIGTERM: a clean stop, and a forced stop if that takes too long.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diskimg::{Cancel, UnfinishedFiles};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{Failure, Outcome};

/// The time for a clean stop. A stalled pipe may prevent one forever.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The time for which a forced stop waits for a complete target that gets its name.
const PUBLISHING_PERIOD: Duration = Duration::from_secs(2);

/// The signal received, the flag that cancels the work, and the files that a forced stop removes.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    pub(crate) cancel: Arc<Cancel>,
    signal: Arc<AtomicI32>,
    unfinished: Arc<Mutex<Option<UnfinishedFiles>>>,
}

impl Interrupt {
    /// Starts to handle signals.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let handler = interrupt.clone();
        on_signal(move |signal| {
            if handler.signal.swap(signal, Ordering::AcqRel) != 0 {
                handler.stop(signal);
            }
            handler.cancel.trigger();
            let handler = handler.clone();
            std::thread::spawn(move || {
                std::thread::sleep(GRACE_PERIOD);
                handler.stop(signal);
            });
        })?;
        Ok(interrupt)
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

    /// Returns the exit code for the signal received, 130 or 143; `None` without a signal.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            signal => u8::try_from(signal).ok().map(|signal| signal.saturating_add(128)),
        }
    }
}

/// Calls `act` for each signal, on a separate thread.
#[cfg(unix)]
fn on_signal(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || signals.forever().for_each(act));
    Ok(())
}

/// Calls `act` for each signal, on a separate thread that polls a flag ten times a second.
#[cfg(not(unix))]
fn on_signal(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    use std::sync::atomic::AtomicUsize;
    let received = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        let value = usize::try_from(signal).unwrap_or_default();
        signal_hook::flag::register_usize(signal, Arc::clone(&received), value)?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            match received.swap(0, Ordering::AcqRel) {
                0 => {}
                signal => act(i32::try_from(signal).unwrap_or(SIGTERM)),
            }
        }
    });
    Ok(())
}

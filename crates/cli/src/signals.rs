//! SIGINT and SIGTERM: stop cleanly, and if that takes too long, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use diskimg::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{Failure, Outcome};

/// How long a conversion may take to stop by itself; a stalled pipe may never let it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which signal came, and the flag that stops the work.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    pub(crate) cancel: Arc<Cancel>,
    signal: Arc<AtomicI32>,
}

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let interrupt = Self::default();
        let heard = interrupt.clone();
        on_signal(move |signal| {
            if heard.signal.swap(signal, Ordering::AcqRel) != 0 {
                stop(signal);
            }
            heard.cancel.trigger();
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                stop(signal);
            });
        })?;
        Ok(interrupt)
    }

    /// The outcome of work that a signal may have stopped.
    pub(crate) fn outcome(&self, done: Result<(), Failure>) -> Outcome {
        match (self.exit_code(), done) {
            (Some(code), Err(_)) => Ok(code),
            (_, done) => done.map(|()| 0),
        }
    }

    /// The exit code of the signal that came, if one did: 130 or 143.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            signal => u8::try_from(signal).ok().map(|signal| signal.saturating_add(128)),
        }
    }
}

/// Calls `act` for each signal, in a thread of its own.
#[cfg(unix)]
fn on_signal(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || signals.forever().for_each(act));
    Ok(())
}

/// The same where a signal cannot wake a thread: a flag is looked at ten times a second.
#[cfg(not(unix))]
fn on_signal(act: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    use std::sync::atomic::AtomicUsize;
    let came = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        let value = usize::try_from(signal).unwrap_or_default();
        signal_hook::flag::register_usize(signal, Arc::clone(&came), value)?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            match came.swap(0, Ordering::AcqRel) {
                0 => {}
                signal => act(i32::try_from(signal).unwrap_or(SIGTERM)),
            }
        }
    });
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a target that is not finished has no name to clean up")]
fn stop(signal: i32) -> ! {
    std::process::exit(signal.saturating_add(128))
}

//! Showing how far a conversion is.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use diskimg::{Cancel, Error, ErrorKind, Progress, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// How progress is shown.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Style {
    /// A bar on a terminal, nothing elsewhere
    #[default]
    Auto,
    /// A bar on standard error
    Bar,
    /// The percentages that `qemu-img -p` prints, on standard output
    Plain,
    /// JSON lines with transferred, size, elapsed and description
    Json,
    /// Nothing
    None,
}

/// How often JSON lines and percentages are printed at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// Shows progress and stops when the user asked to.
pub(crate) struct Shown {
    cancel: Arc<Cancel>,
    done: AtomicU64,
    total: u64,
    started: Instant,
    how: How,
}

/// What may be written where.
pub(crate) struct Outputs {
    /// The descriptor that JSON lines go to; 2 if not given.
    pub(crate) fd: Option<i32>,
    /// Whether standard output carries something else: percentages go to standard error then.
    pub(crate) stdout_is_data: bool,
}

enum How {
    Nothing,
    Bar(ProgressBar),
    Plain(Mutex<(Instant, Box<dyn Write + Send>)>),
    Json(Mutex<(Instant, Box<dyn Write + Send>)>),
}

impl Shown {
    /// Shows `total` bytes of work, 0 when that is not known.
    pub(crate) fn new(style: Style, total: u64, cancel: Arc<Cancel>, outputs: &Outputs) -> Result<Self> {
        let long_ago = Instant::now().checked_sub(INTERVAL).unwrap_or_else(Instant::now);
        let how = match style {
            Style::Auto if !std::io::stderr().is_terminal() => How::Nothing,
            Style::None => How::Nothing,
            Style::Auto | Style::Bar => How::Bar(bar(total)),
            Style::Plain => How::Plain(Mutex::new((long_ago, plain_output(outputs)))),
            Style::Json => How::Json(Mutex::new((long_ago, json_output(outputs)?))),
        };
        Ok(Self { cancel, done: AtomicU64::new(0), total, started: Instant::now(), how })
    }

    /// Shows the end, and takes the bar away. `whole` says that all of the work is done.
    pub(crate) fn finish(&self, whole: bool) {
        match &self.how {
            How::Nothing => {}
            How::Bar(bar) => bar.finish_and_clear(),
            How::Plain(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                self.print_plain(&mut *line.1, whole);
                let _ = writeln!(line.1);
            }
            How::Json(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                self.print_json(&mut *line.1);
            }
        }
    }

    /// Whether somebody is shown a bar, and would like to hear how it ended.
    pub(crate) fn is_bar(&self) -> bool {
        matches!(self.how, How::Bar(_))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn print_plain(&self, output: &mut dyn Write, whole: bool) {
        let done = self.done.load(Ordering::Relaxed);
        let hundredths = match self.total {
            _ if whole => 10_000,
            // How much there is will be known at the end.
            0 => 0,
            total => {
                u128::from(done.min(total)).saturating_mul(10_000).checked_div(total.into()).unwrap_or(0)
            }
        };
        let _ = write!(output, "    ({}.{:02}/100%)\r", hundredths / 100, hundredths % 100);
        let _ = output.flush();
    }

    fn print_json(&self, output: &mut dyn Write) {
        let line = json!({
            "transferred": self.done.load(Ordering::Relaxed),
            "size": if self.total == 0 { None } else { Some(self.total) },
            "elapsed": self.started.elapsed().as_secs_f64(),
            "description": "convert",
        });
        let _ = writeln!(output, "{line}");
        let _ = output.flush();
    }
}

impl Progress for Shown {
    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        match &self.how {
            How::Nothing => {}
            How::Bar(bar) => bar.inc(bytes),
            How::Plain(line) => {
                if let Ok(mut line) = line.try_lock()
                    && line.0.elapsed() >= INTERVAL
                {
                    line.0 = Instant::now();
                    self.print_plain(&mut *line.1, false);
                }
            }
            How::Json(line) => {
                if let Ok(mut line) = line.try_lock()
                    && line.0.elapsed() >= INTERVAL
                {
                    line.0 = Instant::now();
                    self.print_json(&mut *line.1);
                }
            }
        }
        self.cancel.advance(bytes)
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = if total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(total) };
    let template = match total {
        0 => "{spinner} {bytes} {binary_bytes_per_sec}",
        _ => {
            "[{bar:30}] {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}"
        }
    };
    let characters = if is_utf8() { "█▉▊▋▌▍▎▏ " } else { "##-" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars(characters));
    }
    bar
}

fn is_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn plain_output(outputs: &Outputs) -> Box<dyn Write + Send> {
    if outputs.stdout_is_data { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) }
}

/// Another process's end of a pipe, by its number: opened anew, since no safe code can take over a descriptor.
fn json_output(outputs: &Outputs) -> Result<Box<dyn Write + Send>> {
    let about = |error: Error, fd: i32| error.field("--progress-fd").found(fd);
    Ok(match outputs.fd {
        None | Some(2) => Box::new(std::io::stderr()),
        Some(1) if outputs.stdout_is_data => {
            let error = about(Error::new(ErrorKind::InvalidInput), 1);
            return Err(error.expected("another descriptor: standard output carries the disk"));
        }
        Some(1) => Box::new(std::io::stdout()),
        Some(fd) => {
            let file = File::options().append(true).open(format!("/dev/fd/{fd}"));
            Box::new(file.map_err(|error| about(Error::from(error), fd))?)
        }
    })
}

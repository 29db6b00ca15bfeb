//! The display of progress.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use diskimg::{Error, ErrorKind, Progress, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::signals::Interrupt;

/// A kind of progress display.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ProgressMode {
    /// Bar on a terminal, nothing elsewhere
    #[default]
    Auto,
    /// Bar on standard error
    Bar,
    /// Percentages of `qemu-img -p` on standard output
    Plain,
    /// JSON lines with transferred, size, elapsed and description
    Json,
    /// No progress
    None,
}

/// The shortest interval between two JSON lines or percentages.
const INTERVAL: Duration = Duration::from_millis(200);

/// Displays progress, and cancels the work if the user requests it.
pub(crate) struct ProgressDisplay {
    interrupt: Interrupt,
    started: OnceLock<Instant>,
    kind: DisplayKind,
}

/// The outputs that progress may use.
pub(crate) struct ProgressOutputs {
    /// The file descriptor for JSON lines; 2 if not given.
    pub(crate) fd: Option<i32>,
    /// True if standard output has other data. Percentages then go to standard error.
    pub(crate) stdout_is_data: bool,
}

enum DisplayKind {
    Nothing,
    Bar(OnceLock<ProgressBar>),
    Plain(Mutex<(Instant, Box<dyn Write + Send>)>),
    Json(Mutex<(Instant, Box<dyn Write + Send>)>),
}

impl ProgressDisplay {
    /// Prepares a display. It starts with [`Progress::begin`].
    pub(crate) fn new(style: ProgressMode, interrupt: &Interrupt, outputs: &ProgressOutputs) -> Result<Self> {
        let long_ago = Instant::now().checked_sub(INTERVAL).unwrap_or_else(Instant::now);
        let kind = match style {
            ProgressMode::Auto if !std::io::stderr().is_terminal() => DisplayKind::Nothing,
            ProgressMode::None => DisplayKind::Nothing,
            ProgressMode::Auto | ProgressMode::Bar => DisplayKind::Bar(OnceLock::new()),
            ProgressMode::Plain => DisplayKind::Plain(Mutex::new((long_ago, plain_output(outputs)))),
            ProgressMode::Json => DisplayKind::Json(Mutex::new((long_ago, json_output(outputs)?))),
        };
        Ok(Self { interrupt: interrupt.clone(), started: OnceLock::new(), kind })
    }

    /// Displays the end and removes the bar. `complete` is true if all work is done.
    pub(crate) fn finish(&self, complete: bool) {
        if self.started.get().is_none() {
            return;
        }
        match &self.kind {
            DisplayKind::Nothing => {}
            DisplayKind::Bar(bar) => bar.get().into_iter().for_each(ProgressBar::finish_and_clear),
            DisplayKind::Plain(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                self.print_plain(&mut *line.1, complete);
                let _ = writeln!(line.1);
            }
            DisplayKind::Json(line) => {
                let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
                self.print_json(&mut *line.1);
            }
        }
    }

    /// Returns true if a bar is displayed. A summary then follows at the end.
    pub(crate) fn is_bar(&self) -> bool {
        matches!(self.kind, DisplayKind::Bar(_))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    fn print_plain(&self, output: &mut dyn Write, is_complete: bool) {
        let _ = write!(output, "{}\r", self.interrupt.counts.percentage(is_complete));
        let _ = output.flush();
    }

    fn print_json(&self, output: &mut dyn Write) {
        let line = json!({
            "transferred": self.interrupt.counts.done(),
            "size": Some(self.interrupt.counts.total()).filter(|total| *total > 0),
            "elapsed": self.elapsed().as_secs_f64(),
            "description": "convert",
        });
        let _ = writeln!(output, "{line}");
        let _ = output.flush();
    }
}

impl Progress for ProgressDisplay {
    fn begin(&self, total: Option<u64>) {
        let total = total.unwrap_or(0);
        let _ = self.started.set(Instant::now());
        self.interrupt.counts.begin(total);
        if let DisplayKind::Bar(cell) = &self.kind {
            let _ = cell.set(bar(total));
        }
    }

    fn advance(&self, bytes: u64) -> ControlFlow<()> {
        self.interrupt.poll();
        if self.started.get().is_none() {
            return self.interrupt.cancel.advance(bytes);
        }
        self.interrupt.counts.advance(bytes);
        match &self.kind {
            DisplayKind::Nothing => {}
            DisplayKind::Bar(bar) => bar.get().into_iter().for_each(|bar| bar.inc(bytes)),
            DisplayKind::Plain(line) => {
                if let Ok(mut line) = line.try_lock() {
                    if line.0.elapsed() >= INTERVAL {
                        line.0 = Instant::now();
                        self.print_plain(&mut *line.1, false);
                    }
                }
            }
            DisplayKind::Json(line) => {
                if let Ok(mut line) = line.try_lock() {
                    if line.0.elapsed() >= INTERVAL {
                        line.0 = Instant::now();
                        self.print_json(&mut *line.1);
                    }
                }
            }
        }
        self.interrupt.cancel.advance(bytes)
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

fn plain_output(outputs: &ProgressOutputs) -> Box<dyn Write + Send> {
    if outputs.stdout_is_data { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) }
}

/// Opens the output for JSON lines. An inherited descriptor is opened again by its number, because safe code
/// cannot take ownership of it.
fn json_output(outputs: &ProgressOutputs) -> Result<Box<dyn Write + Send>> {
    let about = |error: Error, fd: i32| error.field("--progress-fd").found(fd);
    Ok(match outputs.fd {
        None | Some(2) => Box::new(std::io::stderr()),
        Some(1) if outputs.stdout_is_data => {
            let error = about(Error::new(ErrorKind::InvalidInput), 1);
            return Err(error.expected("another descriptor, because standard output receives the disk"));
        }
        Some(1) => Box::new(std::io::stdout()),
        Some(fd) => {
            let file = File::options().append(true).open(format!("/dev/fd/{fd}"));
            Box::new(file.map_err(|error| about(Error::from(error), fd))?)
        }
    })
}

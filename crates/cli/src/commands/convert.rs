//! `diskimg convert`: converts an image.

use std::io::Write;
use std::path::Path;

use diskimg::{
    BlockSource, ConvertOptions, Converted, Disk, Error, ErrorKind, Input, Preallocation, Result, Sparse,
    Target, TargetPlace, WriteOrder, convert, convert_stream,
};

use super::target::{is_stdout, target};
use super::{CommonArgs, first_bytes, input, looks_like, opener, selector, shown};
use crate::args::{Cache, ConvertArgs};
use crate::failure::{About, Failure, Outcome};
use crate::output::is_dash;
use crate::progress::{ProgressDisplay, ProgressMode, ProgressOutputs};
use crate::signals::Interrupt;
use crate::size::human_size;

pub(super) fn run(args: &ConvertArgs, common: CommonArgs) -> Outcome {
    let interrupt = Interrupt::listen()?;
    interrupt.outcome(work(args, common, &interrupt))
}

fn work(args: &ConvertArgs, common: CommonArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    if common.verbose && args.rate.is_some() {
        eprintln!("diskimg: note: -r is ignored, the rate is not limited");
    }
    let mut opener = opener(&args.open, Some((&args.follow, &args.source)))?;
    opener.snapshot = args.snapshot.as_deref().map(selector);
    opener.direct = args.source_cache == Cache::None;
    let options = options(args)?;
    let target = target(args)?;
    let source = shown(&args.source);
    // Preallocation needs the size of the disk before the first byte.
    let streams = target.format.name() == "raw" && target.preallocation == Preallocation::Off;
    let input = input(&opener, &args.source, &interrupt.cancel)?;
    let shown = |total| {
        let outputs = ProgressOutputs { fd: args.progress_fd, stdout_is_data: is_stdout(args) };
        ProgressDisplay::new(style(args, common), total, interrupt.cancel.clone(), &outputs)
    };
    // Source or target may fail. The error names the file if it is known.
    let both = format!("{} to {}", source.display(), args.target.display());
    let (shown, done, head) = match input {
        Input::Stream(image) if streams && image.streams(order(&target)) => {
            let head = if image.format().name() == "raw" { image.head().to_vec() } else { Vec::new() };
            target.check_stream(&image)?;
            ensure_not_stdin(args, &target, image.virtual_size())?;
            let shown = shown(0)?;
            let sink = target.create(None)?;
            let done = convert_stream(image, sink, &options, &shown);
            (shown, done, head)
        }
        input => {
            let disk = match input {
                Input::Disk(disk) => disk,
                Input::Stream(image) => image.into_disk(&*interrupt.cancel).about(source)?,
            };
            target.ensure_not_source(&disk)?;
            ensure_not_stdin(args, &target, Some(disk.size()))?;
            let shown = shown(disk.size())?;
            let sink = target.create(Some(disk.size()))?;
            let head = head_of(&disk, args).about(source)?;
            let done = convert(&disk, sink, &options, &shown);
            (shown, done, head)
        }
    };
    shown.finish(done.is_ok());
    let done = done.about(Path::new(&both))?;
    report(args, common, &shown, &done, &head);
    Ok(())
}

/// Checks that the target is not the file on standard input.
fn ensure_not_stdin(args: &ConvertArgs, target: &Target, size: Option<u64>) -> Result<()> {
    match Path::new("/dev/stdin").metadata() {
        Ok(file) if is_dash(&args.source) => target.ensure_not_file(&file, size),
        _ => Ok(()),
    }
}

/// Returns the order in which the target must be written.
fn order(target: &Target) -> WriteOrder {
    match target.place {
        TargetPlace::Stream(_) => WriteOrder::Ascending,
        TargetPlace::Path(_) | TargetPlace::File(_) | TargetPlace::Sink(_) => WriteOrder::Any,
    }
}

fn options(args: &ConvertArgs) -> Result<ConvertOptions> {
    let mut options = ConvertOptions::default();
    options.threads = args.threads.unwrap_or(0);
    if let Some(memory) = args.memory {
        options.memory = memory;
    }
    options.sparse = match args.sparse {
        None => Sparse::Auto,
        Some(0) => Sparse::Never,
        Some(bytes) if bytes.is_power_of_two() && bytes >= 512 => Sparse::Search(bytes),
        Some(bytes) => {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("option -S")
                .found(bytes)
                .expected("0, or a power of two of at least 512"));
        }
    };
    Ok(options)
}

fn style(args: &ConvertArgs, common: CommonArgs) -> ProgressMode {
    use std::io::IsTerminal;
    match args.progress {
        _ if common.quiet => ProgressMode::None,
        ProgressMode::Auto if args.show_progress && !std::io::stderr().is_terminal() => ProgressMode::Plain,
        ProgressMode::Auto if args.show_progress => ProgressMode::Bar,
        style => style,
    }
}

/// Returns the first bytes of the disk for a raw target, which has no header of its own before them.
fn head_of(disk: &Disk, args: &ConvertArgs) -> Result<Vec<u8>> {
    if args.target_format == "raw" { first_bytes(disk) } else { Ok(Vec::new()) }
}

/// Prints a summary, and a warning if a format would be detected in the content of a raw target.
fn report(args: &ConvertArgs, common: CommonArgs, shown: &ProgressDisplay, done: &Converted, head: &[u8]) {
    let mut stderr = std::io::stderr().lock();
    if (shown.is_bar() || common.verbose) && !common.quiet {
        let _ = writeln!(
            stderr,
            "{}: {} read, {} written, {} holes, {:.1} s",
            args.target.display(),
            human_size(done.virtual_size),
            human_size(done.written),
            human_size(done.zeros),
            shown.elapsed().as_secs_f64(),
        );
    }
    if let Some(image) = looks_like(head) {
        let _ = writeln!(
            stderr,
            "diskimg: warning: the content looks like {image}; always open this disk as raw"
        );
    }
}

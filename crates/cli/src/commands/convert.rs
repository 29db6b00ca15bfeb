//! `diskimg convert`: converts an image.

use std::io::Write;
use std::path::Path;

use diskimg::{ConvertOptions, Converted, Error, ErrorKind, Result, Sparse};

use super::common::{CommonArgs, input, opener, selector, shown, warn};
use super::target::{is_stdout, note_whole_sectors, overwritten_image, target, warn_of_overwritten};
use crate::args::ConvertArgs;
use crate::failure::{About, Failure, Outcome};
use crate::memory_limit;
use crate::progress::{ProgressDisplay, ProgressMode, ProgressOutputs};
use crate::signals::Interrupt;
use crate::size::human_size;
use crate::visible::visible_path;

pub(super) fn run(args: &ConvertArgs, common: CommonArgs) -> Outcome {
    let interrupt = Interrupt::listen();
    interrupt.outcome(work(args, common, &interrupt))
}

fn work(args: &ConvertArgs, common: CommonArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut opener = opener(&args.open, Some((&args.follow, &args.source)))?;
    opener.strict = args.strict.strict;
    opener.snapshot = args.snapshot.as_deref().map(selector);
    opener.direct = args.source_cache.is_direct();
    let (options, target) = (options(args)?, target(args)?);
    interrupt.removes(target.unfinished());
    if args.progress_fd.is_some() && args.progress != ProgressMode::Json {
        let error = Error::new(ErrorKind::InvalidInput).field("--progress-fd");
        return Err(error.because("it requires --progress=json").into());
    }
    let outputs = ProgressOutputs { fd: args.progress_fd, stdout_is_data: is_stdout(&args.target) };
    let input = input(&opener, &args.source, &interrupt.cancel)?;
    let display = ProgressDisplay::new(style(args, common), interrupt, &outputs)?;
    let overwritten = overwritten_image(&target);
    let done = input.convert_to(&target, &options, &display);
    display.finish(done.is_ok());
    // Source or target may fail. The error names the file if it is known.
    let both = format!("{} to {}", shown(&args.source).display(), args.target.display());
    let done = done.about(Path::new(&both))?;
    warn(&done.findings, None, common);
    warn_of_overwritten(overwritten, &args.target, common);
    note_whole_sectors(&target, done.virtual_size, common);
    report(args, common, &display, &done);
    Ok(())
}

fn options(args: &ConvertArgs) -> Result<ConvertOptions> {
    let mut options = ConvertOptions::default();
    options.threads = args.threads.map_or(0, usize::from);
    if let Some(memory) = memory_limit::of_control_group() {
        memory_limit::fit_conversion(&mut options, memory);
    }
    if let Some(memory) = args.memory {
        options.memory = memory;
    }
    options.rate = args.rate;
    options.sparse = match args.sparse {
        None => Sparse::Auto,
        Some(0) => Sparse::Never,
        Some(bytes) if bytes % 512 == 0 && bytes <= Sparse::LONGEST_SEARCH => Sparse::Search(bytes),
        Some(bytes) => {
            return Err(Error::new(ErrorKind::InvalidInput)
                .field("option -S")
                .found(bytes)
                .expected("0 for no holes, or a multiple of 512 up to 16M"));
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

/// Prints a summary, and a warning if a format would be detected in the content of a raw target.
fn report(args: &ConvertArgs, common: CommonArgs, display: &ProgressDisplay, done: &Converted) {
    let mut stderr = std::io::stderr().lock();
    if (display.is_bar() || common.verbose) && !common.quiet {
        let _ = writeln!(
            stderr,
            "{}: {} read, {} written, {} holes, {:.1} s",
            visible_path(&args.target),
            human_size(done.virtual_size),
            human_size(done.written),
            human_size(done.zeros),
            display.elapsed().as_secs_f64(),
        );
    }
    if let Some(image) = done.looks_like {
        let _ = writeln!(
            stderr,
            "diskimg: warning: the content looks like {image}; always open this disk as raw"
        );
    }
}

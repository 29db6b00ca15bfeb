//! `diskimg convert`.

use std::io::Write;
use std::path::Path;

use diskimg::{
    BlockSource, ConvertOptions, Converted, Disk, Error, ErrorKind, Image, Input, Preallocation, Result,
    Setting, SnapshotSelector, Sniffed, Sparse, Target, convert, convert_stream, driver, sniff_head,
};

use super::{Common, opener};
use crate::args::{Cache, ConvertArgs};
use crate::failure::{About, Failure, Outcome};
use crate::output::is_dash;
use crate::progress::{Shown, Style};
use crate::signals::Interrupt;
use crate::size::human_size;

pub(super) fn run(args: &ConvertArgs, common: Common) -> Outcome {
    let interrupt = Interrupt::listen()?;
    let done = work(args, common, &interrupt);
    match (interrupt.exit_code(), done) {
        (Some(code), Err(_)) => Ok(code),
        (_, Err(failure)) => Err(failure),
        (_, Ok(())) => Ok(0),
    }
}

fn work(args: &ConvertArgs, common: Common, interrupt: &Interrupt) -> Result<(), Failure> {
    if common.verbose && args.rate.is_some() {
        eprintln!("diskimg: note: -r is ignored, rates are not limited");
    }
    let mut opener = opener(&args.open, Some((&args.follow, &args.source)))?;
    opener.snapshot = args.snapshot.as_deref().map(selector);
    opener.direct = args.source_cache == Cache::None;
    let target = target(args)?;
    let input = if is_dash(&args.source) {
        Input::Arriving(opener.arriving(std::io::stdin()).about(Path::new("standard input"))?)
    } else {
        opener.input(&args.source).about(&args.source)?
    };
    let shown = |total| Shown::new(style(args, common), total, interrupt.cancel.clone(), args.progress_fd);
    let disk = match input {
        Input::Disk(disk) => disk,
        Input::Arriving(image) if image.streams() && target.format.name() == "raw" => {
            let head = image.head().to_vec();
            let shown = shown(0)?;
            let done = convert_stream(image, target.create(None)?, &shown);
            shown.finish();
            let done = done.about(&args.source)?;
            report(args, common, &shown, &done, &head);
            return Ok(());
        }
        Input::Arriving(image) => image.into_disk(&opener).about(&args.source)?,
    };
    let shown = shown(disk.size())?;
    let sink = target.create(Some(disk.size()))?;
    let done = convert(&disk, sink, &options(args)?, &shown);
    shown.finish();
    let done = done.about(&args.source)?;
    report(args, common, &shown, &done, &head_of(&disk, args)?);
    Ok(())
}

fn selector(text: &str) -> SnapshotSelector {
    for part in text.split(',') {
        if let Some(id) = part.strip_prefix("snapshot.id=") {
            return SnapshotSelector::Id(id.to_owned());
        }
        if let Some(name) = part.strip_prefix("snapshot.name=") {
            return SnapshotSelector::Name(name.to_owned());
        }
    }
    SnapshotSelector::IdOrName(text.to_owned())
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

fn target(args: &ConvertArgs) -> Result<Target> {
    let format = driver(&args.target_format)?.format;
    let mut target = match is_dash(&args.target) {
        true => Target::stream(std::io::stdout(), format),
        false => Target::file(&args.target, format),
    };
    target.compress = args.compress;
    target.level = args.level;
    for list in &args.options {
        target.settings.extend(Setting::parse_list(list)?);
    }
    if format.name() == "raw" {
        target.preallocation = take_preallocation(&mut target.settings)?;
    }
    target.overwrite = args.force;
    target.in_place = args.no_create;
    target.is_zero = args.target_is_zero;
    target.direct = args.cache == Cache::None;
    target.durable = args.cache != Cache::Unsafe;
    if args.target_is_zero && !args.no_create {
        return Err(
            Error::new(ErrorKind::InvalidInput).because("--target-is-zero needs -n, as with qemu-img")
        );
    }
    Ok(target)
}

fn take_preallocation(settings: &mut Vec<Setting>) -> Result<Preallocation> {
    let Some(index) = settings.iter().position(|setting| setting.name == "preallocation") else {
        return Ok(Preallocation::Off);
    };
    let setting = settings.remove(index);
    match setting.value.as_str() {
        "off" => Ok(Preallocation::Off),
        "falloc" => Ok(Preallocation::Falloc),
        "full" => Ok(Preallocation::Full),
        // The words that importers look for in qemu-img's message.
        _ => Err(setting.invalid("off, falloc or full").because("Unsupported preallocation mode")),
    }
}

fn style(args: &ConvertArgs, common: Common) -> Style {
    use std::io::IsTerminal;
    match args.progress {
        _ if common.quiet => Style::None,
        Style::Auto if args.show_progress && !std::io::stderr().is_terminal() => Style::Plain,
        Style::Auto if args.show_progress => Style::Bar,
        style => style,
    }
}

/// The first bytes of the disk, where they matter: raw bytes have no header of their own before them.
fn head_of(disk: &Disk, args: &ConvertArgs) -> Result<Vec<u8>, Failure> {
    if args.target_format != "raw" || disk.info().format.name() == "raw" {
        return Ok(Vec::new());
    }
    let mut head = vec![0; usize::try_from(disk.size().min(64 << 10)).unwrap_or_default()];
    disk.read_at(0, &mut head)?;
    Ok(head)
}

/// A last line, and a warning where the guest's own bytes would be taken for an image by whoever probes.
fn report(args: &ConvertArgs, common: Common, shown: &Shown, done: &Converted, head: &[u8]) {
    let mut stderr = std::io::stderr().lock();
    if (shown.is_bar() || common.verbose) && !common.quiet {
        let _ = writeln!(
            stderr,
            "{}: {} written, {} holes, {:.1} s",
            args.target.display(),
            human_size(done.written),
            human_size(done.zeros),
            shown.elapsed().as_secs_f64(),
        );
    }
    let looks_like = match sniff_head(head, None) {
        Ok(Sniffed::Image(format) | Sniffed::Known(format)) => format.name(),
        Err(error) if error.kind() == ErrorKind::Ambiguous => "an image",
        _ => return,
    };
    let _ = writeln!(
        stderr,
        "diskimg: warning: the content looks like {looks_like}; keep the format raw and never probe this disk"
    );
}

//! `diskimg cat`: writes the content of a disk to standard output.

use std::path::Path;

use diskimg::{BlockSource, ConvertOptions, Target, Window, convert, driver};

use super::common::{CommonArgs, input, opener, selector, shown, warn};
use crate::args::CatArgs;
use crate::failure::{About, Failure, Outcome};
use crate::signals::Interrupt;

pub(super) fn run(args: &CatArgs, common: CommonArgs) -> Outcome {
    let interrupt = Interrupt::listen();
    interrupt.outcome(work(args, common, &interrupt))
}

fn work(args: &CatArgs, common: CommonArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut opener = opener(&args.open, Some((&args.follow, &args.file)))?;
    opener.strict = args.strict.strict;
    opener.snapshot = args.snapshot.as_deref().map(selector);
    let target = Target::stream(std::io::stdout(), driver("raw")?.format);
    let file: &Path = shown(&args.file);
    let all = args.offset == 0 && args.length.is_none();
    let (options, cancel) = (ConvertOptions::default(), &*interrupt.cancel);
    let input = input(&opener, &args.file, &interrupt.cancel)?;
    if all {
        let done = input.convert_to(&target, &options, cancel).about(file)?;
        warn(&done.findings, None, common);
        return Ok(());
    }
    let disk = input.into_disk(cancel).about(file)?;
    warn(&disk.findings(), None, common);
    let end = args.length.map_or(disk.size(), |length| args.offset.saturating_add(length));
    let part = Window::new(&disk, args.offset..end.max(args.offset)).about(file)?;
    let sink = target.create(Some(part.size()))?;
    convert(&part, sink, &options, cancel).about(file)?;
    Ok(())
}

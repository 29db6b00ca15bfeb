//! One file for each command.

mod check;
mod compare;
mod convert;
mod formats;
mod human;
mod info;
mod inspect;
mod manual;
mod map;
mod probe;
mod rows;
mod target;

use std::path::Path;
use std::sync::Arc;

use diskimg::{FileSource, Inspection, Opener, WithinDirectory, driver};

use crate::args::{Args, Command, FollowArgs, OpenArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::is_dash;

/// Does what the arguments say; the exit code.
pub(crate) fn run(args: Args) -> Outcome {
    let json = args.wants_json();
    let common = Common {
        output: if json { Output::Json } else { Output::Human },
        quiet: args.quiet,
        verbose: args.verbose,
    };
    match args.command {
        Command::Info(args) => info::run(&args, common),
        Command::Probe(args) => probe::run(&args, common),
        Command::Inspect(args) => inspect::run(&args, common),
        Command::Map(args) => map::run(&args, common),
        Command::Check(args) => check::run(&args, common),
        Command::Convert(args) => convert::run(&args, common),
        Command::Compare(args) => compare::run(&args, common),
        Command::Formats => formats::run(common),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
    }
}

/// What holds for every command.
#[derive(Clone, Copy)]
struct Common {
    output: Output,
    quiet: bool,
    verbose: bool,
}

/// An opener as the arguments want it.
fn opener(args: &OpenArgs, follow: Option<(&FollowArgs, &Path)>) -> Result<Opener, Failure> {
    let mut opener = Opener::new();
    if let Some(name) = &args.format {
        opener.format = Some(driver(name)?.format);
    }
    opener.allow_raw = args.allow_raw;
    opener.member.clone_from(&args.member);
    opener.unwrap = !args.no_unwrap;
    if args.no_spool {
        opener.spool = diskimg::Spool::Never;
    }
    if let Some(size) = args.max_size {
        opener.limits.virtual_size = size;
    }
    if let Some((follow, image)) = follow {
        if follow.follow && !is_dash(image) {
            opener.resolver = Arc::new(WithinDirectory::of_image(image).about(image)?);
        }
        for parent in &follow.parent {
            opener.parents.push(Arc::new(FileSource::open(parent).about(parent)?));
        }
    }
    Ok(opener)
}

/// What the image in a file or on standard input claims.
fn inspect_path(opener: &Opener, file: &Path) -> Result<Inspection, Failure> {
    if is_dash(file) {
        return opener.inspect_stream(std::io::stdin()).about(Path::new("standard input"));
    }
    opener.inspect(file).about(file)
}

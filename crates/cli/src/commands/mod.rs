//! The commands, one per file.

mod cat;
mod check;
mod compare;
mod convert;
mod create;
mod formats;
mod human;
mod info;
mod inspect;
mod manual;
mod map;
mod measure;
mod probe;
mod rows;
mod target;

use std::path::Path;
use std::sync::Arc;

use diskimg::{Cancel, FileSource, Input, Inspection, Opener, SnapshotSelector, WithinDirectory, driver};

use crate::args::{Args, Command, FollowArgs, OpenArgs, Output};
use crate::failure::{About, Failure, Outcome};
use crate::output::is_dash;
use crate::stdin::CancellableStdin;

/// Runs the command that the arguments name. Returns the exit code.
pub(crate) fn run(args: Args) -> Outcome {
    let json = args.wants_json();
    let common = CommonArgs {
        output: if json { Output::Json } else { Output::Human },
        quiet: args.quiet,
        verbose: args.verbose,
    };
    match args.command {
        Command::Info(args) => info::run(&args, common),
        Command::Probe(args) => probe::run(&args.image, common),
        Command::Inspect(args) => inspect::run(&args.image, common),
        Command::Map(args) => map::run(&args, common),
        Command::Check(args) => check::run(&args, common),
        Command::Convert(args) => convert::run(&args, common),
        Command::Measure(args) => measure::run(&args, common),
        Command::Create(args) => create::run(&args),
        Command::Cat(args) => cat::run(&args),
        Command::Compare(args) => compare::run(&args, common),
        Command::Formats => formats::run(common),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
    }
}

/// The arguments of all commands.
#[derive(Clone, Copy)]
struct CommonArgs {
    output: Output,
    quiet: bool,
    verbose: bool,
}

/// Returns an opener with the options of the arguments.
fn opener(args: &OpenArgs, follow: Option<(&FollowArgs, &Path)>) -> Result<Opener, Failure> {
    let mut opener = Opener::new();
    if let Some(name) = &args.format {
        opener.format = Some(driver(name)?.format);
    }
    opener.allow_raw = args.allow_raw;
    opener.member.clone_from(&args.member);
    opener.decompress = !args.no_unwrap;
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

/// Reads the metadata of the image in a file or on standard input.
fn inspect_path(opener: &Opener, file: &Path) -> Result<Inspection, Failure> {
    if is_dash(file) {
        return opener.inspect_stream(std::io::stdin()).about(Path::new("standard input"));
    }
    opener.inspect(file).about(file)
}

/// Opens the image in a file or on standard input, as a stream or for random access.
fn input(opener: &Opener, file: &Path, cancel: &Arc<Cancel>) -> Result<Input, Failure> {
    if !is_dash(file) {
        return opener.input(file).about(file);
    }
    let input = opener.stream(CancellableStdin::new(Arc::clone(cancel))).about(shown(file))?;
    Ok(Input::Stream(match Path::new("/dev/stdin").metadata() {
        Ok(stdin) => input.read_from(&stdin),
        Err(_) => input,
    }))
}

/// Returns the name of a file for error messages.
fn shown(file: &Path) -> &Path {
    if is_dash(file) { Path::new("standard input") } else { file }
}

/// Parses the value of `-l`.
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

//! The choice of the command that the arguments name.

use super::common::CommonArgs;
use super::{cat, check, compare, convert, create, formats, info, inspect, manual, map, measure, probe};
use crate::args::{Args, Command, Output};
use crate::failure::Outcome;

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
        Command::Create(args) => create::run(&args, common),
        Command::Cat(args) => cat::run(&args, common),
        Command::Compare(args) => compare::run(&args, common),
        Command::Formats => formats::run(common),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
    }
}

//! Arguments, as `qemu-img` has them wherever the meaning is the same.

mod open;
mod read;
mod write;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use open::{FollowArgs, OpenArgs};
pub(crate) use read::{
    CatArgs, CheckArgs, CompareArgs, InfoArgs, InspectArgs, MapArgs, MeasureArgs, ProbeArgs,
};
pub(crate) use write::{Cache, ConvertArgs, CreateArgs};

/// Recognise, inspect, read, compare and convert virtual-disk images.
#[derive(Parser, Debug)]
#[command(
    name = "diskimg",
    version,
    propagate_version = true,
    before_help = "Examples:
  diskimg info disk.qcow2
  diskimg convert -O raw disk.qcow2 disk.raw
  diskimg convert -c -O qcow2 disk.raw disk.qcow2
  diskimg create -f qcow2 disk.qcow2 10G
  curl -s https://example.org/disk.qcow2.xz | diskimg probe -"
)]
pub(crate) struct Args {
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more on standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Print JSON: the same as --output=json
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When help and usage errors have colours; NO_COLOR is heeded
    #[arg(long, global = true, value_enum, default_value_t = clap::ColorChoice::Auto)]
    pub(crate) color: clap::ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Whether standard output, and so errors too, are for a program.
    pub(crate) fn wants_json(&self) -> bool {
        let output = match &self.command {
            Command::Info(args) => args.output,
            Command::Probe(args) => args.output,
            Command::Inspect(args) => args.output,
            Command::Map(args) => args.output,
            Command::Check(args) => args.output,
            Command::Compare(args) => args.output,
            Command::Measure(args) => args.output,
            _ => Output::Human,
        };
        self.json || output == Output::Json
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show what an image claims; nothing it refers to is opened
    Info(InfoArgs),
    /// Name format, wrapper and virtual size of a file or stream in one line
    Probe(ProbeArgs),
    /// List what a careful importer should know: exit 0 safe, 2 findings, 1 cannot tell
    Inspect(InspectArgs),
    /// Show which parts of a disk hold data, and where they lie
    Map(MapArgs),
    /// Check the structure of an image: exit 0 clean, 2 corrupt, 3 leaks, 1 not checked, 63 nothing to check
    Check(CheckArgs),
    /// Convert an image; the target appears whole and on disk, or not at all
    Convert(Box<ConvertArgs>),
    /// Tell how large the files of a target would be, writing nothing
    Measure(MeasureArgs),
    /// Create an empty image, perhaps based on another; it appears whole and on disk, or not at all
    Create(CreateArgs),
    /// Write what a guest sees to standard output
    Cat(CatArgs),
    /// Compare what two images show a guest: exit 0 same, 1 different, 2 and more error
    Compare(CompareArgs),
    /// List the formats of this build, and their options
    Formats,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory; made if it does not exist
        directory: PathBuf,
    },
}

/// How results are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Output {
    /// For people
    #[default]
    Human,
    /// For programs, with the keys of `qemu-img`
    Json,
}

//! Command-line arguments. Options with the same meaning have the same letters as in `qemu-img`.

mod file_name;
mod open;
mod output;
mod read;
mod write;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use open::{FollowArgs, OpenArgs};
pub(crate) use output::Output;
pub(crate) use read::{
    CatArgs, CheckArgs, CompareArgs, DescribeArgs, InfoArgs, InspectArgs, MapArgs, MeasureArgs, ProbeArgs,
};
pub(crate) use write::{Cache, ConvertArgs, CreateArgs};

/// Inspect, read, compare and convert virtual-disk images.
#[derive(Parser, Debug)]
#[command(
    name = "diskimg",
    version,
    propagate_version = true,
    args_override_self = true,
    before_help = "Examples:
  diskimg info disk.qcow2
  diskimg convert -O raw disk.qcow2 disk.raw
  diskimg convert -c -O qcow2 disk.raw disk.qcow2
  diskimg create -f qcow2 disk.qcow2 10G
  curl -s https://example.org/disk.qcow2.xz | diskimg probe -"
)]
pub(crate) struct Args {
    /// Print only errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more details on standard error
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Print JSON; same as --output=json
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Use colours in help and usage errors; NO_COLOR is respected
    #[arg(long, global = true, value_enum, default_value_t = clap::ColorChoice::Auto)]
    pub(crate) color: clap::ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Returns true if results and errors are printed as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        let output = match &self.command {
            Command::Info(args) => args.read.output,
            Command::Probe(args) => args.image.output,
            Command::Inspect(args) => args.image.output,
            Command::Map(args) => args.read.output,
            Command::Check(args) => args.read.output,
            Command::Compare(args) => args.read.output,
            Command::Measure(args) => args.read.output,
            _ => Output::Human,
        };
        self.json || output == Output::Json
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show format, size and other metadata of an image; opens no other file without --follow
    Info(InfoArgs),
    /// Print format, compression and virtual size of a file or stream on one line
    Probe(ProbeArgs),
    /// List findings about an untrusted image: exit 0 safe, 2 warnings or worse, 1 error
    Inspect(InspectArgs),
    /// Show which ranges of a disk contain data, and where it is stored
    Map(MapArgs),
    /// Check the structure of an image: exit 0 clean, 2 corrupt, 3 leaks, 1 not completed, 63 not supported
    Check(CheckArgs),
    /// Convert an image; the target appears only when it is complete and on stable storage
    Convert(Box<ConvertArgs>),
    /// Print an upper limit of the size of a converted image, without writing it
    Measure(MeasureArgs),
    /// Create an empty image, optionally with a backing file; it appears only when it is complete
    Create(CreateArgs),
    /// Write the content of a disk to standard output
    Cat(CatArgs),
    /// Compare the content of two disks: exit 0 same, 1 different, 2 or more error
    Compare(CompareArgs),
    /// List the supported formats and their options
    Formats,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages to a directory
    Man {
        /// The directory; created if it does not exist
        directory: PathBuf,
    },
}

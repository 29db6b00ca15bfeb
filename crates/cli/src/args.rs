//! Arguments, as `qemu-img` has them wherever the meaning is the same.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::progress::Style;
use crate::size::parse_size;

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

/// How an image is opened.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct OpenArgs {
    /// The image's format; recognised by its bytes if not given
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Read what no format recognises as raw
    #[arg(long)]
    pub(crate) allow_raw: bool,
    /// Take a gz, xz or zst file as it is
    #[arg(long)]
    pub(crate) no_unwrap: bool,
    /// Refuse images that would have to be kept in a temporary file first
    #[arg(long)]
    pub(crate) no_spool: bool,
    /// The largest virtual size that is accepted [default: 64T]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,
    /// The disk to read in an OVA that holds several
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Accepted for the sake of qemu-img: nothing is ever locked for reading
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,
}

/// Whether names inside an image are followed.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct FollowArgs {
    /// Follow the names of backing files, data files, extents and parents within the image's directory
    #[arg(long)]
    pub(crate) follow: bool,
    /// The file below an image that is based on one; repeated for those below that, nearest first
    #[arg(long, value_name = "FILE")]
    pub(crate) parent: Vec<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg info disk.qcow2
  diskimg info --output=json disk.qcow2
  diskimg info --backing-chain --follow top.qcow2")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Show every image of the backing chain, top first; needs --follow if there is one
    #[arg(long)]
    pub(crate) backing_chain: bool,
    /// The image; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg probe disk.qcow2.gz
  curl -s https://example.org/disk.img | diskimg probe -
Exit: 0 recognised, 2 not recognised, 1 error")]
pub(crate) struct ProbeArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The image; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg inspect upload.qcow2 && diskimg convert -O raw upload.qcow2 disk.raw
Exit: 0 nothing found, 2 findings, 1 cannot tell")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The image; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg map disk.qcow2
  diskimg map --output=json --start-offset 1M --max-length 64M disk.qcow2")]
pub(crate) struct MapArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Guest offset to begin at
    #[arg(short = 's', long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub(crate) start_offset: u64,
    /// Bytes to cover [default: to the end of the disk]
    #[arg(short = 'l', long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_length: Option<u64>,
    /// Print sums by kind, not the rows
    #[arg(long)]
    pub(crate) totals: bool,
    /// The image
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg check disk.vmdk
  diskimg check --output=json --follow split.vmdk
Exit: 0 clean, 2 corrupt, 3 only leaks, 1 the check could not be completed, 63 the format has none")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The image
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg convert -O raw disk.qcow2 disk.raw
  diskimg convert -O raw disk.raw.xz /dev/vdb
  diskimg convert -c -O qcow2 -o compression_type=zstd disk.raw disk.qcow2
  zstd -dc disk.zst | diskimg convert -f raw -O raw - - | sha256sum")]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// Format of the target
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) target_format: String,
    /// Options of the target format: name=value,...; `diskimg formats` lists them
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Compress the target
    #[arg(short = 'c', long)]
    pub(crate) compress: bool,
    /// Compression level [default: the method's own]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) level: Option<i32>,
    /// Read an internal snapshot: its id or name, or snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// Search all bytes for runs of zeros of this size and leave holes; 0 to leave none
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) sparse: Option<u64>,
    /// Write into the existing target, in place; block devices are always written so
    #[arg(short = 'n', long)]
    pub(crate) no_create: bool,
    /// The target written in place is known to read as zeros
    #[arg(long)]
    pub(crate) target_is_zero: bool,
    /// Replace the target if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Worker threads [default: one a core]
    #[arg(short = 'm', long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Bytes of buffers over all threads
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// How the target is written: none past the page cache, unsafe without waiting for the disk
    #[arg(short = 't', long, value_name = "MODE", value_enum, default_value_t)]
    pub(crate) cache: Cache,
    /// How the source is read: none past the page cache
    #[arg(short = 'T', long, value_name = "MODE", value_enum, default_value_t)]
    pub(crate) source_cache: Cache,
    /// Show progress: a bar on a terminal, else the percentages of `qemu-img -p` on standard output
    #[arg(short = 'p', long = "show-progress")]
    pub(crate) show_progress: bool,
    /// How progress is shown; auto is a bar on a terminal and nothing elsewhere
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: Style,
    /// File descriptor that progress in JSON lines goes to [default: 2]
    #[arg(long, value_name = "FD")]
    pub(crate) progress_fd: Option<i32>,
    /// Accepted for the sake of qemu-img: writing out of order is the default wherever it does no harm
    #[arg(short = 'W')]
    pub(crate) out_of_order: bool,
    /// Accepted for the sake of qemu-img; rates are not limited
    #[arg(short = 'r', value_name = "RATE")]
    pub(crate) rate: Option<String>,
    /// The image; - for standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// The file or block device to write; - for standard output
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
}

/// How files are read or written, by the names of `qemu-img`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Cache {
    /// Through the page cache; on disk when the command ends
    #[default]
    Writeback,
    /// Past the page cache (O_DIRECT), where the system can
    None,
    /// Through the page cache; perhaps not on disk when the command ends
    Unsafe,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg compare a.qcow2 b.raw
Exit: 0 same content, 1 different, 2 an image cannot be opened, 4 cannot be read")]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// Format of the second image
    #[arg(short = 'F', value_name = "FORMAT")]
    pub(crate) second_format: Option<String>,
    /// Disks of different sizes are different, even if the longer one ends in zeros; how they are stored does not
    /// matter
    #[arg(short = 's', long)]
    pub(crate) strict: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Show progress
    #[arg(short = 'p', long = "show-progress")]
    pub(crate) show_progress: bool,
    /// The first image
    #[arg(value_name = "FILE1")]
    pub(crate) first: PathBuf,
    /// The second image
    #[arg(value_name = "FILE2")]
    pub(crate) second: PathBuf,
}

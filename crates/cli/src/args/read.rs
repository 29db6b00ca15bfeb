//! Arguments of the commands that write no image.

use std::path::PathBuf;

use super::file_name::file_name;
use super::open::{FollowArgs, OpenArgs, StrictArgs};
use super::output::Output;
use crate::size::parse_size;

/// The arguments of the commands that read an image and the files that it refers to.
#[derive(clap::Args, Debug)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// The arguments of the commands that read only the metadata of an image.
#[derive(clap::Args, Debug)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The image; - for standard input
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg info disk.qcow2
  diskimg info --output=json disk.qcow2
  diskimg info --backing-chain --follow top.qcow2")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Show all images of the backing chain, from top to bottom; requires --follow, --search-dir or --parent if
    /// the image has a backing file
    #[arg(long)]
    pub(crate) backing_chain: bool,
    /// The image; - for standard input
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg probe disk.qcow2.gz
  curl -s https://example.org/disk.img | diskimg probe -
Exit code: 0 format detected, 2 unknown format, 1 error")]
pub(crate) struct ProbeArgs {
    #[command(flatten)]
    pub(crate) image: DescribeArgs,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg inspect upload.qcow2 && diskimg convert -O raw upload.qcow2 disk.raw
Exit code: 0 safe, 2 warnings or worse, 1 error")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) image: DescribeArgs,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg map disk.qcow2
  diskimg map --output=json --start-offset 1M --max-length 64M disk.qcow2")]
pub(crate) struct MapArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Offset in the disk to start at
    #[arg(short = 's', long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub(crate) start_offset: u64,
    /// Number of bytes to show [default: up to the end of the disk]
    #[arg(short = 'l', long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_length: Option<u64>,
    /// Print only the sum for each kind of extent
    #[arg(long)]
    pub(crate) totals: bool,
    /// The image
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg check disk.vmdk
  diskimg check --output=json --follow split.vmdk
Exit code: 0 clean, 2 corrupt, 3 leaks only, 1 check not completed, 63 format without a check")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) strict: StrictArgs,
    /// The image
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg compare a.qcow2 b.raw
Exit code: 0 same content, 1 different, 2 cannot open an image, 4 cannot read an image")]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Format of the second image
    #[arg(short = 'F', value_name = "FORMAT")]
    pub(crate) second_format: Option<String>,
    /// Backing file or parent of the second image, as --parent [default: the files of --parent]
    #[arg(long, value_name = "FILE")]
    pub(crate) second_parent: Vec<PathBuf>,
    /// Strict mode: also compare sizes, and whether each range is stored, compressed, zero or unallocated, and
    /// has space reserved in the file; refuse an image that is unusual or damaged
    #[arg(short = 's', long)]
    pub(crate) strict: bool,
    /// Show progress
    #[arg(short = 'p', long = "show-progress")]
    pub(crate) show_progress: bool,
    /// The first image
    #[arg(value_name = "FILE1", value_parser = file_name())]
    pub(crate) first: PathBuf,
    /// The second image
    #[arg(value_name = "FILE2", value_parser = file_name())]
    pub(crate) second: PathBuf,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg measure -O qcow2 disk.raw
  diskimg measure -O vmdk -o subformat=streamOptimized disk.qcow2
  diskimg measure --output=json -O qcow2 --size 10G
The result is an upper limit in bytes, summed over all files of the target.
For raw and qcow2 it equals the result of qemu-img.")]
pub(crate) struct MeasureArgs {
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) strict: StrictArgs,
    /// Format of the target
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) target_format: String,
    /// Options of the target format: name=value,... (see `diskimg formats`)
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Measure a compressed target, assuming incompressible data
    #[arg(short = 'c', long)]
    pub(crate) compress: bool,
    /// Measure an internal snapshot: ID or NAME, snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// Measure an empty disk of this size instead of an image
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with_all = ["file", "format", "snapshot"])]
    pub(crate) size: Option<u64>,
    /// The image
    #[arg(value_name = "FILE", value_parser = file_name(), required_unless_present = "size")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg cat disk.qcow2 | sha256sum
  diskimg cat --offset 1M --length 512 disk.vmdk | xxd
  diskimg cat --follow top.qcow2 | zstd > disk.raw.zst")]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    #[command(flatten)]
    pub(crate) strict: StrictArgs,
    /// Offset in the disk to start at
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub(crate) offset: u64,
    /// Number of bytes to write; must not exceed the end of the disk [default: up to the end of the disk]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) length: Option<u64>,
    /// Read an internal snapshot: ID or NAME, snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// The image; - for standard input
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
}

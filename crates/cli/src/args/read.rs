//! Commands that read images and write none.

use std::path::PathBuf;

use super::{FollowArgs, OpenArgs, Output};
use crate::size::parse_size;

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
    /// Sizes have to be the same too, and every byte kept alike: stored, compressed, zeros or left out, with room in
    /// the file or none
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

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg measure -O qcow2 disk.raw
  diskimg measure -O vmdk -o subformat=streamOptimized disk.qcow2
  diskimg measure --output=json -O qcow2 --size 10G
At most so many bytes, of all files where there are several; raw and qcow2 as qemu-img has it")]
pub(crate) struct MeasureArgs {
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Format of the target
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) target_format: String,
    /// Options of the target format: name=value,...; `diskimg formats` lists them
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Measure a compressed target: at most, as if nothing could be made smaller
    #[arg(short = 'c', long)]
    pub(crate) compress: bool,
    /// Measure an internal snapshot: its id or name, or snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// Measure an empty disk of this size, and no image
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "file")]
    pub(crate) size: Option<u64>,
    /// The image
    #[arg(value_name = "FILE", required_unless_present = "size")]
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
    /// Guest offset to begin at
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub(crate) offset: u64,
    /// Bytes to write; it is an error if the disk ends before [default: to the end of the disk]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) length: Option<u64>,
    /// Read an internal snapshot: its id or name, or snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// The image; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

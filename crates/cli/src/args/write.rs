//! Arguments of the commands that write images.

use std::path::PathBuf;

use clap::ValueEnum;

use super::file_name::file_name;
use super::open::{FollowArgs, OpenArgs, StrictArgs};
use crate::progress::ProgressMode;
use crate::size::parse_size;

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
    #[command(flatten)]
    pub(crate) strict: StrictArgs,
    /// Format of the target
    #[arg(short = 'O', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) target_format: String,
    /// Options of the target format: name=value,... (see `diskimg formats`)
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Compress the target
    #[arg(short = 'c', long)]
    pub(crate) compress: bool,
    /// Compression level [default: that of the compression method]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) level: Option<i32>,
    /// Convert an internal snapshot: ID or NAME, snapshot.id=ID, or snapshot.name=NAME
    #[arg(short = 'l', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
    /// Search all data for runs of zeros of at least this size and make them holes: a multiple of 512 up to 16M. 0
    /// stores all zeros, also those of holes
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) sparse: Option<u64>,
    /// Write to the existing target in place; a raw target keeps its size, an empty image its size and
    /// options
    #[arg(short = 'n', long)]
    pub(crate) no_create: bool,
    /// Assume that the existing target reads as zeros
    #[arg(long)]
    pub(crate) target_is_zero: bool,
    /// Replace the target if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Number of worker threads: 1 to 1024 [default: one per core]
    #[arg(short = 'm', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Total size of the buffers of all threads
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory: Option<u64>,
    /// Cache mode of the target
    #[arg(short = 't', long, value_name = "MODE", value_enum, default_value_t)]
    pub(crate) cache: Cache,
    /// Cache mode of the source: none and directsync bypass the page cache
    #[arg(short = 'T', long, value_name = "MODE", value_enum, default_value_t)]
    pub(crate) source_cache: Cache,
    /// Show progress: a bar on a terminal, otherwise the percentages of `qemu-img -p` on standard output
    #[arg(short = 'p', long = "show-progress")]
    pub(crate) show_progress: bool,
    /// Progress display; auto shows a bar on a terminal and nothing elsewhere
    #[arg(long, value_enum, default_value_t)]
    pub(crate) progress: ProgressMode,
    /// File descriptor for progress as JSON lines [default: 2]
    #[arg(long, value_name = "FD")]
    pub(crate) progress_fd: Option<i32>,
    /// Accepted for compatibility with qemu-img: targets are written out of order where possible
    #[arg(short = 'W')]
    pub(crate) out_of_order: bool,
    /// Largest number of bytes of the disk to write per second, not counting holes; 0 for no limit
    #[arg(short = 'r', long, value_name = "RATE", value_parser = parse_size)]
    pub(crate) rate: Option<u64>,
    /// The image; - for standard input
    #[arg(value_name = "SOURCE", value_parser = file_name())]
    pub(crate) source: PathBuf,
    /// The file or block device to write; - for standard output
    #[arg(value_name = "TARGET", value_parser = file_name())]
    pub(crate) target: PathBuf,
}

/// A cache mode, with the names of `qemu-img`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Cache {
    /// Use the page cache; data is on stable storage when the command ends
    #[default]
    Writeback,
    /// Bypass the page cache (O_DIRECT) where the system supports it
    #[value(alias = "off")]
    None,
    /// Use the page cache; each write waits for stable storage
    Writethrough,
    /// Bypass the page cache; each write waits for stable storage
    Directsync,
    /// Use the page cache; data may not be on stable storage when the command ends
    Unsafe,
}

impl Cache {
    /// True if the page cache is bypassed.
    pub(crate) fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::Directsync)
    }

    /// True if each write waits for stable storage.
    pub(crate) fn writes_through(self) -> bool {
        matches!(self, Self::Writethrough | Self::Directsync)
    }
}

#[derive(clap::Args, Debug)]
#[command(before_help = "Examples:
  diskimg create -f qcow2 disk.qcow2 10G
  diskimg create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2
  diskimg create -f vmdk -o subformat=monolithicFlat disk.vmdk 1T
The name of a backing file is relative to the directory of the new image.
The backing file is opened only to read its size.")]
pub(crate) struct CreateArgs {
    /// Format of the image
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) format: String,
    /// Options of the format: name=value,... (see `diskimg formats`)
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Backing file: the source of all data that the new image does not contain
    #[arg(short = 'b', long, value_name = "FILE")]
    pub(crate) backing: Option<String>,
    /// Format of the backing file
    #[arg(short = 'F', long, value_name = "FORMAT")]
    pub(crate) backing_format: Option<String>,
    /// Do not open the backing file, which need not exist yet; requires SIZE
    #[arg(short = 'u', long = "unchecked-base")]
    pub(crate) unchecked: bool,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// The file or block device to write; - for standard output
    #[arg(value_name = "FILE", value_parser = file_name())]
    pub(crate) file: PathBuf,
    /// Size of the disk, also -o size=SIZE [default: the size of the backing file]
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    pub(crate) size: Option<u64>,
}

//! Commands that write images.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{FollowArgs, OpenArgs};
use crate::progress::Style;
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
  diskimg create -f qcow2 disk.qcow2 10G
  diskimg create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2
  diskimg create -f vmdk -o subformat=monolithicFlat disk.vmdk 1T
A base is seen from the directory of the new image, and opened only to see its size")]
pub(crate) struct CreateArgs {
    /// Format of the image
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "raw")]
    pub(crate) format: String,
    /// Options of the format: name=value,...; `diskimg formats` lists them
    #[arg(short = 'o', long, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// The image that this one is based on: what is not written here is read there
    #[arg(short = 'b', long, value_name = "BASE")]
    pub(crate) backing: Option<String>,
    /// Format of the base
    #[arg(short = 'F', long, value_name = "FORMAT")]
    pub(crate) backing_format: Option<String>,
    /// Do not open the base, which may not be there yet; needs SIZE
    #[arg(short = 'u', long = "unchecked-base")]
    pub(crate) unchecked: bool,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// The file or block device to write; - for standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Size of the disk; that of the base if not given
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    pub(crate) size: Option<u64>,
}

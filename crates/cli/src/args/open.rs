//! How an image is opened, and what lies below it: the same for every command.

use std::path::PathBuf;

use crate::size::parse_size;

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
    /// The file below the image, for one that does not name it; repeated for those below that, nearest first
    #[arg(long, value_name = "FILE")]
    pub(crate) parent: Vec<PathBuf>,
}

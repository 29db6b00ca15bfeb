//! Arguments that open an image and the files that it refers to.

use std::path::PathBuf;

use diskimg::LimitKind;

use super::file_name::file_name;
use crate::size::parse_size;

/// Options to open an image with.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct OpenArgs {
    /// Format of the image; detected if not given
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Read a file of unknown format as raw
    #[arg(long)]
    pub(crate) allow_raw: bool,
    /// Do not decompress a gz, xz or zst file
    #[arg(long)]
    pub(crate) no_unwrap: bool,
    /// Refuse images that need a temporary file
    #[arg(long)]
    pub(crate) no_spool: bool,
    /// Largest virtual size to accept [default: 64T]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,
    /// Change a limit: virtual-size, metadata-cache, decoder-memory, chain-depth, snapshots, header-bytes,
    /// probed-bytes or temporary-files; sizes have a suffix as in 256M
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = LimitValue::parse)]
    pub(crate) limits: Vec<LimitValue>,
    /// Member to read from an archive (tar, OVA, Vagrant box); needed if several are disks
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Read a file that is only part of a larger disk, such as one extent of a split VMDK
    #[arg(long)]
    pub(crate) allow_part: bool,
    /// Do not compare the disk of an OVA with the digest in its manifest
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Read an image although another process, such as a running virtual machine, writes it; what is read may be
    /// a mixture of old and new data
    #[arg(short = 'U', long)]
    pub(crate) force_share: bool,
}

/// The value of `--limit`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitValue {
    pub(crate) kind: LimitKind,
    pub(crate) value: u64,
}

impl LimitValue {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let kind = LimitKind::by_name(name).ok_or_else(|| {
            let names: Vec<_> = LimitKind::all().map(LimitKind::name).collect();
            format!("no limit has this name; the limits are {}", names.join(", "))
        })?;
        let value = parse_size(value).map_err(|error| error.to_string())?;
        Ok(Self { kind, value })
    }
}

/// The option to refuse an image that is read with a warning.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct StrictArgs {
    /// Refuse an image that is unusual or damaged, instead of a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Options to open the files that an image refers to.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct FollowArgs {
    /// Open the backing files, data files, extents and parents that the image refers to, if they are in its
    /// directory
    #[arg(long)]
    pub(crate) follow: bool,
    /// Backing file or parent of the image; repeat the option for the layers below it, from top to bottom
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) parent: Vec<PathBuf>,
    /// Format of the layer below the image, whatever the image records; repeat the option for the layers below it,
    /// from top to bottom
    #[arg(long, value_name = "FORMAT")]
    pub(crate) parent_format: Vec<String>,
    /// Directory in which to look for the files that the image refers to, before its own; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) search_dir: Vec<PathBuf>,
    /// Accept a parent with another content id or UUID than the image records
    #[arg(long)]
    pub(crate) parent_mismatch: bool,
}

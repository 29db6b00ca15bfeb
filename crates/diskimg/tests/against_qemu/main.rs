//! The library compared with the tools of QEMU: their images read and map alike, and they accept our images.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "../common/mod.rs"]
mod common;
mod map;
mod patterns;
mod properties;
mod reading;
mod writing;

use std::path::Path;
use std::sync::Arc;

use diskimg::{Disk, Opener, WithinDirectory};

/// A layout of the matrix, as options of both tools.
#[derive(Clone, Copy, Debug)]
struct Layout {
    compat: &'static str,
    cluster_size: u64,
    extended_l2: bool,
    compression: Compression,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compression {
    None,
    Deflate,
    Zstd,
}

impl Layout {
    /// All combinations that the format allows.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for compat in ["v2", "v3"] {
            for cluster_size in [512, 4096, 65_536, 2 << 20] {
                for compression in [Compression::None, Compression::Deflate, Compression::Zstd] {
                    for extended_l2 in [false, true] {
                        let version_3 = compression == Compression::Zstd || extended_l2;
                        if (version_3 && compat == "v2") || (extended_l2 && cluster_size < 16_384) {
                            continue;
                        }
                        all.push(Self { compat, cluster_size, extended_l2, compression });
                    }
                }
            }
        }
        all
    }

    /// The layouts without compression, which does not matter for snapshots and chains.
    fn plain() -> impl Iterator<Item = Self> {
        Self::all().into_iter().filter(|layout| layout.compression == Compression::None)
    }

    fn compressed(self) -> bool {
        self.compression != Compression::None
    }

    /// A size in bytes of several clusters and, if they are small, several L2 tables.
    fn size(self) -> u64 {
        match self.cluster_size {
            512 => 300 << 10,
            4096 | 65_536 => 3 << 20,
            _ => 10 << 20,
        }
    }

    /// The options of both tools.
    fn options(self) -> String {
        let mut options = format!("compat={},cluster_size={}", self.compat, self.cluster_size);
        if self.extended_l2 {
            options.push_str(",extended_l2=on");
        }
        if self.compression == Compression::Zstd {
            options.push_str(",compression_type=zstd");
        }
        options
    }
}

/// Opens an image with the files in its directory.
fn open(directory: &Path, name: &str) -> Disk {
    let mut opener = Opener::new();
    opener.resolver = Arc::new(WithinDirectory::new(directory).unwrap());
    opener.open(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

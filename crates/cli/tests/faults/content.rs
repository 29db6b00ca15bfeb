//! The content of a disk, without its zeros.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use diskimg::{BlockSource, Extents, Memory, Opener, Result, WithinDirectory, driver};

const BLOCK: u64 = 64 << 10;

/// The size of a disk and its blocks that are not zero, by offset.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DiskContent {
    size: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl std::fmt::Debug for DiskContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, data at {:?}", self.size, self.blocks.keys().collect::<Vec<_>>())
    }
}

impl DiskContent {
    pub(crate) fn of(disk: &dyn BlockSource) -> Result<Self> {
        let mut blocks = BTreeMap::new();
        for extent in Extents::new(disk, 0..disk.size()) {
            let extent = extent?;
            if extent.kind.reads_as_zeros() {
                continue;
            }
            let mut at = extent.offset / BLOCK * BLOCK;
            while at < extent.end() {
                let mut bytes = vec![0; usize::try_from(BLOCK.min(disk.size() - at)).unwrap()];
                disk.read_at(at, &mut bytes)?;
                if bytes.iter().any(|byte| *byte != 0) {
                    blocks.insert(at, bytes);
                }
                at += BLOCK;
            }
        }
        Ok(Self { size: disk.size(), blocks })
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::of(&Memory::new(bytes.to_vec())).unwrap()
    }

    /// Opens an image, with the other files of its directory.
    pub(crate) fn open(path: &Path, format: &str) -> Result<Self> {
        let mut opener = Opener::new();
        opener.format = Some(driver(format)?.format);
        opener.resolver = Arc::new(WithinDirectory::of_image(path)?);
        Self::of(&opener.open(path)?)
    }
}

/// Returns blocks of 64 KiB, in turn incompressible and zero, except for the first 512 bytes: an empty partition table.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        if (bytes.len() >> 16) % 3 == 2 {
            bytes.push(0);
            continue;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes[..512].fill(0);
    bytes[446..454].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0]);
    bytes[454..458].copy_from_slice(&1_u32.to_le_bytes());
    bytes[458..462].copy_from_slice(&100_u32.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

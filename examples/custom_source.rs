//! Opens an image through a custom source.
//!
//!     cargo run --release --example custom_source -- disk.qcow2
//!
//! This source counts the reads of the file below it. A source can also fetch ranges from an object store or decrypt
//! sectors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskimg::{BlockSource, FileSource, Opener, Result};

/// A source that counts reads of the one below it.
struct Counted<S> {
    below: S,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl<S: BlockSource> BlockSource for Counted<S> {
    fn size(&self) -> u64 {
        self.below.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.below.read_at(offset, buf)
    }
}

fn main() -> Result<()> {
    for path in std::env::args_os().skip(1) {
        let file = FileSource::open(&path)?;
        let counted = Arc::new(Counted { below: file, reads: AtomicU64::new(0), bytes: AtomicU64::new(0) });
        let disk = Opener::new().open_source(counted.clone())?;
        let mut first = vec![0; usize::try_from(disk.size().min(512)).unwrap_or(512)];
        disk.read_at(0, &mut first)?;
        println!(
            "{}: {} bytes of disk; its first sector took {} reads and {} bytes",
            path.to_string_lossy(),
            disk.size(),
            counted.reads.load(Ordering::Relaxed),
            counted.bytes.load(Ordering::Relaxed),
        );
    }
    Ok(())
}

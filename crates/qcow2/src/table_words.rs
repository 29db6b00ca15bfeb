//! L1 and L2 tables, read in pages and kept under the metadata budget.

use std::sync::Arc;

use byteorder::{BigEndian, ByteOrder};
use diskimg_core::{BlockSource, Limits, MetadataCache, Result};

use crate::addr::{Geometry, HostOffset};

/// The smallest and largest page in bytes. Bounds of ours: a page is read where one entry is wanted, so it
/// should cost no more than one I/O does anyway, and still hold the entries of a long sequential read
/// (16 KiB map 128 MiB at 64 KiB clusters).
const PAGE_BYTES: (u64, u64) = (4096, 16_384);

/// The image's file, seen as big-endian words of 64 bits.
///
/// Pages lie at multiples of their size, whatever table they belong to: a table that is used twice, or an L1
/// table of a snapshot, is still one page here.
pub(crate) struct TableWords {
    source: Arc<dyn BlockSource>,
    cache: MetadataCache<[u64]>,
    page_bytes: u64,
}

/// A page and the place in it that was asked for.
pub(crate) struct WordPage {
    words: Arc<[u64]>,
    first: usize,
}

impl WordPage {
    /// The word `index` words behind the one asked for; `None` past the end of the page or of the file.
    pub(crate) fn word(&self, index: usize) -> Option<u64> {
        self.words.get(self.first.checked_add(index)?).copied()
    }

    /// Words from the one asked for to the end of the page or of the file.
    pub(crate) fn left(&self) -> usize {
        self.words.len().saturating_sub(self.first)
    }
}

impl TableWords {
    pub(crate) fn new(source: Arc<dyn BlockSource>, geometry: Geometry, limits: &Limits) -> Self {
        Self {
            source,
            cache: MetadataCache::new(limits.metadata_cache),
            page_bytes: geometry.cluster_size().clamp(PAGE_BYTES.0, PAGE_BYTES.1),
        }
    }

    /// Bytes of the file.
    pub(crate) fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// The page with the word at `at`, a multiple of 8.
    pub(crate) fn page(&self, at: HostOffset) -> Result<WordPage> {
        let start = at.0 & !(self.page_bytes.saturating_sub(1));
        let words = self.cache.get_or_load(start, || self.load(start))?;
        let first = usize::try_from(at.0.saturating_sub(start) / 8).unwrap_or(usize::MAX);
        Ok(WordPage { words, first })
    }

    fn load(&self, start: u64) -> Result<Arc<[u64]>> {
        // Whole words only: the odd bytes at the end of a file are no entry.
        let words = self.page_bytes.min(self.file_size().saturating_sub(start)) / 8;
        let words = usize::try_from(words).unwrap_or_default();
        let mut bytes = vec![0; words.saturating_mul(8)];
        self.source.read_at(start, &mut bytes)?;
        let mut page = vec![0; words];
        BigEndian::read_u64_into(&bytes, &mut page);
        Ok(page.into())
    }
}

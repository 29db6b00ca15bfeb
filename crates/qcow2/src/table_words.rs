//! L1 and L2 tables, read in pages and cached within the metadata budget.

use std::sync::Arc;

use byteorder::{BigEndian, ByteOrder};
use diskimg_core::{BlockSource, MetadataCache, Result, range};

use crate::addr::{Geometry, HostOffset};

/// The smallest and the largest page in bytes. Our limits: a read of one entry loads a page, so a page should
/// cost no more than a single I/O, and still contain the entries of a long sequential read (16 KiB map 128 MiB
/// at 64 KiB clusters).
const PAGE_BYTES: (u64, u64) = (4096, 16_384);

/// The image file as big-endian words of 64 bits.
///
/// Pages start at multiples of their size, whatever table they belong to, so a table that several snapshots
/// share is cached once.
pub(crate) struct TableWords {
    source: Arc<dyn BlockSource>,
    cache: MetadataCache<[u64]>,
    page_bytes: u64,
}

/// A page, and the index of the requested word in it.
pub(crate) struct WordPage {
    words: Arc<[u64]>,
    first: usize,
}

impl WordPage {
    /// Returns the word `index` words after the requested one; `None` past the end of the page or of the file.
    pub(crate) fn word(&self, index: usize) -> Option<u64> {
        self.words.get(self.first.checked_add(index)?).copied()
    }

    /// The number of words from the requested one to the end of the page or of the file.
    pub(crate) fn left(&self) -> usize {
        self.words.get(self.first..).map_or(0, <[u64]>::len)
    }
}

impl TableWords {
    pub(crate) fn new(source: Arc<dyn BlockSource>, geometry: Geometry, cache: MetadataCache<[u64]>) -> Self {
        Self { source, cache, page_bytes: geometry.cluster_size().clamp(PAGE_BYTES.0, PAGE_BYTES.1) }
    }

    /// The size of the file in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// Returns the page that contains the word at `at`, a multiple of 8.
    pub(crate) fn page(&self, at: HostOffset) -> Result<WordPage> {
        let start = at.0 & !(self.page_bytes - 1);
        let words = self.cache.get_or_load(start, || self.load(start))?;
        let first = usize::try_from((at.0 - start) / 8).unwrap_or(usize::MAX);
        Ok(WordPage { words, first })
    }

    fn load(&self, start: u64) -> Result<Arc<[u64]>> {
        // The last bytes of a file whose size is not a multiple of 8 are not an entry.
        let words = self.page_bytes.min(range::len(&(start..self.file_size()))) / 8;
        let words = usize::try_from(words).unwrap_or_default();
        let mut bytes = vec![0; words * 8];
        self.source.read_at(start, &mut bytes)?;
        let mut page = vec![0; words];
        BigEndian::read_u64_into(&bytes, &mut page);
        Ok(page.into())
    }
}

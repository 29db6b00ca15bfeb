//! Grain directories and grain tables, read in pages and kept under the metadata budget.

use std::sync::Arc;

use diskimg_core::{BlockSource, MetadataCache, Result};

/// log2 of the smallest page in bytes: what one I/O costs anyway.
const MIN_PAGE_BITS: u32 = 12;
/// Bytes of a page of an extent whose tables lie side by side. A bound of ours: it maps 256 MiB of grains of
/// 64 KiB.
const LONG_PAGE: u64 = 16_384;
/// Bytes of a page where tables stand alone between compressed grains.
const SHORT_PAGE: u64 = 1 << MIN_PAGE_BITS;

/// Pages of all the files of an image.
pub(crate) type Pages = Arc<MetadataCache<[u8]>>;

/// One file of an image, seen as little-endian entries of 4 or 8 bytes.
///
/// Pages lie at multiples of their size, whatever table they belong to.
pub(crate) struct Tables {
    pub(crate) source: Arc<dyn BlockSource>,
    pages: Pages,
    /// The number of the file in the image, below 4096: pages of all files share one cache.
    file: u64,
    entry_bytes: u64,
    page_bytes: u64,
}

/// A page and the place in it that was asked for.
pub(crate) struct Page {
    bytes: Arc<[u8]>,
    first: usize,
    entry_bytes: usize,
}

impl Page {
    /// The entry `index` entries behind the one asked for; `None` past the end of the page or of the file.
    pub(crate) fn entry(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(self.entry_bytes)?.checked_add(self.first)?;
        let rest = self.bytes.get(at..)?;
        match self.entry_bytes {
            4 => rest.first_chunk().map(|word| u32::from_le_bytes(*word).into()),
            _ => rest.first_chunk().map(|word| u64::from_le_bytes(*word)),
        }
    }

    /// Whole entries from the one asked for to the end of the page or of the file.
    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len().saturating_sub(self.first) / self.entry_bytes.max(1)) as u64
    }
}

impl Tables {
    /// The entries of file number `file`, of `entry_bytes` bytes, 4 or 8. `scattered` tables stand alone
    /// between other data.
    pub(crate) fn new(
        source: Arc<dyn BlockSource>,
        pages: Pages,
        file: u64,
        entry_bytes: u64,
        scattered: bool,
    ) -> Self {
        let page_bytes = if scattered { SHORT_PAGE } else { LONG_PAGE };
        Self { source, pages, file, entry_bytes, page_bytes }
    }

    /// Bytes of an entry.
    pub(crate) const fn entry_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// Bytes of the file.
    pub(crate) fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// The page with the entry at byte `at`, a multiple of the entry's length.
    pub(crate) fn page(&self, at: u64) -> Result<Page> {
        let start = at & !(self.page_bytes.saturating_sub(1));
        let key = self.file << (63 - MIN_PAGE_BITS) | start >> MIN_PAGE_BITS;
        let bytes = self.pages.get_or_load(key, || self.load(start))?;
        let first = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        let entry_bytes = usize::try_from(self.entry_bytes).unwrap_or(usize::MAX);
        Ok(Page { bytes, first, entry_bytes })
    }

    fn load(&self, start: u64) -> Result<Arc<[u8]>> {
        let len = self.page_bytes.min(self.file_size().saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.source.read_at(start, &mut bytes)?;
        Ok(bytes.into())
    }
}

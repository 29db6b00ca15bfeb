//! Grain directories and grain tables, read in pages and cached under the metadata budget.

use std::ops::ControlFlow;
use std::sync::Arc;

use diskimg_core::{BlockSource, HostOffset, MetadataCache, Result};

use crate::entry_format::EntryFormat;

/// log2 of the smallest page in bytes: no I/O is cheaper than 4 KiB.
const MIN_PAGE_BITS: u32 = 12;
/// Bytes of a page of an extent whose tables are contiguous. Our choice: it maps 256 MiB in grains of 64 KiB.
const LONG_PAGE: u64 = 16_384;
/// Bytes of a page where single tables are spread between compressed grains.
const SHORT_PAGE: u64 = 1 << MIN_PAGE_BITS;

/// The cached pages of all files of an image.
pub(crate) type PageCache = Arc<MetadataCache<[u8]>>;

/// One file of an image, seen as little-endian entries of 4 or 8 bytes.
///
/// Pages begin at multiples of their size, whatever table they belong to.
pub(crate) struct TableFile {
    source: Arc<dyn BlockSource>,
    pages: PageCache,
    /// The number of the file in the image, below 4096. It is part of the key in the shared cache.
    number: u64,
    entry_bytes: u64,
    page_bytes: u64,
}

/// A page, seen from the entry that was requested.
pub(crate) struct EntryPage {
    bytes: Arc<[u8]>,
    first: usize,
    entry_bytes: usize,
}

/// An entry of a directory or table.
#[derive(Clone, Copy)]
pub(crate) struct TableEntry {
    /// Its index in the directory or table.
    pub(crate) index: u64,
    /// Its place in the file.
    pub(crate) at: HostOffset,
    pub(crate) value: u64,
}

impl EntryPage {
    /// The entry `index` entries after the requested one; `None` past the end of the page or of the file.
    pub(crate) fn entry(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(self.entry_bytes)?.checked_add(self.first)?;
        let rest = self.bytes.get(at..)?;
        match self.entry_bytes {
            4 => rest.first_chunk().map(|word| u32::from_le_bytes(*word).into()),
            _ => rest.first_chunk().map(|word| u64::from_le_bytes(*word)),
        }
    }

    /// Whole entries from the requested one to the end of the page or of the file.
    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len().saturating_sub(self.first) / self.entry_bytes.max(1)) as u64
    }
}

impl TableFile {
    /// The entries of file `number`. Tables between compressed grains are read in short pages.
    pub(crate) fn new(
        source: Arc<dyn BlockSource>,
        pages: PageCache,
        number: u64,
        format: EntryFormat,
    ) -> Self {
        let page_bytes = if format.is_compressed() { SHORT_PAGE } else { LONG_PAGE };
        Self { source, pages, number, entry_bytes: format.entry_bytes(), page_bytes }
    }

    /// The file.
    pub(crate) fn source(&self) -> &dyn BlockSource {
        self.source.as_ref()
    }

    /// Bytes of an entry.
    pub(crate) const fn entry_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// The offset of entry `index` of a directory or table.
    pub(crate) const fn entry_at(&self, start: HostOffset, index: u64) -> HostOffset {
        start.plus(index.saturating_mul(self.entry_bytes))
    }

    /// The page with the entry at `at`, a multiple of the entry size.
    pub(crate) fn page(&self, at: HostOffset) -> Result<EntryPage> {
        let start = HostOffset(at.0 & !(self.page_bytes.saturating_sub(1)));
        let key = self.number << (63 - MIN_PAGE_BITS) | start.0 >> MIN_PAGE_BITS;
        let bytes = self.pages.get_or_load(key, || self.load(start))?;
        let first = usize::try_from(at.since(start)).unwrap_or(usize::MAX);
        let entry_bytes = usize::try_from(self.entry_bytes).unwrap_or(usize::MAX);
        Ok(EntryPage { bytes, first, entry_bytes })
    }

    /// Calls `visit` with each of `count` entries from `start` on that is not 0, until it breaks.
    ///
    /// Returns the number of entries before the end of the file, at most `count`.
    ///
    /// # Errors
    /// Errors of the file and of `visit`.
    pub(crate) fn scan(
        &self,
        start: HostOffset,
        count: u64,
        mut visit: impl FnMut(TableEntry) -> Result<ControlFlow<()>>,
    ) -> Result<u64> {
        let mut first = 0;
        while first < count {
            let page = self.page(self.entry_at(start, first))?;
            let here = page.left().min(count.saturating_sub(first));
            if here == 0 {
                return Ok(first);
            }
            let next = first.saturating_add(here);
            for (index, in_page) in (first..next).zip(0_usize..) {
                let value = page.entry(in_page).unwrap_or_default();
                let entry = TableEntry { index, at: self.entry_at(start, index), value };
                if value != 0 && visit(entry)?.is_break() {
                    return Ok(count);
                }
            }
            first = next;
        }
        Ok(count)
    }

    fn load(&self, start: HostOffset) -> Result<Arc<[u8]>> {
        let len = self.page_bytes.min(self.source.size().saturating_sub(start.0));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.source.read_at(start.0, &mut bytes)?;
        Ok(bytes.into())
    }
}

//! The walk from a guest offset over the L1 and L2 tables to the content at that offset.

use std::sync::Arc;

use diskimg_codec::units::CompressedUnit;
use diskimg_core::{BlockSource, Error, MetadataCache, Result, ensure, range};

use crate::addr::{Geometry, GuestOffset, HostOffset, span};
use crate::compressed::CompressedRange;
use crate::errors::{corrupt, past_end};
use crate::first_cluster::FirstCluster;
use crate::l1;
use crate::l2::{ClusterDescriptor, L2Rules};
use crate::metadata_area::{MetadataArea, check_free};
use crate::selected_l1::SelectedL1;
use crate::subcluster::Subcluster;
use crate::table_words::{TableWords, WordPage};

/// The active tables of an image, or those of a snapshot.
pub(crate) struct Lookup {
    tables: TableWords,
    rules: L2Rules,
    /// The place of the L1 table, which has an entry for every byte of the disk.
    l1_table: HostOffset,
    /// The size in bytes of the file with the data clusters.
    data_size: u64,
    reserved: Vec<MetadataArea>,
}

/// The content of a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunContent {
    /// Not stored; space may be allocated for it at this offset.
    Unallocated(Option<HostOffset>),
    /// Zeros; space may be allocated for them at this offset, which need not be inside the file.
    Zero(Option<HostOffset>),
    /// Stored verbatim, the first byte at this offset. All of it is inside the file.
    Data(HostOffset),
    /// Stored in compressed clusters.
    Compressed,
}

impl RunContent {
    /// Returns true if `next`, which starts `len` bytes after the start of `self`, continues the run.
    fn is_continued_by(self, len: u64, next: Self) -> bool {
        let adjoin = |a: HostOffset, b: HostOffset| a.0.checked_add(len) == Some(b.0);
        match (self, next) {
            (Self::Data(a), Self::Data(b))
            | (Self::Zero(Some(a)), Self::Zero(Some(b)))
            | (Self::Unallocated(Some(a)), Self::Unallocated(Some(b))) => adjoin(a, b),
            (a, b) => a == b,
        }
    }
}

/// The guest bytes that one page of a table maps.
pub(crate) struct Mapping<'a> {
    lookup: &'a Lookup,
    /// `None` if nothing is allocated.
    entries: Option<L2Entries>,
    /// The start of the first cluster.
    start: GuestOffset,
    end: GuestOffset,
}

/// The L2 entries from that of the first cluster to the end of their page.
struct L2Entries {
    page: WordPage,
    at: HostOffset,
}

impl Lookup {
    /// The tables in `source` that `selected` maps the disk by. The data clusters are in a file of `data_size` bytes.
    pub(crate) fn new(
        source: Arc<dyn BlockSource>,
        parsed: &FirstCluster,
        selected: &SelectedL1,
        data_size: u64,
        cache: MetadataCache<[u64]>,
    ) -> Self {
        let header = &parsed.header;
        Self {
            tables: TableWords::new(source, header.geometry, cache),
            rules: L2Rules::new(header, parsed.data_file.is_some()),
            l1_table: selected.offset,
            data_size,
            reserved: selected.reserved(header),
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// Returns the mapping of `guest` and of the bytes after it, at most up to `end`.
    pub(crate) fn mapping(&self, guest: GuestOffset, end: GuestOffset) -> Result<Mapping<'_>> {
        let geometry = self.geometry();
        let index = geometry.l1_index(guest);
        let l1_at = self.l1_table.plus(index * 8);
        let l1 = self.tables.page(l1_at)?;
        let entry = l1.word(0).ok_or_else(|| self.past_end("L1 table", l1_at, guest))?;
        let l2 = l1::decode(entry, geometry).map_err(|error| error.at(l1_at.0).guest(guest.0))?;
        let Some(l2) = l2 else {
            let start = |index: u64| GuestOffset(index.saturating_mul(geometry.l1_span()));
            let is_zero = |next: &usize| start(index + *next as u64) < end && l1.word(*next) == Some(0);
            let zeros = (1..).take_while(is_zero).count() as u64;
            let end = start(index + 1 + zeros).min(end);
            return Ok(Mapping { lookup: self, entries: None, start: guest, end });
        };
        self.check_l2_table(l2, l1_at, guest)?;
        let first = geometry.l2_index(guest);
        let at = l2.plus(first * geometry.l2_entry_bytes());
        let page = self.tables.page(at)?;
        let in_page = page.left() as u64 * 8 / geometry.l2_entry_bytes();
        let in_table = geometry.l2_entries() - first;
        ensure(in_page != 0, || self.past_end("L2 table", at, guest))?;
        let start = geometry.cluster_start(guest);
        let mapped = in_page.min(in_table) * geometry.cluster_size();
        let end = start.plus(mapped).min(end);
        Ok(Mapping { lookup: self, entries: Some(L2Entries { page, at }), start, end })
    }

    fn check_l2_table(&self, l2: HostOffset, l1_at: HostOffset, guest: GuestOffset) -> Result<()> {
        check_free(&self.reserved, &span(l2, self.geometry().cluster_size()), || {
            let found = format!("an L2 table at {:#x}", l2.0);
            corrupt("L1 entry").at(l1_at.0).guest(guest.0).found(found)
        })?;
        ensure(l2.0 < self.tables.file_size(), || self.past_end("L2 table", l2, guest))
    }

    fn past_end(&self, field: &str, at: HostOffset, guest: GuestOffset) -> Error {
        past_end(field, at, guest, self.tables.file_size())
    }

    /// Returns the content of `len` guest bytes that are `skip` bytes into the host cluster at `host`: data up to
    /// the end of the file, and zeros in the rest of a cluster in which the file ends, as in QEMU.
    fn data(&self, host: HostOffset, skip: u64, len: u64, guest: GuestOffset) -> Result<(RunContent, u64)> {
        if !self.rules.data_file {
            let cluster = span(host, self.geometry().cluster_size());
            check_free(&self.reserved, &cluster, || corrupt("data cluster").at(host.0).guest(guest.0))?;
        }
        match self.data_size.saturating_sub(host.0) {
            0 => Err(past_end("data cluster", host, guest, self.data_size)),
            in_file if skip < in_file => Ok((RunContent::Data(host.plus(skip)), len.min(in_file - skip))),
            _ => Ok((RunContent::Zero(None), len)),
        }
    }

    fn check_compressed(&self, range: CompressedRange, guest: GuestOffset) -> Result<()> {
        let host = range.in_file(self.data_size);
        ensure(!host.is_empty(), || past_end("compressed cluster", range.offset, guest, self.data_size))?;
        check_free(&self.reserved, &(HostOffset(host.start)..HostOffset(host.end)), || {
            corrupt("compressed cluster").at(range.offset.0).guest(guest.0)
        })
    }
}

impl Mapping<'_> {
    /// The guest offset at which the mapping ends.
    pub(crate) fn end(&self) -> GuestOffset {
        self.end
    }

    /// Returns the content from `guest` on and its length: at least one byte, and not past `end` or the mapping.
    ///
    /// # Errors
    /// If the cluster of `guest` is damaged. A damaged cluster after it only ends the run.
    pub(crate) fn run(&self, guest: GuestOffset, end: GuestOffset) -> Result<(RunContent, u64)> {
        let most = self.end.min(end).since(guest);
        if self.entries.is_none() {
            return Ok((RunContent::Unallocated(None), most));
        }
        let (content, mut len) = self.run_in_cluster(guest)?;
        while len < most {
            match self.run_in_cluster(guest.plus(len)) {
                Ok((next, more)) if content.is_continued_by(len, next) => len += more,
                _ => break,
            }
        }
        Ok((content, len.min(most)))
    }

    /// Returns the bytes of the compressed cluster at `guest`, clipped at the end of the file; not empty.
    ///
    /// # Errors
    /// If the cluster is not compressed, or damaged.
    pub(crate) fn compressed(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        match self.descriptor(guest)? {
            ClusterDescriptor::Compressed(range) => {
                self.lookup.check_compressed(range, guest)?;
                let host = range.in_file(self.lookup.data_size);
                let truncated = host.end < range.offset.plus(range.bytes).0;
                Ok(CompressedUnit { host, truncated })
            }
            _ => Err(corrupt("L2 entry").guest(guest.0).expected("a compressed cluster")),
        }
    }

    /// Returns the content from `guest` to the end of its cluster, or of the subclusters of the same kind.
    fn run_in_cluster(&self, guest: GuestOffset) -> Result<(RunContent, u64)> {
        let geometry = self.lookup.geometry();
        let skip = geometry.in_cluster(guest.0);
        let rest = geometry.rest_of_cluster(guest.0);
        let allocated = |cluster: Option<HostOffset>| cluster.map(|host| host.plus(skip));
        match self.descriptor(guest)? {
            ClusterDescriptor::Unallocated(host) => Ok((RunContent::Unallocated(allocated(host)), rest)),
            ClusterDescriptor::Zero(host) => Ok((RunContent::Zero(allocated(host)), rest)),
            ClusterDescriptor::Data(host) => self.lookup.data(host, skip, rest, guest),
            ClusterDescriptor::Compressed(range) => {
                self.lookup.check_compressed(range, guest)?;
                Ok((RunContent::Compressed, rest))
            }
            ClusterDescriptor::Mixed(map) => {
                let bits = geometry.subcluster_bits();
                // Below 32, because `skip` is inside the cluster.
                let index = u32::try_from(skip >> bits).unwrap_or_default();
                let (kind, same) = map.run(index);
                let len = range::len(&(skip..u64::from(index + same) << bits));
                match kind {
                    Subcluster::Unallocated => {
                        Ok((RunContent::Unallocated(allocated(map.host_cluster)), len))
                    }
                    Subcluster::Zero => Ok((RunContent::Zero(allocated(map.host_cluster)), len)),
                    Subcluster::Data => self.lookup.data(map.host(), skip, len, guest),
                }
            }
        }
    }

    /// Returns the decoded L2 entry of `guest`.
    fn descriptor(&self, guest: GuestOffset) -> Result<ClusterDescriptor> {
        let Some(entries) = &self.entries else { return Ok(ClusterDescriptor::Unallocated(None)) };
        let geometry = self.lookup.geometry();
        let index = guest.since(self.start) >> geometry.cluster_bits();
        let at = entries.at.plus(index * geometry.l2_entry_bytes());
        let words = geometry.l2_entry_bytes() / 8;
        let word = |offset: u64| {
            let index = index * words + offset;
            entries
                .page
                .word(usize::try_from(index).unwrap_or(usize::MAX))
                .ok_or_else(|| self.lookup.past_end("L2 table", at, guest))
        };
        let bitmap = if geometry.extended_l2() { word(1)? } else { 0 };
        self.lookup.rules.decode(word(0)?, bitmap).map_err(|error| error.at(at.0).guest(guest.0))
    }
}

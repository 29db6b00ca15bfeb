//! From a guest offset to what is stored there: the walk over L1 and L2 table.

use std::ops::Range;

use diskimg_codec::units::CompressedUnit;
use diskimg_core::{Error, Result};

use crate::addr::{Geometry, GuestOffset, HostOffset};
use crate::compressed::CompressedRange;
use crate::errors::{corrupt, truncated};
use crate::l1;
use crate::l2::{ClusterDescriptor, L2Rules};
use crate::metadata_area::{MetadataArea, overlapped};
use crate::subcluster::Subcluster;
use crate::table_words::{TableWords, WordPage};

/// The active tables of an image, or those of a snapshot.
pub(crate) struct Lookup {
    pub(crate) tables: TableWords,
    pub(crate) rules: L2Rules,
    /// Where the L1 table is; it has an entry for every byte of the disk.
    pub(crate) l1_table: HostOffset,
    /// Bytes of the file that data clusters are in.
    pub(crate) data_size: u64,
    pub(crate) reserved: Vec<MetadataArea>,
}

/// What is stored at a run of guest bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunContent {
    /// Nothing, with room for it at this offset or none.
    Unallocated(Option<HostOffset>),
    /// Zeros, with room for them at this offset or none; nothing is read there, and it need not be in the file.
    Zero(Option<HostOffset>),
    /// Verbatim, the first byte at this offset, all of it inside the file.
    Data(HostOffset),
    /// In clusters that are compressed each by itself.
    Compressed,
}

impl RunContent {
    /// Whether `next`, `len` bytes further on, is more of the same.
    fn goes_on(self, len: u64, next: Self) -> bool {
        let goes_on = |a: HostOffset, b: HostOffset| a.0.checked_add(len) == Some(b.0);
        match (self, next) {
            (Self::Data(a), Self::Data(b))
            | (Self::Zero(Some(a)), Self::Zero(Some(b)))
            | (Self::Unallocated(Some(a)), Self::Unallocated(Some(b))) => goes_on(a, b),
            (a, b) => a == b,
        }
    }
}

/// The guest bytes that one page of a table maps.
pub(crate) struct Mapping<'a> {
    lookup: &'a Lookup,
    /// The page from the entry of the first cluster on; `None` when nothing is allocated.
    entries: Option<L2Entries>,
    /// The first cluster.
    start: GuestOffset,
    end: u64,
}

struct L2Entries {
    page: WordPage,
    at: HostOffset,
}

impl Lookup {
    fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// What maps `guest` and the bytes behind it, up to `end` at most.
    pub(crate) fn mapping(&self, guest: GuestOffset, end: u64) -> Result<Mapping<'_>> {
        let geometry = self.geometry();
        let index = geometry.l1_index(guest);
        let l1_at = self.l1_table.plus(index.saturating_mul(8));
        let l1 = self.tables.page(l1_at)?;
        let entry = l1.word(0).ok_or_else(|| self.cut("L1 table", l1_at, guest))?;
        let l2 = l1::decode(entry, geometry).map_err(|error| error.at(l1_at.0).guest(guest.0))?;
        let Some(l2) = l2 else {
            let zeros = (1..).take_while(|next| {
                index.saturating_add(*next as u64).saturating_mul(geometry.l1_span()) < end
                    && l1.word(*next) == Some(0)
            });
            let entries = index.saturating_add(1).saturating_add(zeros.count() as u64);
            let end = entries.saturating_mul(geometry.l1_span()).min(end);
            return Ok(Mapping { lookup: self, entries: None, start: guest, end });
        };
        self.check_l2_table(l2, l1_at, guest)?;
        let first = geometry.l2_index(guest);
        let at = l2.plus(first.saturating_mul(geometry.l2_entry_bytes()));
        let page = self.tables.page(at)?;
        let in_page = (page.left() as u64).saturating_mul(8) / geometry.l2_entry_bytes();
        let in_table = geometry.l2_entries().saturating_sub(first);
        if in_page == 0 {
            return Err(self.cut("L2 table", at, guest));
        }
        let start = geometry.cluster_start(guest);
        let mapped = in_page.min(in_table).saturating_mul(geometry.cluster_size());
        let end = start.0.saturating_add(mapped).min(end);
        Ok(Mapping { lookup: self, entries: Some(L2Entries { page, at }), start, end })
    }

    fn check_l2_table(&self, l2: HostOffset, l1_at: HostOffset, guest: GuestOffset) -> Result<()> {
        let cluster = self.geometry().cluster_size();
        if let Some(what) = self.overlapped(&(l2.0..l2.plus(cluster).0)) {
            return Err(corrupt("L1 entry")
                .at(l1_at.0)
                .guest(guest.0)
                .found(format_args!("an L2 table at {:#x}", l2.0))
                .expected(format_args!("no overlap with the {what}")));
        }
        if l2.0 >= self.tables.file_size() {
            return Err(self.cut("L2 table", l2, guest));
        }
        Ok(())
    }

    fn overlapped(&self, range: &Range<u64>) -> Option<&'static str> {
        overlapped(&self.reserved, range)
    }

    fn cut(&self, what: &str, at: HostOffset, guest: GuestOffset) -> Error {
        past_end(what, at, guest, self.tables.file_size())
    }

    /// `len` guest bytes that lie `from` bytes into the host cluster at `host`: data up to the end of the
    /// file, and zeros for the rest of a cluster that the file's end cuts, as QEMU has it.
    fn data(&self, host: HostOffset, from: u64, len: u64, guest: GuestOffset) -> Result<(RunContent, u64)> {
        let cluster = self.geometry().cluster_size();
        if !self.rules.data_file
            && let Some(what) = self.overlapped(&(host.0..host.plus(cluster).0))
        {
            return Err(corrupt("data cluster")
                .at(host.0)
                .guest(guest.0)
                .expected(format_args!("no overlap with the {what}")));
        }
        match self.data_size.checked_sub(host.0) {
            None | Some(0) => Err(past_end("data cluster", host, guest, self.data_size)),
            Some(held) if from < held => {
                Ok((RunContent::Data(host.plus(from)), len.min(held.saturating_sub(from))))
            }
            Some(_) => Ok((RunContent::Zero(None), len)),
        }
    }

    fn check_compressed(&self, range: CompressedRange, guest: GuestOffset) -> Result<()> {
        let host = range.in_file(self.data_size);
        if host.is_empty() {
            return Err(past_end("compressed cluster", range.offset, guest, self.data_size));
        }
        match self.overlapped(&host) {
            None => Ok(()),
            Some(what) => Err(corrupt("compressed cluster")
                .at(range.offset.0)
                .guest(guest.0)
                .expected(format_args!("no overlap with the {what}"))),
        }
    }
}

fn past_end(what: &str, at: HostOffset, guest: GuestOffset, size: u64) -> Error {
    truncated(what).at(at.0).guest(guest.0).because(format_args!("the file ends at byte {size}"))
}

impl Mapping<'_> {
    /// The guest offset up to which this mapping answers.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What is stored from `guest` on, and for how many bytes: at least one, none past `end` or the mapping.
    ///
    /// # Errors
    /// When the cluster of `guest` is damaged; a damaged one behind it only ends the run.
    pub(crate) fn run(&self, guest: GuestOffset, end: u64) -> Result<(RunContent, u64)> {
        let most = self.end.min(end).saturating_sub(guest.0);
        if self.entries.is_none() {
            return Ok((RunContent::Unallocated(None), most));
        }
        let (stored, mut len) = self.piece(guest)?;
        while len < most {
            match self.piece(GuestOffset(guest.0.saturating_add(len))) {
                Ok((next, more)) if stored.goes_on(len, next) => len = len.saturating_add(more),
                _ => break,
            }
        }
        Ok((stored, len.min(most)))
    }

    /// The compressed bytes of the cluster at `guest`, cut at the end of the file; not empty.
    ///
    /// # Errors
    /// When it is not a compressed cluster, or a damaged one.
    pub(crate) fn compressed(&self, guest: GuestOffset) -> Result<CompressedUnit> {
        match self.cluster(guest)? {
            ClusterDescriptor::Compressed(range) => {
                self.lookup.check_compressed(range, guest)?;
                let host = range.in_file(self.lookup.data_size);
                let truncated = host.end < range.offset.plus(range.bytes).0;
                Ok(CompressedUnit { host, truncated })
            }
            _ => Err(corrupt("L2 entry").guest(guest.0).expected("a compressed cluster")),
        }
    }

    /// What is stored from `guest` to the end of its cluster, or of the subclusters that are alike.
    fn piece(&self, guest: GuestOffset) -> Result<(RunContent, u64)> {
        let geometry = self.lookup.geometry();
        let from = geometry.in_cluster(guest.0);
        let rest = geometry.cluster_size().saturating_sub(from);
        let room = |place: Option<HostOffset>| place.map(|host| host.plus(from));
        match self.cluster(guest)? {
            ClusterDescriptor::Unallocated(place) => Ok((RunContent::Unallocated(room(place)), rest)),
            ClusterDescriptor::Zero(place) => Ok((RunContent::Zero(room(place)), rest)),
            ClusterDescriptor::Data(host) => self.lookup.data(host, from, rest, guest),
            ClusterDescriptor::Compressed(range) => {
                self.lookup.check_compressed(range, guest)?;
                Ok((RunContent::Compressed, rest))
            }
            ClusterDescriptor::Mixed(map) => {
                let bits = geometry.subcluster_bits();
                // Below 32, for `from` is inside the cluster.
                let index = u32::try_from(from >> bits).unwrap_or_default();
                let (kind, same) = map.run(index);
                let end = u64::from(index.saturating_add(same)) << bits;
                let len = end.saturating_sub(from);
                match kind {
                    Subcluster::Unallocated => Ok((RunContent::Unallocated(room(map.place)), len)),
                    Subcluster::Zero => Ok((RunContent::Zero(room(map.place)), len)),
                    Subcluster::Data => self.lookup.data(map.host(), from, len, guest),
                }
            }
        }
    }

    fn cluster(&self, guest: GuestOffset) -> Result<ClusterDescriptor> {
        let Some(entries) = &self.entries else { return Ok(ClusterDescriptor::Unallocated(None)) };
        let geometry = self.lookup.geometry();
        let index = guest.0.saturating_sub(self.start.0) >> geometry.cluster_bits();
        let at = entries.at.plus(index.saturating_mul(geometry.l2_entry_bytes()));
        let words = geometry.l2_entry_bytes() / 8;
        let word = |offset: u64| {
            let index = index.saturating_mul(words).saturating_add(offset);
            entries
                .page
                .word(usize::try_from(index).unwrap_or(usize::MAX))
                .ok_or_else(|| self.lookup.cut("L2 table", at, guest))
        };
        let bitmap = if geometry.extended_l2() { word(1)? } else { 0 };
        self.lookup.rules.decode(word(0)?, bitmap).map_err(|error| error.at(at.0).guest(guest.0))
    }
}

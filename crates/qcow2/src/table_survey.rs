//! Comparing the tables of an image with the length of its file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use diskimg_core::{
    BlockSource, Budget, Error, ErrorKind, Finding, ImageInfo, Limits, Result, chunks, range,
};

use crate::addr::{Geometry, GuestOffset, HostOffset};
use crate::errors::past_end;
use crate::features;
use crate::file_window::FileWindow;
use crate::first_cluster::FirstCluster;
use crate::l1;
use crate::l2::{ClusterDescriptor, L2Rules};
use crate::selected_l1::SelectedL1;
use crate::short_cluster::ShortCluster;

/// The bytes of an L1 table that are read at a time. Our limit.
const L1_STEP: u64 = 65_536;
/// The unit in bytes of the compressed size in an L2 entry: the data ends anywhere in the last sector.
const SECTOR: u64 = 512;

/// The tables of a disk, to be compared with the lengths of its files.
pub(crate) struct TableSurvey<'a> {
    pub(crate) source: &'a dyn BlockSource,
    pub(crate) rules: L2Rules,
    /// The L1 entries that map the disk.
    pub(crate) l1: Range<HostOffset>,
    /// The size of the disk in bytes.
    pub(crate) disk_size: u64,
    /// The size in bytes of the file with the data clusters; `None` for an external one that is not open.
    pub(crate) data_size: Option<u64>,
    /// The number of bytes of L2 tables that may be read.
    pub(crate) table_bytes: u64,
}

/// The L2 tables of a disk, by descending offset. The last cluster of a file was usually allocated last, together with
/// its table.
struct ListedTables {
    /// The offsets of the tables and the indices of their L1 entries.
    listed: Vec<(HostOffset, u64)>,
    /// The first table past the end of the file.
    past_end: Option<(HostOffset, u64)>,
    /// True if there are more tables than may be read.
    is_clipped: bool,
    /// The error of the first invalid L1 entry.
    invalid: Option<Error>,
}

/// The findings of a survey.
struct Surveyed {
    /// The data cluster in which the file ends.
    short: Option<Finding>,
    /// The first table or cluster past the end of the file, or the limit that ended the survey.
    missing: Option<Finding>,
    /// The first invalid entry.
    invalid: Option<Finding>,
}

impl TableSurvey<'_> {
    /// Returns the data cluster in which the file ends, if bytes of the disk are missing in it. Reads tables only if the
    /// file ends inside a cluster, and only until the owner of that cluster is found.
    pub(crate) fn short_cluster(&self) -> Option<Finding> {
        let size = self.ends_inside_cluster()?;
        // A read of a table that cannot be read is an error later.
        let tables = self.l2_tables().ok()?;
        if self.is_table_in_last_cluster(&tables, size) {
            return None;
        }
        self.visited(&tables, false).short
    }

    /// Returns a finding for the first table or cluster past the end of the file, one for a data cluster in which it ends,
    /// and one for the first invalid entry.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let tables = match self.l2_tables() {
            Ok(tables) => tables,
            Err(error) => return vec![finding(&error)],
        };
        let Surveyed { short, missing, invalid } = self.visited(&tables, true);
        short.into_iter().chain(missing).chain(invalid).collect()
    }

    /// Searches the clusters that `tables` map for the one in which the file ends and, if `compares` is true, for the
    /// first one past the end and the first invalid entry. Each table is read once.
    fn visited(&self, tables: &ListedTables, compares: bool) -> Surveyed {
        // The size of a file that ends inside a cluster whose owner is not found yet.
        let mut sought =
            self.ends_inside_cluster().filter(|size| !self.is_table_in_last_cluster(tables, *size));
        let (mut short, mut missing, mut invalid) = (None, None, None);
        invalid.clone_from(&tables.invalid);
        let visited = self.visit(tables, &mut |guest, cluster| {
            match cluster {
                Err(error) if missing.is_none() => drop(invalid.get_or_insert(error)),
                Err(_) => {}
                Ok(cluster) => {
                    if let Some(size) = sought.filter(|size| self.is_in_last_cluster(cluster, *size)) {
                        short = ShortCluster::of(cluster, guest, self.geometry(), size, self.disk_size);
                        sought = None;
                    }
                    if compares && missing.is_none() {
                        missing = self.missing(guest, cluster);
                    }
                }
            }
            let is_done = sought.is_none() && (missing.is_some() || !compares);
            if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let is_incomplete = matches!(visited, Ok(ControlFlow::Continue(()))) && tables.is_clipped;
        let short = match sought {
            Some(size) if is_incomplete => Some(self.undecided(size)),
            _ => short.map(|short| short.finding()),
        };
        let missing = match (missing, visited) {
            (Some(error), _) | (None, Err(error)) => Some(finding(&error)),
            (None, Ok(_)) if is_incomplete => Some(Finding::note(
                "tables_not_compared",
                format!(
                    "only {} bytes of L2 tables were compared with the length of the file",
                    self.table_bytes
                ),
            )),
            (None, Ok(_)) => None,
        };
        Surveyed { short, missing, invalid: invalid.as_ref().map(finding) }
    }

    /// The size of the file with the data clusters, if it ends inside a cluster.
    fn ends_inside_cluster(&self) -> Option<u64> {
        self.data_size.filter(|size| self.geometry().in_cluster(*size) != 0)
    }

    fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// Returns true if `cluster` stores data in the host cluster in which a file of `size` bytes ends.
    fn is_in_last_cluster(&self, cluster: ClusterDescriptor, size: u64) -> bool {
        let last = HostOffset(size.saturating_sub(self.geometry().in_cluster(size)));
        match cluster {
            ClusterDescriptor::Data(host) => host == last,
            ClusterDescriptor::Mixed(map) => map.any_data() && map.host() == last,
            ClusterDescriptor::Compressed(range) => {
                range.offset < HostOffset(size) && range.offset.plus(range.bytes) > last
            }
            ClusterDescriptor::Unallocated(_) | ClusterDescriptor::Zero(_) => false,
        }
    }

    /// Returns true if the file ends inside its L1 table or its last L2 table, which hold no data.
    fn is_table_in_last_cluster(&self, tables: &ListedTables, size: u64) -> bool {
        let last = HostOffset(size.saturating_sub(self.geometry().in_cluster(size)));
        let is_l2 = tables.listed.first().is_some_and(|(table, _)| *table == last);
        !self.rules.data_file && (is_l2 || (!self.l1.is_empty() && self.l1.start == last))
    }

    fn undecided(&self, size: u64) -> Finding {
        let message = format!(
            "the file ends at byte {size}, inside a cluster; the {} bytes of L2 tables that were searched do not refer \
             to it, and bytes of the disk may be missing",
            self.table_bytes
        );
        Finding::warning("truncated_cluster", message).at(size)
    }

    /// The error for a cluster that is past the end of the file with the data clusters.
    fn missing(&self, guest: GuestOffset, cluster: ClusterDescriptor) -> Option<Error> {
        let size = self.data_size?;
        let (what, host, is_missing) = match cluster {
            ClusterDescriptor::Data(host) => ("data cluster", host, host.0 >= size),
            ClusterDescriptor::Mixed(map) if map.any_data() => {
                ("data cluster", map.host(), map.host().0 >= size)
            }
            ClusterDescriptor::Compressed(range) => {
                // Not every writer fills the last sector of the file.
                let end = range.offset.plus(range.bytes).0;
                ("compressed cluster", range.offset, end.saturating_sub(size) >= SECTOR)
            }
            _ => return None,
        };
        is_missing.then(|| past_end(what, host, guest, size))
    }

    /// Calls `visit` with each cluster of the disk that the listed L2 tables map, or the error of its entry, until it
    /// breaks.
    ///
    /// # Errors
    /// If a table is past the end of the file or cannot be read.
    fn visit(
        &self,
        tables: &ListedTables,
        visit: &mut dyn FnMut(GuestOffset, Result<ClusterDescriptor>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut bytes = Vec::new();
        for (at, l1_index) in &tables.listed {
            if self.visit_table(*at, *l1_index, &mut bytes, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if let Some((at, l1_index)) = tables.past_end {
            let guest = GuestOffset(l1_index.saturating_mul(self.geometry().l1_span()));
            return Err(past_end("L2 table", at, guest, self.source.size()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn visit_table(
        &self,
        at: HostOffset,
        l1_index: u64,
        bytes: &mut Vec<u8>,
        visit: &mut dyn FnMut(GuestOffset, Result<ClusterDescriptor>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let geometry = self.geometry();
        let start = GuestOffset(l1_index.saturating_mul(geometry.l1_span()));
        let mapped = self.disk_size.saturating_sub(start.0).div_ceil(geometry.cluster_size());
        let needed = mapped.min(geometry.l2_entries()).saturating_mul(geometry.l2_entry_bytes());
        let present = needed.min(range::len(&(at.0..self.source.size())));
        bytes.resize(usize::try_from(present).unwrap_or_default(), 0);
        self.source.read_at(at.0, bytes)?;
        let entry_bytes = usize::try_from(geometry.l2_entry_bytes()).unwrap_or(8);
        for (entry, guest) in bytes.chunks_exact(entry_bytes).zip(0_u64..) {
            let word = |index| chunks(entry).nth(index).map_or(0, |word| u64::from_be_bytes(*word));
            let place = at.plus(guest.saturating_mul(geometry.l2_entry_bytes()));
            let guest = start.plus(guest.saturating_mul(geometry.cluster_size()));
            let cluster = self.rules.decode(word(0), word(1));
            let cluster = cluster.map_err(|error| error.at(place.0).guest(guest.0));
            if visit(guest, cluster).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if present < needed {
            let guest =
                start.plus((present / geometry.l2_entry_bytes()).saturating_mul(geometry.cluster_size()));
            return Err(past_end("L2 table", at.plus(present), guest, self.source.size()));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn l2_tables(&self) -> Result<ListedTables> {
        let size = self.source.size();
        let most = (self.table_bytes / self.geometry().cluster_size()).max(1);
        let mut tables =
            ListedTables { listed: Vec::new(), past_end: None, is_clipped: false, invalid: None };
        // The tables with the highest offsets.
        let mut highest = BinaryHeap::new();
        let mut at = self.l1.start.0;
        let end = self.l1.end.0.min(size);
        while at < end {
            let step = at..end.min(at.saturating_add(L1_STEP));
            let mut bytes = vec![0; range::buffer_len(&step)];
            self.source.read_at(at, &mut bytes)?;
            let first = at.saturating_sub(self.l1.start.0) / 8;
            for (l1_index, entry) in (first..).zip(chunks(&bytes)) {
                match l1::decode(u64::from_be_bytes(*entry), self.geometry()) {
                    Ok(Some(table)) if table.0 >= size => {
                        tables.past_end.get_or_insert((table, l1_index));
                    }
                    Ok(Some(table)) => highest.push(Reverse((table, l1_index))),
                    Ok(None) => {}
                    Err(error) => {
                        let at = self.l1.start.plus(l1_index.saturating_mul(8));
                        let guest = l1_index.saturating_mul(self.geometry().l1_span());
                        tables.invalid.get_or_insert_with(|| error.at(at.0).guest(guest));
                    }
                }
                if highest.len() as u64 > most {
                    highest.pop();
                    tables.is_clipped = true;
                }
            }
            at = step.end;
        }
        tables.listed = highest.into_sorted_vec().into_iter().map(|Reverse(table)| table).collect();
        Ok(tables)
    }
}

/// Compares the active tables with the length of the file: [`diskimg_core::Driver::survey`] of this format. Data clusters
/// in an external data file are not examined.
pub(crate) fn survey(source: &dyn BlockSource, info: &ImageInfo, limits: &Limits) -> Vec<Finding> {
    // The description has reported a damaged header, or an L1 table past the end.
    let is_reported = info.findings.iter().any(|finding| finding.check == "truncated");
    let budget = Budget::new("header", limits.header_bytes);
    let parsed =
        FileWindow::new(source, limits).and_then(|mut window| FirstCluster::read(&mut window, &budget));
    let Some(parsed) = parsed.ok().filter(|_| !is_reported) else { return Vec::new() };
    let header = &parsed.header;
    let active = SelectedL1::active(header);
    if limits.check_virtual_size(active.disk_size).is_err()
        || features::check_known(header.incompatible, &[]).is_err()
    {
        return Vec::new();
    }
    let survey = TableSurvey {
        source,
        rules: L2Rules::new(header, parsed.data_file.is_some()),
        l1: active.mapping_bytes(header),
        disk_size: active.disk_size,
        data_size: parsed.data_file.is_none().then(|| source.size()),
        table_bytes: limits.metadata_cache,
    };
    survey.findings()
}

fn finding(error: &Error) -> Finding {
    let check = if error.kind() == ErrorKind::Corrupt { "corrupt" } else { "truncated" };
    let finding = Finding::warning(check, error.to_string());
    match error.offset() {
        Some(offset) => finding.at(offset),
        None => finding,
    }
}

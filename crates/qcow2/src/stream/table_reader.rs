//! Reading the tables of a cluster as it passes, and claiming what they name.

use std::ops::Range;

use byteorder::{BigEndian, ByteOrder};
use diskimg_core::{BlockSink, Error, ErrorKind, Remedy, Result};

use super::claims::{Packed, Run};
use super::clusters::{Body, MOST, Passing, past_end};
use crate::addr::{Geometry, GuestOffset, HostOffset, SUBCLUSTERS};
use crate::compressed::CompressedRange;
use crate::entry_bits::{COMPRESSED, COPIED};
use crate::errors::{FORMAT, corrupt};
use crate::l1;
use crate::l2::ClusterDescriptor;
use crate::metadata_area::overlapped;
use crate::subcluster::{Subcluster, SubclusterMap};

/// Bytes of memory that the place of a refcount block is charged with: its own, and its share of a tree.
const REFCOUNT_BLOCK: u64 = 24;

impl Body {
    /// Reads the tables in a cluster; whether there were any, or other metadata that is not needed.
    pub(super) fn read_tables(&mut self, passing: Passing<'_>, sink: &dyn BlockSink) -> Result<bool> {
        let within = |range: &Range<u64>| range.start < passing.end() && passing.start < range.end;
        if within(&self.l1) {
            self.read_l1(passing, sink)?;
            return Ok(true);
        }
        if self.tables.last().is_some_and(|(table, _)| table.0 == passing.start) {
            if self.defers(passing.start, passing.bytes) {
                return Ok(false);
            }
            while let Some((table, index)) = self.tables.pop_if(|(table, _)| table.0 == passing.start) {
                self.read_l2(table, index, passing.bytes, passing.start, sink)?;
            }
            return Ok(true);
        }
        // Last: a header may claim more for it than it has, and nobody is kept from its tables by that.
        if within(&self.refcount_table) {
            self.read_refcount_table(passing);
            return Ok(true);
        }
        Ok(self.refcounts.contains(&passing.start))
    }

    /// Notes the L2 tables of a part of the L1 table. At its end those that have passed already are read.
    fn read_l1(&mut self, passing: Passing<'_>, sink: &dyn BlockSink) -> Result<()> {
        let geometry = self.geometry();
        let from = passing.start.max(self.l1.start);
        let first = from.saturating_sub(self.l1.start) / 8;
        let (entries, _) = passing.part(&self.l1).as_chunks::<8>();
        for (index, entry) in (first..).zip(entries) {
            let at = self.l1.start.saturating_add(index.saturating_mul(8));
            let guest = index.saturating_mul(geometry.l1_span());
            let place = |error: Error| error.at(at).guest(guest);
            match l1::decode(u64::from_be_bytes(*entry), geometry).map_err(place)? {
                None => self.zero(guest..guest.saturating_add(geometry.l1_span()), sink)?,
                Some(table) => {
                    let range = table.0..table.plus(geometry.cluster_size()).0;
                    if let Some(what) = overlapped(&self.reserved, &range) {
                        return Err(place(
                            corrupt("L1 entry")
                                .found(format_args!("an L2 table at {:#x}", table.0))
                                .expected(format_args!("no overlap with the {what}")),
                        ));
                    }
                    self.claims.spend(size_of::<(HostOffset, u64)>() as u64)?;
                    self.tables.push((table, index));
                }
            }
        }
        if passing.end() < self.l1.end {
            return Ok(());
        }
        self.tables.sort_unstable_by(|a, b| b.cmp(a));
        self.read_passed_tables(passing.start, sink)
    }

    /// Whether the table at `at` names more than memory has room for, so that it and what it names have to go
    /// to the shelf: it is read at the end then.
    fn defers(&mut self, at: u64, bytes: &[u8]) -> bool {
        let entries = self.tables.iter().rev().take_while(|(table, _)| table.0 == at).count() as u64;
        let claims = entries.saturating_mul(claims_in(bytes, self.geometry()));
        let defers = self.aside.has_shelf() && !self.claims.has_room(claims);
        while let Some(table) = self.tables.pop_if(|(table, _)| defers && table.0 == at) {
            self.deferred.push(table);
        }
        defers
    }

    /// Reads the tables that had to wait for the end of the file, at `size`.
    pub(super) fn read_deferred(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        let cluster = self.geometry().cluster_size();
        for (at, index) in std::mem::take(&mut self.deferred) {
            let len = cluster.min(size.saturating_sub(at.0));
            let mut table = vec![0; usize::try_from(len).unwrap_or_default()];
            if !self.aside.read(at.0, &mut table)? {
                return Err(passed("L2 table", at.0, index.saturating_mul(self.geometry().l1_span())));
            }
            self.read_l2(at, index, &table, size, sink)?;
        }
        Ok(())
    }

    fn read_passed_tables(&mut self, position: u64, sink: &dyn BlockSink) -> Result<()> {
        let cluster = self.geometry().cluster_size();
        let mut table = vec![0; usize::try_from(cluster).unwrap_or_default()];
        while let Some((at, index)) = self.tables.last().copied().filter(|(table, _)| table.0 < position) {
            if !self.aside.read(at.0, &mut table)? {
                return Err(passed("L2 table", at.0, index.saturating_mul(self.geometry().l1_span())));
            }
            if self.defers(at.0, &table) {
                continue;
            }
            while let Some((at, index)) = self.tables.pop_if(|(table, _)| *table == at) {
                self.read_l2(at, index, &table, position, sink)?;
            }
        }
        Ok(())
    }

    /// Notes, or takes from what was put aside, what the L2 table of one L1 entry names. Host bytes below
    /// `position` have passed.
    fn read_l2(
        &mut self,
        table: HostOffset,
        l1_index: u64,
        bytes: &[u8],
        position: u64,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let geometry = self.geometry();
        let start = l1_index.saturating_mul(geometry.l1_span());
        let clusters = self.size.saturating_sub(start).div_ceil(geometry.cluster_size());
        let entry_bytes = usize::try_from(geometry.l2_entry_bytes()).unwrap_or(8);
        let mut entries = bytes.chunks_exact(entry_bytes);
        let mut run: Option<Run> = None;
        for index in 0..clusters.min(geometry.l2_entries()) {
            let at = table.plus(index.saturating_mul(geometry.l2_entry_bytes()));
            let guest = start.saturating_add(index.saturating_mul(geometry.cluster_size()));
            let Some((entry, bitmap)) = entries.next().and_then(words) else {
                let end = table.plus(bytes.len() as u64).0;
                return Err(past_end("L2 table", at.0, guest, end));
            };
            let cluster = self.rules.decode(entry, bitmap).map_err(|error| error.at(at.0).guest(guest))?;
            let end = guest.saturating_add(geometry.cluster_size()).min(self.size);
            // A cluster with a refcount of one is named once.
            let shared = entry & COPIED == 0;
            match cluster {
                ClusterDescriptor::Unallocated(_) | ClusterDescriptor::Zero(_) => {
                    self.zero(guest..end, sink)?;
                }
                ClusterDescriptor::Data(host) => {
                    self.check_data(host, guest)?;
                    let len = end.saturating_sub(guest);
                    let next = Run { host, len, guest: GuestOffset(guest), shared };
                    self.add_run(&mut run, next, position, sink)?;
                }
                ClusterDescriptor::Compressed(range) => {
                    self.claim_packed(range, GuestOffset(guest), position, sink)?;
                }
                ClusterDescriptor::Mixed(map) => {
                    if map.any_data() {
                        self.check_data(map.host(), guest)?;
                    }
                    self.read_mixed((map, shared), guest..end, &mut run, position, sink)?;
                }
            }
        }
        match run {
            Some(run) => self.claim_run(run, position, sink),
            None => Ok(()),
        }
    }

    fn read_mixed(
        &mut self,
        (map, shared): (SubclusterMap, bool),
        guest: Range<u64>,
        run: &mut Option<Run>,
        position: u64,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let bits = self.geometry().subcluster_bits();
        let mut index = 0;
        while index < SUBCLUSTERS {
            let (kind, same) = map.run(index);
            let from = u64::from(index) << bits;
            let start = guest.start.saturating_add(from);
            let end = start.saturating_add(u64::from(same) << bits).min(guest.end);
            index = index.saturating_add(same);
            if start >= end {
                break;
            }
            match kind {
                Subcluster::Unallocated | Subcluster::Zero => self.zero(start..end, sink)?,
                Subcluster::Data => {
                    let len = end.saturating_sub(start);
                    let next = Run { host: map.host().plus(from), len, guest: GuestOffset(start), shared };
                    self.add_run(run, next, position, sink)?;
                }
            }
        }
        Ok(())
    }

    fn check_data(&self, host: HostOffset, guest: u64) -> Result<()> {
        let cluster = host.0..host.plus(self.geometry().cluster_size()).0;
        match overlapped(&self.reserved, &cluster) {
            None => Ok(()),
            Some(what) => Err(corrupt("data cluster")
                .at(host.0)
                .guest(guest)
                .expected(format_args!("no overlap with the {what}"))),
        }
    }

    fn read_refcount_table(&mut self, passing: Passing<'_>) {
        let cluster = self.geometry().cluster_size();
        let (entries, _) = passing.part(&self.refcount_table).as_chunks::<8>();
        for entry in entries {
            let block = BigEndian::read_u64(entry) & !(cluster.saturating_sub(1));
            // Where they are too many to remember they are put aside like anything else.
            if block != 0 && self.claims.spend(REFCOUNT_BLOCK).is_ok() {
                self.refcounts.insert(block);
            }
        }
    }

    /// Makes `run` longer by `next`, or claims it and goes on with `next`.
    fn add_run(
        &mut self,
        run: &mut Option<Run>,
        next: Run,
        position: u64,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        if run.as_mut().is_some_and(|run| run.extend(&next)) {
            return Ok(());
        }
        match run.replace(next) {
            Some(whole) => self.claim_run(whole, position, sink),
            None => Ok(()),
        }
    }

    /// Writes the part of `run` that has passed, and notes the rest.
    fn claim_run(&mut self, run: Run, position: u64, sink: &dyn BlockSink) -> Result<()> {
        let mut run = run;
        while run.len > 0 && run.host.0 < position {
            let len = run.len.min(position.saturating_sub(run.host.0)).min(MOST);
            let mut bytes = std::mem::take(&mut self.buffer);
            bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
            if !self.aside.read(run.host.0, &mut bytes)? {
                return Err(passed("data cluster", run.host.0, run.guest.0));
            }
            self.write(run.guest.0, &bytes, sink)?;
            self.buffer = bytes;
            run = run.without_first(len);
        }
        match self.file_size {
            _ if run.len == 0 => Ok(()),
            None => self.claims.add_run(run),
            Some(size) => self.end_run(&run, size, sink),
        }
    }

    fn claim_packed(
        &mut self,
        range: CompressedRange,
        guest: GuestOffset,
        position: u64,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let (start, end) = (range.offset.0, range.offset.plus(range.bytes).0);
        if let Some(what) = overlapped(&self.reserved, &(start..end)) {
            return Err(corrupt("compressed cluster")
                .at(start)
                .guest(guest.0)
                .expected(format_args!("no overlap with the {what}")));
        }
        let held = position.min(end).saturating_sub(start);
        let mut bytes = vec![0; usize::try_from(held).unwrap_or_default()];
        if !self.aside.read(start, &mut bytes)? {
            return Err(passed("compressed cluster", start, guest.0));
        }
        if start.saturating_add(held) == end {
            return self.unpack(start..end, guest, &bytes, sink);
        }
        let packed = Packed { start, end, guest, bytes };
        match self.file_size {
            None => self.claims.add_packed(packed),
            Some(size) => self.end_packed(&packed, size, sink),
        }
    }
}

/// The most claims that an L2 table makes: entries that follow the one before them make one together.
fn claims_in(table: &[u8], geometry: Geometry) -> u64 {
    /// Runs of data among 32 subclusters.
    const RUNS: u64 = 16;
    let entry_bytes = usize::try_from(geometry.l2_entry_bytes()).unwrap_or(8);
    let mut follows = None;
    let mut claims = 0_u64;
    for (entry, bitmap) in table.chunks_exact(entry_bytes).filter_map(words) {
        let is_mixed = geometry.extended_l2() && !matches!(bitmap & 0xFFFF_FFFF, 0 | 0xFFFF_FFFF);
        if entry != 0 && (is_mixed || follows != Some(entry)) {
            claims = claims.saturating_add(if is_mixed { RUNS } else { 1 });
        }
        follows = entry.checked_add(geometry.cluster_size()).filter(|_| !is_mixed && entry & COMPRESSED == 0);
    }
    claims
}

/// The one or two words of an L2 entry.
fn words(entry: &[u8]) -> Option<(u64, u64)> {
    let (words, _) = entry.as_chunks::<8>();
    let word = |index: usize| words.get(index).map(|word| u64::from_be_bytes(*word));
    Some((word(0)?, word(1).unwrap_or(0)))
}

/// What a table names has passed, and was not kept.
fn passed(what: &str, at: u64, guest: u64) -> Error {
    Error::new(ErrorKind::NeedsSeek)
        .format(FORMAT)
        .field(what)
        .at(at)
        .guest(guest)
        .because("it stands before the table that names it, and has passed")
        .with_remedy(Remedy::AllowSpool)
}

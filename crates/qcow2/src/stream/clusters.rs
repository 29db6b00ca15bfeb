//! Matches the clusters of the file with the references of its tables.

use std::ops::Range;

use diskimg_codec::units::CompressedUnit;
use diskimg_core::{BlockSink, Error, ErrorKind, Remedy, Result, ensure, range};

use super::claims::{Claims, CompressedClaim, HostRun};
use super::guest_output::GuestOutput;
use super::spill::Spill;
use crate::addr::{Geometry, GuestOffset, HostOffset, span};
use crate::compressed::CompressedRange;
use crate::errors::{FORMAT, corrupt, past_end};
use crate::metadata_area::{MetadataArea, check_free};
use crate::short_cluster::ShortCluster;

/// The maximum number of bytes of a run that are read from the spill in one call. Our limit.
const MAX_READ: u64 = 2 << 20;
/// The unit in bytes of the compressed size in an L2 entry: the data ends anywhere in the last sector.
const SECTOR: u64 = 512;

/// One cluster of the file; the last may be truncated.
#[derive(Clone, Copy)]
pub(super) struct StreamedCluster<'a> {
    pub(super) start: HostOffset,
    pub(super) bytes: &'a [u8],
}

impl StreamedCluster<'_> {
    pub(super) fn end(&self) -> HostOffset {
        self.start.plus(self.bytes.len() as u64)
    }

    /// The host range of the cluster.
    pub(super) fn range(&self) -> Range<HostOffset> {
        self.start..self.end()
    }

    /// The bytes of the cluster that are in host range `host`.
    pub(super) fn part(&self, host: &Range<HostOffset>) -> &[u8] {
        range::intersect(&self.range(), host)
            .and_then(|common| range::slice(self.bytes, self.start.0, &(common.start.0..common.end.0)))
            .unwrap_or_default()
    }
}

/// A host range of a cluster that no further entry refers to.
struct CoveredRange {
    host: Range<HostOffset>,
    /// True if a compressed cluster ends here: its last sector may hold the beginning of another one.
    ends_compressed: bool,
}

/// Writes referenced clusters to the sink and spills the others.
pub(super) struct Clusters {
    geometry: Geometry,
    reserved: Vec<MetadataArea>,
    output: GuestOutput,
    claims: Claims,
    spill: Spill,
    /// All host bytes below this offset were streamed.
    position: HostOffset,
    /// The size of the file, once it has ended.
    file_size: Option<u64>,
    /// The run that the next entry of the table may extend.
    open_run: Option<HostRun>,
    buffer: Vec<u8>,
    /// The data cluster in which the file has ended.
    short: Option<ShortCluster>,
}

impl Clusters {
    pub(super) fn new(
        geometry: Geometry,
        reserved: Vec<MetadataArea>,
        output: GuestOutput,
        claims: Claims,
        spill: Spill,
    ) -> Self {
        Self {
            geometry,
            reserved,
            output,
            claims,
            spill,
            position: HostOffset(0),
            file_size: None,
            open_run: None,
            buffer: Vec::new(),
            short: None,
        }
    }

    /// The data cluster in which the file has ended; `None` if no bytes of the disk are missing in it.
    pub(super) fn short_cluster(&self) -> Option<ShortCluster> {
        self.short
    }

    /// Notes that all host bytes below `position` were streamed.
    pub(super) fn advance_to(&mut self, position: HostOffset) {
        self.position = position;
    }

    /// Notes that the file has ended, all of its bytes having been streamed.
    pub(super) fn end_file(&mut self, size: u64) {
        self.position = HostOffset(size);
        self.file_size = Some(size);
    }

    /// Writes what the tables refer to and `cluster` contains. With `spill`, the rest of the cluster is spilled.
    pub(super) fn deliver(
        &mut self,
        cluster: StreamedCluster<'_>,
        spill: bool,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let mut covered = Vec::new();
        self.deliver_runs(cluster, &mut covered, sink)?;
        self.deliver_compressed(cluster, &mut covered, sink)?;
        if spill { self.spill_uncovered(cluster, covered) } else { Ok(()) }
    }

    fn deliver_runs(
        &mut self,
        cluster: StreamedCluster<'_>,
        covered: &mut Vec<CoveredRange>,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        for run in self.claims.take_runs_below(cluster.end()) {
            let host = run.host..run.host_end().min(cluster.end());
            self.output.write(run.guest, cluster.part(&host), sink)?;
            if !run.shared {
                covered.push(CoveredRange { host: host.clone(), ends_compressed: false });
            }
            let rest = run.without_first(host.end.since(host.start));
            if rest.len > 0 {
                self.claims.add_run(rest)?;
            }
        }
        Ok(())
    }

    fn deliver_compressed(
        &mut self,
        cluster: StreamedCluster<'_>,
        covered: &mut Vec<CoveredRange>,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let end = cluster.end();
        for mut claim in self.claims.take_compressed_below(end) {
            let complete = claim.host.end <= end.0;
            let here = claim.next()..end.min(HostOffset(claim.host.end));
            let from = cluster.start.max(HostOffset(claim.host.start));
            covered.push(CoveredRange { host: from..here.end, ends_compressed: complete });
            if complete && claim.bytes.is_empty() {
                self.decompress(claim.host, claim.guest, cluster.part(&here), sink)?;
                continue;
            }
            claim.bytes.extend_from_slice(cluster.part(&here));
            if complete {
                self.decompress(claim.host, claim.guest, &claim.bytes, sink)?;
            } else {
                self.claims.add_compressed(claim)?;
            }
        }
        Ok(())
    }

    /// Spills the bytes of a cluster that are not covered, and the last sector of a compressed cluster unless a
    /// covered range continues in it.
    fn spill_uncovered(
        &mut self,
        cluster: StreamedCluster<'_>,
        mut covered: Vec<CoveredRange>,
    ) -> Result<()> {
        covered.sort_unstable_by_key(|covered| (covered.host.start, covered.host.end));
        // Bytes below `done` are covered or spilled. Those up to `referenced` are in some covered range.
        let (mut done, mut referenced) = (cluster.start, cluster.start);
        for CoveredRange { host, ends_compressed } in covered {
            if host.start > referenced {
                self.spill.put(done, cluster.part(&(done..host.start)))?;
                done = host.start;
            }
            let last_sector = if ends_compressed { SECTOR } else { 0 };
            done = done.max(HostOffset(host.end.0.saturating_sub(last_sector))).max(host.start);
            referenced = referenced.max(host.end);
        }
        let rest = done..cluster.end();
        if rest.is_empty() { Ok(()) } else { self.spill.put(done, cluster.part(&rest)) }
    }

    /// Adds a reference to data: writes it if it was streamed, otherwise claims it.
    pub(super) fn refer_to_data(&mut self, run: HostRun, sink: &dyn BlockSink) -> Result<()> {
        if self.open_run.as_mut().is_some_and(|open| open.extend(&run)) {
            return Ok(());
        }
        match self.open_run.replace(run) {
            Some(whole) => self.claim_run(whole, sink),
            None => Ok(()),
        }
    }

    /// Ends a table: no entry extends the last run any more.
    pub(super) fn end_table(&mut self, sink: &dyn BlockSink) -> Result<()> {
        match self.open_run.take() {
            Some(run) => self.claim_run(run, sink),
            None => Ok(()),
        }
    }

    /// Writes the part of `run` that was streamed and claims the rest.
    fn claim_run(&mut self, mut run: HostRun, sink: &dyn BlockSink) -> Result<()> {
        while run.len > 0 && run.host < self.position {
            let len = run.len.min(self.position.since(run.host)).min(MAX_READ);
            let mut bytes = std::mem::take(&mut self.buffer);
            bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
            self.read_spilled("data cluster", run.host, run.guest, &mut bytes)?;
            self.output.write(run.guest, &bytes, sink)?;
            self.buffer = bytes;
            run = run.without_first(len);
        }
        match self.file_size {
            _ if run.len == 0 => Ok(()),
            None => self.claims.add_run(run),
            Some(size) => self.end_run(&run, size, sink),
        }
    }

    /// Adds a reference to a compressed cluster: decompresses it if it was streamed, otherwise claims it.
    pub(super) fn refer_to_compressed(
        &mut self,
        range: CompressedRange,
        guest: GuestOffset,
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let host = range.offset.0..range.offset.plus(range.bytes).0;
        let place = span(range.offset, range.bytes);
        check_free(&self.reserved, &place, || corrupt("compressed cluster").at(host.start).guest(guest.0))?;
        let streamed = self.position.0.min(host.end).saturating_sub(host.start);
        let mut bytes = vec![0; usize::try_from(streamed).unwrap_or_default()];
        self.read_spilled("compressed cluster", range.offset, guest, &mut bytes)?;
        if streamed == range::len(&host) {
            return self.decompress(host, guest, &bytes, sink);
        }
        let claim = CompressedClaim { host, guest, bytes };
        match self.file_size {
            None => self.claims.add_compressed(claim),
            Some(size) => self.end_compressed(&claim, size, sink),
        }
    }

    /// Makes a guest range read as zeros.
    pub(super) fn zero(&mut self, guest: Range<u64>, sink: &dyn BlockSink) -> Result<()> {
        self.output.zero(guest, sink)
    }

    /// Takes `bytes` from the budget of the claims.
    pub(super) fn spend(&self, bytes: u64) -> Result<()> {
        self.claims.spend(bytes)
    }

    /// Returns true if a table that makes `claims` claims has to be read at the end of the file: memory has no room
    /// for them, and everything it refers to can be spilled.
    pub(super) fn defers(&self, claims: u64) -> bool {
        self.spill.has_file() && !self.claims.has_room(claims)
    }

    /// Fills `buf` with spilled bytes at `host`. If some were dropped, the error describes the reference to `what`.
    pub(super) fn read_spilled(
        &mut self,
        what: &str,
        host: HostOffset,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        ensure(self.spill.read(host, buf)?, || {
            Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field(what)
                .at(host.0)
                .guest(guest.0)
                .because("it was streamed before the table that refers to it")
                .with_remedy(Remedy::AllowSpool)
        })
    }

    /// Checks that the data cluster at `host` does not overlap metadata.
    pub(super) fn check_data(&self, host: HostOffset, guest: GuestOffset) -> Result<()> {
        self.check_cluster(host, || corrupt("data cluster").at(host.0).guest(guest.0))
    }

    /// Checks that the cluster at `host` does not overlap metadata. The error is that of `error`, with the name of
    /// the metadata.
    pub(super) fn check_cluster(&self, host: HostOffset, error: impl FnOnce() -> Error) -> Result<()> {
        check_free(&self.reserved, &span(host, self.geometry.cluster_size()), error)
    }

    /// Settles the claims that are left at the end of the file.
    pub(super) fn finish(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        for run in self.claims.take_runs_below(HostOffset(u64::MAX)) {
            self.end_run(&run, size, sink)?;
        }
        for claim in self.claims.take_compressed_below(HostOffset(u64::MAX)) {
            self.end_compressed(&claim, size, sink)?;
        }
        self.output.flush_zeros(sink)
    }

    /// Decompresses a cluster that the end of the file truncates: the bytes present may suffice.
    fn end_compressed(&mut self, claim: &CompressedClaim, size: u64, sink: &dyn BlockSink) -> Result<()> {
        if claim.host.start < size {
            self.decompress(claim.host.start..size, claim.guest, &claim.bytes, sink)
        } else {
            Err(past_end("compressed cluster", HostOffset(claim.host.start), claim.guest, size))
        }
    }

    /// Zeroes the rest of a cluster that the end of the file truncates; a cluster past the end is an error.
    fn end_run(&mut self, run: &HostRun, size: u64, sink: &dyn BlockSink) -> Result<()> {
        let in_cluster = self.geometry.in_cluster(run.host.0);
        let cluster = HostOffset(run.host.0.saturating_sub(in_cluster));
        let rest = self.geometry.cluster_size().saturating_sub(in_cluster);
        ensure(cluster.0 < size, || past_end("data cluster", cluster, run.guest, size))?;
        if run.len > rest {
            let next = cluster.plus(self.geometry.cluster_size());
            return Err(past_end("data cluster", next, run.guest.plus(rest), size));
        }
        self.note_short(run, size);
        self.output.zero(run.guest.0..run.guest_end().0, sink)
    }

    /// Notes that the bytes of `run` are missing in the cluster in which the file ends.
    fn note_short(&mut self, run: &HostRun, size: u64) {
        let index = |guest: GuestOffset| self.geometry.cluster_index(guest);
        self.short = match self.short {
            None => Some(ShortCluster { file_size: size, guest: run.guest, missing: run.len }),
            // Another run of subclusters, or another reference to the same cluster.
            Some(short) if index(short.guest) == index(run.guest) => Some(short.with(run.len)),
            Some(short) => Some(short),
        };
    }

    fn decompress(
        &mut self,
        host: Range<u64>,
        guest: GuestOffset,
        bytes: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let unit = CompressedUnit { host, truncated: self.file_size.is_some() };
        self.output.decompress(&unit, guest, bytes, sink)
    }
}

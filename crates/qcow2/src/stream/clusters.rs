//! What is done with each cluster as it passes: what tables named is written, what nobody named is put aside.

use std::collections::BTreeSet;
use std::ops::Range;

use diskimg_codec::units::CompressedUnit;
use diskimg_core::{BlockSink, Error, Limits, Result, SpillFile, StreamWriter};

use super::claims::{Claims, Packed, Run};
use super::spill::Aside;
use crate::addr::{Geometry, GuestOffset, HostOffset};
use crate::cluster_codec::ClusterCodec;
use crate::errors::truncated;
use crate::l1;
use crate::l2::L2Rules;
use crate::metadata_area::MetadataArea;

/// The most bytes read back from the spilled ones at once.
pub(super) const MOST: u64 = 2 << 20;
/// Bytes of a sector: compressed clusters end at multiples of it, and their bytes somewhere before.
const SECTOR: u64 = 512;

/// An image whose header is known.
pub(super) struct Body {
    pub(super) rules: L2Rules,
    pub(super) size: u64,
    /// Where the entries of the L1 table are that map the disk.
    pub(super) l1: Range<u64>,
    pub(super) refcount_table: Range<u64>,
    pub(super) reserved: Vec<MetadataArea>,
    pub(super) codec: ClusterCodec,
    pub(super) claims: Claims,
    pub(super) aside: Aside,
    /// L2 tables that are still to come, with their L1 entries; the next at the end.
    pub(super) tables: Vec<(HostOffset, u64)>,
    /// L2 tables that are read at the end, for memory has no room for what they name.
    pub(super) deferred: Vec<(HostOffset, u64)>,
    /// Refcount blocks: clusters that nobody will ask for.
    pub(super) refcounts: BTreeSet<u64>,
    /// Guest bytes that are zeros, and not yet told.
    zeros: Range<u64>,
    /// Where the file ends, once that is known.
    pub(super) file_size: Option<u64>,
    pub(super) buffer: Vec<u8>,
    writer: StreamWriter,
}

/// A cluster on its way, perhaps cut by the end of the file.
#[derive(Clone, Copy)]
pub(super) struct Passing<'a> {
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
}

impl Passing<'_> {
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// The part of the cluster in `range` of the file.
    pub(super) fn part(&self, range: &Range<u64>) -> &[u8] {
        let place = |at: u64| {
            usize::try_from(at.clamp(self.start, self.end()).saturating_sub(self.start)).unwrap_or(usize::MAX)
        };
        self.bytes.get(place(range.start)..place(range.end)).unwrap_or_default()
    }
}

impl Body {
    /// An image without tables yet; `l1` is the part of its L1 table that maps the disk.
    pub(super) fn new(parts: BodyParts, limits: &Limits, shelf: Option<Box<dyn SpillFile>>) -> Self {
        // A quarter of what tables may take is for bytes that are put aside.
        let memory = limits.metadata_cache / 4;
        let BodyParts { rules, size, l1, refcount_table, reserved, codec } = parts;
        Self {
            rules,
            size,
            l1,
            refcount_table,
            reserved,
            codec,
            claims: Claims::new(limits.metadata_cache.saturating_sub(memory)),
            aside: Aside::new(memory, shelf),
            tables: Vec::new(),
            deferred: Vec::new(),
            refcounts: BTreeSet::new(),
            zeros: 0..0,
            file_size: None,
            buffer: Vec::new(),
            writer: StreamWriter::default(),
        }
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// Takes the cluster at `start`. Only the last one of the file may be shorter than a cluster.
    pub(super) fn pass(&mut self, start: u64, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let passing = Passing { start, bytes };
        let is_metadata = self.read_tables(passing, sink)?;
        let covered = self.deliver(passing, sink)?;
        if is_metadata { Ok(()) } else { self.put_aside(passing, &covered) }
    }

    /// The file has ended at `size`, and every byte of it has passed.
    pub(super) fn finish(&mut self, size: u64, sink: &dyn BlockSink) -> Result<()> {
        self.file_size = Some(size);
        if self.l1.end > size && !self.l1.is_empty() {
            return Err(l1::truncated_table(&self.l1, size));
        }
        if let Some((table, index)) = self.tables.last() {
            let guest = index.saturating_mul(self.geometry().l1_span());
            return Err(past_end("L2 table", table.0, guest, size));
        }
        self.read_deferred(size, sink)?;
        for run in self.claims.runs_below(u64::MAX) {
            self.end_run(&run, size, sink)?;
        }
        for packed in self.claims.packed_below(u64::MAX) {
            self.end_packed(&packed, size, sink)?;
        }
        self.tell_zeros(sink)
    }

    /// The bytes of a compressed cluster that the file's end cuts may be enough.
    pub(super) fn end_packed(&mut self, packed: &Packed, size: u64, sink: &dyn BlockSink) -> Result<()> {
        match packed.start < size {
            true => self.unpack(packed.start..size, packed.guest, &packed.bytes, sink),
            false => Err(past_end("compressed cluster", packed.start, packed.guest.0, size)),
        }
    }

    /// The rest of a cluster that the file's end cuts reads as zeros; a cluster behind the end is missing.
    pub(super) fn end_run(&mut self, run: &Run, size: u64, sink: &dyn BlockSink) -> Result<()> {
        let in_cluster = self.geometry().in_cluster(run.host.0);
        let cluster = run.host.0.saturating_sub(in_cluster);
        let rest = self.geometry().cluster_size().saturating_sub(in_cluster);
        if cluster >= size {
            return Err(past_end("data cluster", cluster, run.guest.0, size));
        }
        if run.len > rest {
            let behind = cluster.saturating_add(self.geometry().cluster_size());
            return Err(past_end("data cluster", behind, run.guest.0.saturating_add(rest), size));
        }
        self.zero(run.guest.0..run.guest.0.saturating_add(run.len), sink)
    }

    /// Writes what was named of a cluster; returns which bytes of it nobody else will name, and which of
    /// these ranges end with a compressed cluster.
    fn deliver(&mut self, passing: Passing<'_>, sink: &dyn BlockSink) -> Result<Vec<(Range<u64>, bool)>> {
        let mut covered = Vec::new();
        for run in self.claims.runs_below(passing.end()) {
            let here = run.host.0..run.host_end().min(passing.end());
            self.write(run.guest.0, passing.part(&here), sink)?;
            if !run.shared {
                covered.push((here.clone(), false));
            }
            let rest = run.without_first(here.end.saturating_sub(here.start));
            if rest.len > 0 {
                self.claims.add_run(rest)?;
            }
        }
        for mut packed in self.claims.packed_below(passing.end()) {
            let here = packed.next()..packed.end.min(passing.end());
            covered.push((packed.start.max(passing.start)..here.end, packed.end <= passing.end()));
            if packed.bytes.is_empty() && packed.end <= passing.end() {
                self.unpack(here.clone(), packed.guest, passing.part(&here), sink)?;
                continue;
            }
            packed.bytes.extend_from_slice(passing.part(&here));
            if packed.next() < packed.end {
                self.claims.add_packed(packed)?;
            } else {
                self.unpack(packed.start..packed.end, packed.guest, &packed.bytes, sink)?;
            }
        }
        covered.sort_unstable_by_key(|(range, _)| (range.start, range.end));
        Ok(covered)
    }

    /// Puts aside the bytes of a cluster that are not covered. The last sector of a compressed cluster may
    /// hold the beginning of another, unless that is among the covered ones.
    fn put_aside(&mut self, passing: Passing<'_>, covered: &[(Range<u64>, bool)]) -> Result<()> {
        let (mut sure, mut named) = (passing.start, passing.start);
        for (range, ends_inside) in covered {
            if range.start > named {
                self.aside.put(sure, passing.part(&(sure..range.start)))?;
                sure = range.start;
            }
            let last = if *ends_inside { SECTOR } else { 0 };
            sure = sure.max(range.end.saturating_sub(last)).max(range.start);
            named = named.max(range.end);
        }
        match sure < passing.end() {
            true => self.aside.put(sure, passing.part(&(sure..passing.end()))),
            false => Ok(()),
        }
    }

    /// Decodes a compressed cluster whose `bytes` stand at `host`.
    pub(super) fn unpack(
        &mut self,
        host: Range<u64>,
        guest: GuestOffset,
        bytes: &[u8],
        sink: &dyn BlockSink,
    ) -> Result<()> {
        let cluster = CompressedUnit { host, truncated: self.file_size.is_some() };
        let mut output = std::mem::take(&mut self.buffer);
        output.resize(usize::try_from(self.geometry().cluster_size()).unwrap_or_default(), 0);
        self.codec.decode(&cluster, guest, bytes, &mut output)?;
        self.write(guest.0, &output, sink)?;
        self.buffer = output;
        Ok(())
    }

    /// Writes guest bytes as far as the disk goes.
    pub(super) fn write(&mut self, guest: u64, bytes: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let room = usize::try_from(self.size.saturating_sub(guest)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.writer.write(guest, bytes, sink)
    }

    /// Tells the sink of zeros, neighbours in one go.
    pub(super) fn zero(&mut self, range: Range<u64>, sink: &dyn BlockSink) -> Result<()> {
        if self.zeros.end != range.start {
            self.tell_zeros(sink)?;
            self.zeros.start = range.start;
        }
        self.zeros.end = range.end;
        Ok(())
    }

    fn tell_zeros(&mut self, sink: &dyn BlockSink) -> Result<()> {
        let range = std::mem::replace(&mut self.zeros, 0..0);
        let range = range.start..range.end.min(self.size);
        if range.is_empty() { Ok(()) } else { sink.zero(range) }
    }
}

/// What the header says of the rest of the image.
pub(super) struct BodyParts {
    pub(super) rules: L2Rules,
    pub(super) size: u64,
    pub(super) l1: Range<u64>,
    pub(super) refcount_table: Range<u64>,
    pub(super) reserved: Vec<MetadataArea>,
    pub(super) codec: ClusterCodec,
}

pub(super) fn past_end(what: &str, at: u64, guest: u64, size: u64) -> Error {
    truncated(what).at(at).guest(guest).because(format_args!("the file ends at byte {size}"))
}

//! Takes one segment after the other through the writer: prepare, place, write.

use std::ops::Range;

use diskimg_core::{BlockSink, Result, Segment, check_range, zeros};

use super::compress::Encoder;
use super::encoded_cluster::{self, Piece, guest_bytes, push};
use super::error::misuse;
use super::guest_map::{ALL_SUBCLUSTERS, Place, State};
use super::layout::Shape;

/// Finished tables that a place holds back before it writes them itself: a segment of zeros may be the whole
/// disk, and with a backing file each of its clusters is marked. A bound of ours.
const HELD_BYTES: u64 = 32 << 20;

/// What becomes of one or more guest clusters.
#[derive(Debug, PartialEq, Eq)]
enum Unit {
    /// Clusters of zeros.
    Zeros(Range<u64>),
    /// A cluster as it is; a bit for each subcluster that is not all zeros.
    Plain(u64, u32),
    /// A cluster compressed.
    Packed(u64, Range<usize>),
}

/// A worker's own memory: one segment at a time, and the buffers for it.
pub(super) struct Job {
    encoder: Option<Encoder>,
    units: Vec<Unit>,
    /// Compressed clusters, one behind the other.
    arena: Vec<u8>,
    /// The last cluster of the disk, filled up with zeros.
    padded: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Job {
    pub(super) fn new(encoder: Option<Encoder>) -> Self {
        Self { encoder, units: Vec::new(), arena: Vec::new(), padded: Vec::new(), pieces: Vec::new() }
    }

    /// Checks the segment, finds zeros and compresses.
    pub(super) fn prepare(&mut self, shape: &Shape, segment: &Segment<'_>) -> Result<()> {
        check_range(segment.offset, segment.len, shape.size())?;
        let cut = shape.cut(segment.offset..segment.end())?;
        if !cut.head.is_empty() || !cut.tail.is_empty() {
            return Err(misuse("segment")
                .found(format_args!("{} bytes at {}", segment.len, segment.offset))
                .expected(format_args!("whole clusters of {} bytes", shape.cluster())));
        }
        self.units.clear();
        self.pieces.clear();
        if segment.is_zeros() {
            self.units.push(Unit::Zeros(cut.whole));
            return Ok(());
        }
        let mut used = 0;
        let mut known = segment.zeros.iter().peekable();
        for cluster in cut.whole {
            let range = shape.guest_range(cluster);
            while known.next_if(|zeros| zeros.end <= range.start).is_some() {}
            let inside =
                known.peek().is_some_and(|zeros| zeros.start <= range.start && range.end <= zeros.end);
            let bytes = guest_bytes(segment, range)?;
            if inside || zeros::is_zero(bytes) {
                match self.units.last_mut() {
                    Some(Unit::Zeros(run)) => run.end = cluster.saturating_add(1),
                    _ => self.units.push(Unit::Zeros(cluster..cluster.saturating_add(1))),
                }
            } else if let Some(len) = self.compress(shape, bytes, used)? {
                let end = used.saturating_add(len);
                self.units.push(Unit::Packed(cluster, used..end));
                used = end;
            } else {
                self.units.push(Unit::Plain(cluster, written_subclusters(shape, bytes)));
            }
        }
        Ok(())
    }

    /// Compresses a cluster into the arena at `at`; `None` when it is to be stored as it is.
    fn compress(&mut self, shape: &Shape, bytes: &[u8], at: usize) -> Result<Option<usize>> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        let cluster = usize::try_from(shape.cluster()).unwrap_or(usize::MAX);
        let end = at.saturating_add(cluster);
        if self.arena.len() < end {
            self.arena.resize(end, 0);
        }
        // One byte less than a cluster: what saves nothing is not compressed.
        let output = self.arena.get_mut(at..end.saturating_sub(1)).unwrap_or_default();
        if bytes.len() == cluster {
            return encoder.encode(bytes, output);
        }
        // Readers decompress whole clusters, also at the end of the disk.
        self.padded.clear();
        self.padded.extend_from_slice(bytes);
        self.padded.resize(cluster, 0);
        encoder.encode(&self.padded, output)
    }

    /// Gives every cluster its place. `ordered` when the disk before the segment is complete, and will be to
    /// the end of it.
    pub(super) fn place(
        &mut self,
        state: &mut State,
        shape: &Shape,
        segment: &Segment<'_>,
        ordered: bool,
        lower: &dyn BlockSink,
    ) -> Result<()> {
        let out = &mut self.pieces;
        for unit in &self.units {
            match unit {
                Unit::Zeros(run) => zero_by_tables(state, shape, run.clone(), ordered, out, lower)?,
                Unit::Plain(cluster, written) => {
                    let place = state.plain(*cluster, *written, out)?;
                    push_place(out, place, shape.guest_range(*cluster), 0..0);
                }
                Unit::Packed(cluster, arena) => {
                    let place = state.packed(*cluster, arena.len() as u64, out)?;
                    push_place(out, place, shape.guest_range(*cluster), arena.clone());
                }
            }
        }
        if ordered {
            state.complete_below(segment.end(), out);
        }
        Ok(())
    }

    /// Writes what [`Job::place`] gave places.
    pub(super) fn write(&mut self, segment: &Segment<'_>, lower: &dyn BlockSink) -> Result<()> {
        encoded_cluster::write(lower, &mut self.pieces, segment, &self.arena)
    }
}

fn push_place(out: &mut Vec<Piece>, place: Place, guest: Range<u64>, arena: Range<usize>) {
    push(
        out,
        match place {
            Place::Fresh(host) => Piece::Data { host, guest, fresh: true },
            Place::Old(host) => Piece::Data { host, guest, fresh: false },
            Place::Packed(host) => Piece::Packed { host, arena },
        },
    );
}

/// Makes a run of clusters zeros, one L2 table after the other so that finished ones can leave memory.
fn zero_by_tables(
    state: &mut State,
    shape: &Shape,
    run: Range<u64>,
    ordered: bool,
    out: &mut Vec<Piece>,
    lower: &dyn BlockSink,
) -> Result<()> {
    if !state.records_zeros() {
        return state.zero(run, out);
    }
    let mut at = run.start;
    while at < run.end {
        let next = at.saturating_add(1).next_multiple_of(shape.table_entries()).min(run.end);
        state.zero(at..next, out)?;
        at = next;
        if ordered {
            state.complete_below(shape.guest_range(at).start, out);
            let tables = out.iter().filter(|piece| matches!(piece, Piece::Table { .. })).count() as u64;
            if tables.saturating_mul(shape.cluster()) > HELD_BYTES && only_tables(out) {
                encoded_cluster::write_tables(lower, out)?;
            }
        }
    }
    Ok(())
}

fn only_tables(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| matches!(piece, Piece::Table { .. }))
}

/// A bit for each subcluster of a plain cluster that is not all zeros; all bits where there are none.
fn written_subclusters(shape: &Shape, bytes: &[u8]) -> u32 {
    let Some(size) = shape.subcluster().and_then(|size| usize::try_from(size).ok()) else {
        return ALL_SUBCLUSTERS;
    };
    let mut bit = 1_u32;
    let mut written = 0;
    for subcluster in bytes.chunks(size.max(1)) {
        if !zeros::is_zero(subcluster) {
            written |= bit;
        }
        bit = bit.rotate_left(1);
    }
    written
}

//! Decoding an image that arrives once, in order: the map comes first, and says where each block goes.

use std::ops::Range;

use diskimg_core::{BlockSink, Budget, Error, ErrorKind, Limits, Result, StreamDecoder, WriteOrder};

use crate::addr::{ENTRY_BYTES, Geometry};
use crate::block_map::Entry;
use crate::emit::Emitter;
use crate::errors::{FORMAT, corrupt, invalid, limit, truncated};
use crate::fields::length_of_version;
use crate::header::Header;

/// A block of the file that no block of the disk uses.
const UNUSED: u32 = u32::MAX;

/// Makes a decoder: [`diskimg_core::Driver::stream`] of this format.
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(Decoder {
        limits: limits.clone(),
        at: 0,
        stage: Stage::Header(Vec::new()),
        emitter: Emitter::default(),
    }))
}

/// Takes the bytes of an image as they come.
///
/// Any sink will do for a map that ascends, as most do: blocks then come in the order of the disk. Otherwise
/// the sink has to take any order. In memory are four bytes for each block in the file, taken from
/// [`Limits::metadata_cache`], and twice that for a moment if the map does not ascend.
struct Decoder {
    limits: Limits,
    /// Bytes of the image taken so far.
    at: u64,
    stage: Stage,
    emitter: Emitter,
}

enum Stage {
    /// The beginning of the header.
    Header(Vec<u8>),
    /// In front of the map, or in it.
    Map(Box<Map>),
    /// In front of the blocks, among them, or behind them.
    Blocks(Box<Blocks>),
    /// After an error: nothing more is taken.
    Failed,
}

/// The map as far as it has come.
struct Map {
    header: Header,
    budget: Budget,
    /// The bytes of an entry that is not complete.
    partial: Vec<u8>,
    /// Entries taken so far.
    taken: u64,
    owners: Owners,
}

/// Which block of the disk each block of the file belongs to.
struct Owners {
    of: Vec<u32>,
    /// Whether blocks of the file come in the order of the disk.
    ascending: bool,
}

/// The blocks as far as they have come.
struct Blocks {
    geometry: Geometry,
    size: u64,
    owners: Owners,
    /// Guest bytes below are done, where blocks come in the order of the disk.
    done: u64,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, input: &[u8], sink: &dyn BlockSink) -> Result<()> {
        let mut input = input;
        while !input.is_empty() {
            let stage = std::mem::replace(&mut self.stage, Stage::Failed);
            let (stage, used) = self.step(stage, input, sink)?;
            self.stage = stage;
            self.at = self.at.saturating_add(used as u64);
            input = input.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(&mut self, sink: &dyn BlockSink) -> Result<u64> {
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Header(bytes) => {
                Err(Header::parse(&bytes).err().unwrap_or_else(|| truncated("header").at(0)))
            }
            Stage::Map(map) => match map.header.check_map_in_file(self.at) {
                Err(error) => Err(error),
                // Without blocks there is nothing behind the map, and nobody pushed us there.
                Ok(()) => map.into_blocks(sink)?.finish(self.at, &mut self.emitter, sink),
            },
            Stage::Blocks(blocks) => blocks.finish(self.at, &mut self.emitter, sink),
            Stage::Failed => Err(failed_before()),
        }
    }
}

impl Decoder {
    /// Takes some of `input`; returns how many bytes, which is 0 only where the stage has changed.
    fn step(&mut self, stage: Stage, input: &[u8], sink: &dyn BlockSink) -> Result<(Stage, usize)> {
        match stage {
            Stage::Header(mut bytes) => {
                let need = length_of_version(&bytes).saturating_sub(bytes.len());
                let taken = input.get(..need).unwrap_or(input);
                bytes.extend_from_slice(taken);
                let stage = match Header::parse(&bytes) {
                    Ok(header) => Stage::Map(Box::new(Map::new(header, &self.limits)?)),
                    Err(error) if error.kind() == ErrorKind::Truncated => Stage::Header(bytes),
                    Err(error) => return Err(error),
                };
                Ok((stage, taken.len()))
            }
            Stage::Map(mut map) => {
                let used = map.take(self.at, input)?;
                let end = self.at.saturating_add(used as u64);
                let stage = if end >= map.header.geometry.map_end().0 {
                    Stage::Blocks(Box::new(map.into_blocks(sink)?))
                } else {
                    Stage::Map(map)
                };
                Ok((stage, used))
            }
            Stage::Blocks(mut blocks) => {
                let used = blocks.take(self.at, input, &mut self.emitter, sink)?;
                Ok((Stage::Blocks(blocks), used))
            }
            Stage::Failed => Err(failed_before()),
        }
    }
}

impl Map {
    fn new(header: Header, limits: &Limits) -> Result<Self> {
        header.check_readable(limits)?;
        header.check_data_behind_map()?;
        if header.parent().is_some() {
            // What is free here is the parent's: zeros would be wrong.
            return Err(Error::new(ErrorKind::Denied)
                .format(FORMAT)
                .field("parent")
                .at(header.fields.places().parent)
                .found(header.fields.uuids.parent)
                .because("a stream alone holds only what differs from the parent"));
        }
        let budget = Budget::new("block map of a stream", limits.metadata_cache);
        let owners = Owners { of: Vec::new(), ascending: true };
        Ok(Self { header, budget, partial: Vec::new(), taken: 0, owners })
    }

    fn is_complete(&self) -> bool {
        self.taken >= u64::from(self.header.geometry.blocks)
    }

    /// Takes some of the bytes at `at`; returns how many.
    fn take(&mut self, at: u64, input: &[u8]) -> Result<usize> {
        let before = self.header.geometry.map.0.saturating_sub(at);
        if before > 0 {
            return Ok(usize::try_from(before).unwrap_or(usize::MAX).min(input.len()));
        }
        let mut rest = input;
        while !rest.is_empty() && !self.is_complete() {
            let missing = 4_usize.saturating_sub(self.partial.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.partial.extend_from_slice(now);
            rest = later;
            if let Some(entry) = self.partial.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) {
                self.partial.clear();
                self.entry(entry)?;
                self.taken = self.taken.saturating_add(1);
            }
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    fn entry(&mut self, entry: u32) -> Result<()> {
        let geometry = &self.header.geometry;
        let Entry::Block(index) = Entry::decode(entry) else { return Ok(()) };
        let wrong = || {
            let guest = geometry.guest_start(self.taken).0;
            corrupt("block map entry").at(geometry.entry_at(self.taken).0).guest(guest).found(index)
        };
        if index >= geometry.blocks {
            let blocks = geometry.blocks;
            return Err(wrong().expected(format_args!("less than the number of blocks, {blocks}")));
        }
        let block = u32::try_from(self.taken).unwrap_or(UNUSED);
        if !self.owners.set(index, block, &self.budget)? {
            return Err(wrong().because("another block lies there too"));
        }
        Ok(())
    }

    fn into_blocks(self: Box<Self>, sink: &dyn BlockSink) -> Result<Blocks> {
        let (geometry, size) = (self.header.geometry, self.header.size());
        let blocks = Blocks { geometry, size, owners: self.owners, done: 0 };
        if !blocks.owners.ascending {
            if sink.order() == WriteOrder::Ascending {
                return Err(Error::new(ErrorKind::NeedsSeek).format(FORMAT).field("block map").because(
                    "blocks do not lie in the order of the disk, and the target takes no other order",
                ));
            }
            blocks.owners.for_each_gap(geometry.blocks, &self.budget, |gap| {
                let range = blocks.clipped(gap.start)..blocks.clipped(gap.end);
                if range.is_empty() { Ok(()) } else { sink.zero(range) }
            })?;
        }
        Ok(blocks)
    }
}

impl Owners {
    /// Records that block `index` of the file belongs to `block`; `false` when it has an owner.
    fn set(&mut self, index: u32, block: u32, budget: &Budget) -> Result<bool> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if at < self.of.len() {
            self.ascending = false;
        } else {
            let more = at.saturating_sub(self.of.len()).saturating_add(1);
            reserve(&mut self.of, more, budget)?;
            self.of.resize(at.saturating_add(1), UNUSED);
        }
        let Some(owner) = self.of.get_mut(at) else { return Ok(false) };
        Ok(std::mem::replace(owner, block) == UNUSED)
    }

    /// Calls `with` for each run of blocks of the disk that no block of the file belongs to.
    fn for_each_gap(
        &self,
        blocks: u32,
        budget: &Budget,
        mut with: impl FnMut(Range<u32>) -> Result<()>,
    ) -> Result<()> {
        let mut sorted = Vec::new();
        reserve(&mut sorted, self.of.len(), budget)?;
        sorted.extend(self.of.iter().copied().filter(|owner| *owner != UNUSED));
        sorted.sort_unstable();
        let mut next = 0;
        for owner in sorted.into_iter().chain(std::iter::once(blocks)) {
            if next < owner {
                with(next..owner)?;
            }
            next = owner.saturating_add(1);
        }
        Ok(())
    }
}

/// Makes room for `more` values, out of the budget.
fn reserve(values: &mut Vec<u32>, more: usize, budget: &Budget) -> Result<()> {
    let bytes = (more as u64).saturating_mul(ENTRY_BYTES);
    budget.take(bytes).map_err(|error| error.format(FORMAT))?;
    values
        .try_reserve(more)
        .map_err(|_| limit("block map of a stream").because(format_args!("no memory for {bytes} bytes")))
}

impl Blocks {
    /// Where a block of the disk begins, or the disk ends.
    fn clipped(&self, block: u32) -> u64 {
        self.geometry.guest_start(block.into()).0.min(self.size)
    }

    /// Takes some of the bytes at `at`; returns how many, at least one.
    fn take(&mut self, at: u64, input: &[u8], emitter: &mut Emitter, sink: &dyn BlockSink) -> Result<usize> {
        let upto = |end: u64| usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(input.len());
        let Some(past) = at.checked_sub(self.geometry.data.0) else {
            return Ok(upto(self.geometry.data.0));
        };
        let index = past.checked_div(self.geometry.stride()).unwrap_or(u64::MAX);
        let Some(owner) = usize::try_from(index).ok().and_then(|index| self.owners.of.get(index)) else {
            // Behind the last block in use.
            return Ok(input.len());
        };
        let host = self.geometry.host(u32::try_from(index).unwrap_or(UNUSED)).0;
        if at < host {
            return Ok(upto(host));
        }
        let used = upto(host.saturating_add(self.geometry.block_bytes()));
        if *owner != UNUSED {
            let guest = self.clipped(*owner).saturating_add(at.saturating_sub(host));
            let seen = usize::try_from(self.size.saturating_sub(guest)).unwrap_or(usize::MAX).min(used);
            let bytes = input.get(..seen).unwrap_or_default();
            self.emit(guest, bytes, emitter, sink)?;
        }
        Ok(used)
    }

    fn emit(&mut self, guest: u64, bytes: &[u8], emitter: &mut Emitter, sink: &dyn BlockSink) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.owners.ascending {
            emitter.zeros(self.done..guest, sink)?;
            self.done = guest.saturating_add(bytes.len() as u64);
        }
        emitter.data(guest, bytes, sink)
    }

    /// The image ended at byte `at`.
    fn finish(mut self, at: u64, emitter: &mut Emitter, sink: &dyn BlockSink) -> Result<u64> {
        self.check_all_came(at)?;
        if self.owners.ascending {
            emitter.zeros(self.done..self.size, sink)?;
            self.done = self.size;
        }
        emitter.flush(sink)?;
        Ok(self.size)
    }

    /// Every block in use has to be there, as far as a guest can see it.
    fn check_all_came(&self, at: u64) -> Result<()> {
        for (index, owner) in (0..).zip(&self.owners.of) {
            let guest = self.clipped(*owner);
            if *owner == UNUSED || guest == self.size {
                continue;
            }
            let host = self.geometry.host(index);
            let seen = self.size.saturating_sub(guest).min(self.geometry.block_bytes());
            if host.plus(seen).0 > at {
                return Err(truncated("block")
                    .at(host.0)
                    .guest(guest)
                    .because(format_args!("the image ends at byte {at}")));
            }
        }
        Ok(())
    }
}

fn failed_before() -> Error {
    invalid("stream").because("it failed before, and takes no more")
}

//! Decoding an image that arrives once, in order: the map comes first, and says where each block goes.

use std::ops::Range;

use diskimg_core::{
    BlockSink, Budget, Error, ErrorKind, Limits, Result, StreamDecoder, StreamWriter, WriteOrder,
};

use crate::addr::ENTRY_BYTES;
use crate::block_map::Entry;
use crate::errors::{FORMAT, corrupt, invalid, truncated};
use crate::fields::length_of_version;
use crate::header::Header;
use crate::reverse_map::{Owners, too_many};

/// Makes a decoder: [`diskimg_core::Driver::stream`] of this format.
pub(crate) fn stream(limits: &Limits) -> Result<Box<dyn StreamDecoder>> {
    Ok(Box::new(Decoder {
        limits: limits.clone(),
        at: 0,
        stage: Stage::Header(Vec::new()),
        writer: StreamWriter::default(),
    }))
}

/// Takes the bytes of an image as they come.
///
/// Any sink will do for a map that ascends, as most do: blocks then come in the order of the disk. Otherwise
/// the sink has to take any order. In memory are four bytes for each block in the file, taken from
/// [`Limits::metadata_cache`]; an image whose header counts more of them is refused by its header.
///
/// Every entry of the map is taken at its word, as it is when a file is read: a block of the file that several
/// blocks of the disk name goes to each of them. That is damage, and for [`crate::DRIVER`]'s check to tell.
struct Decoder {
    limits: Limits,
    /// Bytes of the image taken so far.
    at: u64,
    stage: Stage,
    writer: StreamWriter,
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
    /// The bytes of an entry that is not complete.
    partial: Vec<u8>,
    /// Entries taken so far.
    taken: u32,
    owners: Owners,
    /// Blocks of the disk below are done once blocks of the file are known not to come in its order: those
    /// that nothing will be written to are zeros by then.
    zeroed: Option<u32>,
}

/// The blocks as far as they have come.
struct Blocks {
    header: Header,
    owners: Owners,
    /// Guest bytes below are done, where blocks come in the order of the disk.
    done: Option<u64>,
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
                Ok(()) => map.into_blocks(sink)?.finish(self.at, &mut self.writer, sink),
            },
            Stage::Blocks(blocks) => blocks.finish(self.at, &mut self.writer, sink),
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
                let used = map.take(self.at, input, sink)?;
                let end = self.at.saturating_add(used as u64);
                let stage = if end >= map.header.geometry.map_end().0 {
                    Stage::Blocks(Box::new(map.into_blocks(sink)?))
                } else {
                    Stage::Map(map)
                };
                Ok((stage, used))
            }
            Stage::Blocks(mut blocks) => {
                let used = blocks.take(self.at, input, &mut self.writer, sink)?;
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
        check_fits(&header, limits)?;
        let owners = Owners::new(Budget::new("block map of a stream", limits.metadata_cache));
        Ok(Self { header, partial: Vec::new(), taken: 0, owners, zeroed: None })
    }

    /// Takes some of the bytes at `at`; returns how many.
    fn take(&mut self, at: u64, input: &[u8], sink: &dyn BlockSink) -> Result<usize> {
        let before = self.header.geometry.map.0.saturating_sub(at);
        if before > 0 {
            return Ok(usize::try_from(before).unwrap_or(usize::MAX).min(input.len()));
        }
        let mut rest = input;
        while !rest.is_empty() && self.taken < self.header.geometry.blocks {
            let missing = 4_usize.saturating_sub(self.partial.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.partial.extend_from_slice(now);
            rest = later;
            if let Some(entry) = self.partial.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) {
                self.partial.clear();
                self.entry(entry, sink)?;
                self.taken = self.taken.saturating_add(1);
            }
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    fn entry(&mut self, entry: u32, sink: &dyn BlockSink) -> Result<()> {
        let Entry::Block(index) = Entry::decode(entry) else { return Ok(()) };
        let geometry = &self.header.geometry;
        if index >= geometry.blocks {
            return Err(corrupt("block map entry")
                .at(geometry.entry_at(self.taken.into()).0)
                .guest(geometry.guest_start(self.taken.into()).0)
                .found(index)
                .expected(format_args!("less than the number of blocks, {}", geometry.blocks)));
        }
        if self.zeroed.is_none() && !self.owners.is_behind(index) {
            self.leave_order(sink)?;
        }
        self.owners.add(index, self.taken)?;
        self.use_block(self.taken, sink)
    }

    /// Blocks of the file do not come in the order of the disk: what nothing will be written to is told now.
    fn leave_order(&mut self, sink: &dyn BlockSink) -> Result<()> {
        if sink.properties().order == WriteOrder::Ascending {
            return Err(Error::new(ErrorKind::NeedsSeek)
                .format(FORMAT)
                .field("block map")
                .because("blocks do not lie in the order of the disk, and the target takes no other order"));
        }
        let mut next = 0;
        for (_, owner) in self.owners.iter() {
            self.header.zero_blocks(next..owner, sink)?;
            next = owner.saturating_add(1);
        }
        self.zeroed = Some(next);
        Ok(())
    }

    /// Something will be written to `block`, and nothing to those before it that are not done.
    fn use_block(&mut self, block: u32, sink: &dyn BlockSink) -> Result<()> {
        if let Some(next) = self.zeroed {
            self.header.zero_blocks(next..block, sink)?;
            self.zeroed = Some(block.saturating_add(1));
        }
        Ok(())
    }

    fn into_blocks(mut self: Box<Self>, sink: &dyn BlockSink) -> Result<Blocks> {
        self.use_block(self.header.geometry.blocks, sink)?;
        self.owners.sort();
        let done = if self.zeroed.is_some() { None } else { Some(0) };
        Ok(Blocks { header: self.header, owners: self.owners, done })
    }
}

/// Says by the header whether the map, turned round, keeps to its limit, so that nothing is lost of an image
/// that has to be kept first.
fn check_fits(header: &Header, limits: &Limits) -> Result<()> {
    let fields = &header.fields;
    let used = fields.blocks_allocated.min(header.geometry.blocks);
    let need = u64::from(used).saturating_mul(ENTRY_BYTES);
    if need <= limits.metadata_cache {
        return Ok(());
    }
    Err(too_many()
        .at(fields.places().blocks_allocated)
        .found(format_args!("{need} bytes for {used} blocks in use"))
        .expected(format_args!("at most {} bytes", limits.metadata_cache)))
}

impl Header {
    /// Where a block of the disk begins, or the disk ends.
    fn clipped(&self, block: u32) -> u64 {
        self.geometry.guest_start(block.into()).0.min(self.size())
    }

    /// Tells that blocks of the disk are zeros.
    fn zero_blocks(&self, blocks: Range<u32>, sink: &dyn BlockSink) -> Result<()> {
        let range = self.clipped(blocks.start)..self.clipped(blocks.end);
        if range.is_empty() { Ok(()) } else { sink.zero(range) }
    }
}

impl Blocks {
    /// Takes some of the bytes at `at`; returns how many, at least one.
    fn take(
        &mut self,
        at: u64,
        input: &[u8],
        writer: &mut StreamWriter,
        sink: &dyn BlockSink,
    ) -> Result<usize> {
        let upto = |end: u64| usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(input.len());
        let geometry = self.header.geometry;
        let Some(past) = at.checked_sub(geometry.data.0) else {
            return Ok(upto(geometry.data.0));
        };
        let index = past.checked_div(geometry.stride()).and_then(|index| u32::try_from(index).ok());
        let Some(index) = index.filter(|index| !self.owners.is_behind(*index)) else {
            // Behind the last block in use.
            return Ok(input.len());
        };
        let host = geometry.host(index).0;
        if at < host {
            return Ok(upto(host));
        }
        let used = upto(host.saturating_add(geometry.block_bytes()));
        for owner in self.owners.of(index) {
            let guest = self.header.clipped(owner).saturating_add(at.saturating_sub(host));
            let left = self.header.size().saturating_sub(guest);
            let seen = usize::try_from(left).unwrap_or(usize::MAX).min(used);
            let bytes = input.get(..seen).unwrap_or_default();
            self.done = emit(self.done, guest, bytes, writer, sink)?;
        }
        Ok(used)
    }

    /// The image ended at byte `at`.
    fn finish(self, at: u64, writer: &mut StreamWriter, sink: &dyn BlockSink) -> Result<u64> {
        self.check_all_came(at)?;
        let size = self.header.size();
        if let Some(done) = self.done {
            writer.append_zeros(done..size, sink)?;
        }
        writer.flush(sink)?;
        Ok(size)
    }

    /// Every block in use has to be there, as far as a guest can see it.
    fn check_all_came(&self, at: u64) -> Result<()> {
        let (geometry, size) = (&self.header.geometry, self.header.size());
        for (index, owner) in self.owners.iter() {
            let guest = self.header.clipped(owner);
            if guest == size {
                continue;
            }
            let host = geometry.host(index);
            let seen = size.saturating_sub(guest).min(geometry.block_bytes());
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

/// Passes the bytes at `guest` on, in the order of the disk behind what is `done`, or in any order. Returns
/// what is done then.
fn emit(
    done: Option<u64>,
    guest: u64,
    bytes: &[u8],
    writer: &mut StreamWriter,
    sink: &dyn BlockSink,
) -> Result<Option<u64>> {
    if bytes.is_empty() {
        return Ok(done);
    }
    if let Some(done) = done {
        writer.append_zeros(done..guest, sink)?;
    }
    writer.append(guest, bytes, sink)?;
    Ok(done.map(|_| guest.saturating_add(bytes.len() as u64)))
}

fn failed_before() -> Error {
    invalid("stream").because("it failed before, and takes no more")
}

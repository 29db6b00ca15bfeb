//! Guest bytes from compressed units.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::{BlockSource, CacheGroup, Error, ErrorKind, GuestOffset, ReadCursor, Result, range};

use super::unit_cache::{CACHE_BYTES, UnitCache};
use super::unit_map::{CompressedUnit, UnitMap};

/// The maximum number of idle codecs that are kept for later reads. Our limit: the threads that a large
/// machine runs at the same time.
const IDLE_CODECS: usize = 64;
/// The maximum number of compressed bytes that are read in one call, unless a single unit is longer. Our
/// limit: one large read costs a disk little more than a small one, and each thread holds one such buffer.
const BATCH_BYTES: u64 = 1 << 20;
/// The largest buffer of compressed bytes that an idle codec keeps. Our limit: one unit of 64 KiB that did not become
/// smaller fits.
const IDLE_INPUT: usize = 128 << 10;
/// The largest gap between two compressed units that are read in one call. Our limit.
const GAP_BYTES: u64 = 16_384;

/// Reads guest bytes from compressed units, for any number of threads at the same time.
///
/// Keeps idle codecs, and the units that were last read in part within a budget. `C` is [`UnitMap::Codec`]. No lock is held
/// while bytes are read or decompressed.
pub struct UnitReader<C> {
    idle: Mutex<Vec<ReaderState<C>>>,
    cache: UnitCache,
}

/// The buffers and the codec of one thread.
struct ReaderState<C> {
    codec: C,
    /// The units that are read in one call.
    batch: Vec<CompressedUnit>,
    /// Their compressed bytes.
    input: Vec<u8>,
}

impl<C> UnitReader<C> {
    /// Creates a reader without codecs; they are created when first needed. It caches at most 4 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::in_group(CACHE_BYTES, &CacheGroup::default())
    }

    /// Creates a reader that caches at most 4 MiB, and not more than its part of `budget` bytes, which it divides with
    /// the other caches of `group` once it has read a part of a unit. It keeps the unit that it used last, whatever its
    /// size.
    #[must_use]
    pub fn in_group(budget: u64, group: &CacheGroup) -> Self {
        Self { idle: Mutex::default(), cache: UnitCache::in_group(budget, group) }
    }

    /// Fills `buf` with the guest bytes at `guest`, all of which are in compressed units of `map`.
    ///
    /// Whole units are decompressed straight into `buf`. A unit that is read in part is cached, because the
    /// next read is likely to need the rest of it.
    ///
    /// # Errors
    /// The first error of `map` or of its source; the content of `buf` is then undefined.
    pub fn read<M: UnitMap<Codec = C>>(&self, map: &M, guest: GuestOffset, buf: &mut [u8]) -> Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut state = idle.unwrap_or_else(|| ReaderState {
            codec: map.new_codec(),
            batch: Vec::new(),
            input: Vec::new(),
        });
        let result = self.fill(&mut state, map, guest, buf);
        if state.input.capacity() > IDLE_INPUT {
            state.input = Vec::new();
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CODECS {
            idle.push(state);
        }
        result
    }

    fn fill<M: UnitMap<Codec = C>>(
        &self,
        state: &mut ReaderState<C>,
        map: &M,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let unit_size = map.unit_size().max(1);
        let mut rest = ReadCursor::new(guest.0, buf);
        while !rest.is_empty() {
            let at = GuestOffset(rest.offset());
            let skip = at.0 % unit_size;
            let in_whole_units = rest.len() - rest.len() % unit_size;
            if skip == 0 && in_whole_units > 0 {
                read_whole(state, map, at, rest.take(in_whole_units).ok_or_else(internal)?)?;
            } else {
                let len = (unit_size - skip).min(rest.len());
                self.read_part(state, map, at, rest.take(len).ok_or_else(internal)?)?;
            }
        }
        Ok(())
    }

    /// Fills `buf` with a part of one unit.
    fn read_part<M: UnitMap<Codec = C>>(
        &self,
        state: &mut ReaderState<C>,
        map: &M,
        guest: GuestOffset,
        buf: &mut [u8],
    ) -> Result<()> {
        let start = GuestOffset(guest.0 - guest.0 % map.unit_size().max(1));
        let key = map.cache_key(start);
        let unit = match self.cache.get(key) {
            Some(unit) => unit,
            None => {
                let unit = Arc::new(decompress(state, map, start)?);
                self.cache.insert(key, Arc::clone(&unit));
                unit
            }
        };
        let part = guest.0..guest.plus(buf.len() as u64).0;
        buf.copy_from_slice(range::slice(&unit, start.0, &part).ok_or_else(internal)?);
        Ok(())
    }
}

impl<C> Default for UnitReader<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Decompresses the whole unit that starts at `start`.
fn decompress<M: UnitMap>(state: &mut ReaderState<M::Codec>, map: &M, start: GuestOffset) -> Result<Vec<u8>> {
    let unit = map.unit(start)?;
    let mut output = vec![0; usize::try_from(map.unit_size()).map_err(|_| internal())?];
    let input = host_bytes(map.source(), &unit.host, &mut state.input)?;
    map.decode(&mut state.codec, &unit, start, input, &mut output)?;
    Ok(output)
}

/// Fills `buf`, a whole number of units.
fn read_whole<M: UnitMap>(
    state: &mut ReaderState<M::Codec>,
    map: &M,
    guest: GuestOffset,
    buf: &mut [u8],
) -> Result<()> {
    let unit_size = map.unit_size();
    let output_len = usize::try_from(unit_size).map_err(|_| internal())?;
    let mut rest = ReadCursor::new(guest.0, buf);
    while !rest.is_empty() {
        let mut start = GuestOffset(rest.offset());
        let host = gather(map, start, rest.end(), &mut state.batch)?;
        let len = (state.batch.len() as u64).saturating_mul(unit_size);
        let outputs = rest.take(len).ok_or_else(internal)?;
        let input = host_bytes(map.source(), &host, &mut state.input)?;
        for (unit, output) in state.batch.iter().zip(outputs.chunks_exact_mut(output_len)) {
            let input = range::slice(input, host.start, &unit.host).ok_or_else(internal)?;
            map.decode(&mut state.codec, unit, start, input, output)?;
            start = start.plus(unit_size);
        }
    }
    Ok(())
}

/// Collects the units from `guest` up to `end` whose bytes are worth reading in one call, at least one.
/// Returns the host bytes to read.
fn gather<M: UnitMap>(
    map: &M,
    guest: GuestOffset,
    end: u64,
    batch: &mut Vec<CompressedUnit>,
) -> Result<Range<u64>> {
    let first = map.unit(guest)?;
    let mut host = first.host.clone();
    batch.clear();
    batch.push(first);
    let mut at = guest.plus(map.unit_size());
    while at.0 < end {
        let next = map.unit(at)?;
        let is_near = next.host.start >= host.start
            && next.host.start <= host.end.saturating_add(GAP_BYTES)
            && range::len(&(host.start..next.host.end)) <= BATCH_BYTES;
        if !is_near {
            break;
        }
        host.end = host.end.max(next.host.end);
        batch.push(next);
        at = at.plus(map.unit_size());
    }
    Ok(host)
}

/// Returns the bytes `host` of `source`: in place if they are in memory, otherwise read into `buf`.
fn host_bytes<'a>(source: &'a dyn BlockSource, host: &Range<u64>, buf: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    if let Some(bytes) = source.locate(host.clone()).bytes {
        return Ok(bytes);
    }
    let len = range::buffer_len(host);
    if buf.len() < len {
        buf.resize(len, 0);
    }
    let bytes = buf.get_mut(..len).ok_or_else(internal)?;
    source.read_at(host.start, bytes)?;
    Ok(bytes)
}

/// The error for a bug in this workspace, not a fault of the image.
fn internal() -> Error {
    Error::new(ErrorKind::Internal).because("the lengths of compressed units disagree")
}

//! Disks in memory: a source and a sink.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{BlockSink, BlockSource, Error, ErrorKind, Location, Result, SinkProperties, check_range, range};

/// A disk whose bytes are in memory.
///
/// ```
/// use diskimg_core::{BlockSource, Memory};
/// let disk = Memory::new(vec![1, 2, 3]);
/// assert_eq!(disk.locate(1..3).bytes, Some(&[2, 3][..]));
/// ```
#[derive(Clone, Debug)]
pub struct Memory(Arc<[u8]>);

impl Memory {
    /// Creates a disk of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl BlockSource for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        let range = offset..offset.saturating_add(buf.len() as u64);
        let bytes = range::slice(&self.0, 0, &range).ok_or_else(|| Error::new(ErrorKind::Internal))?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        Location { host: None, bytes: range::slice(&self.0, 0, &range) }
    }
}

/// A disk being written into memory: for tests, small images and callers without files.
///
/// It grows as it is written, up to its limit. Clones share the bytes: keep one and read it with
/// [`MemorySink::bytes`].
///
/// ```
/// use diskimg_core::{BlockSink, MemorySink};
/// let sink = MemorySink::new(1 << 20);
/// let kept = sink.clone();
/// sink.write_at(2, b"ok")?;
/// Box::new(sink).finish()?;
/// assert_eq!(kept.bytes(), b"\0\0ok");
/// # Ok::<(), diskimg_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemorySink {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: u64,
}

impl MemorySink {
    /// Creates an empty disk that may grow to `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    /// Returns a copy of the bytes written so far, with holes as zeros.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with_range(&self, offset: u64, len: u64, change: impl FnOnce(&mut [u8])) -> Result<()> {
        let over =
            || Error::new(ErrorKind::Limit).field("memory disk").at(offset).because("grows past its limit");
        let end = offset.checked_add(len).filter(|end| *end <= self.limit);
        let part = end.and_then(|end| range::indices(&(offset..end), 0)).ok_or_else(over)?;
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let more = part.end.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| over())?;
        let len = bytes.len().max(part.end);
        bytes.resize(len, 0);
        bytes.get_mut(part).map(change);
        Ok(())
    }
}

impl BlockSink for MemorySink {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.with_range(offset, data.len() as u64, |range| range.copy_from_slice(data))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.with_range(range.start, range::len(&range), |range| range.fill(0))
    }

    fn properties(&self) -> SinkProperties {
        SinkProperties::default()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

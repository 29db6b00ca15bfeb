//! Layers read as one disk.

use std::ops::Range;
use std::sync::Arc;

use crate::{
    BlockSource, Error, ErrorKind, Extent, ExtentKind, Location, ReadCursor, Result, check_extent_range,
    check_range, range,
};

/// Layers read as one disk, top first: ranges that are unallocated in a layer are read from the next one below.
///
/// The size is that of the top layer. A longer layer below is clipped to it. Past the end of a shorter layer the
/// disk reads as zeros, which belong to that layer.
///
/// ```
/// use diskimg_core::{BlockSource, Chain, Memory};
/// use std::sync::Arc;
/// let base: Arc<dyn BlockSource> = Arc::new(Memory::new(vec![9; 1024]));
/// let chain = Chain::new(vec![base])?;
/// assert_eq!(chain.size(), 1024);
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct Chain {
    /// At least one.
    layers: Vec<Arc<dyn BlockSource>>,
}

impl Chain {
    /// Creates a disk of these layers, top first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is no layer.
    pub fn new(layers: Vec<Arc<dyn BlockSource>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput).because("a chain needs at least one layer"));
        }
        Ok(Self { layers })
    }
}

/// Fills `buf` from these layers, top first. Adjacent runs of one layer are read in one call, so that a format can
/// batch them.
fn read_layers(layers: &[Arc<dyn BlockSource>], offset: u64, buf: &mut [u8]) -> Result<()> {
    let Some((layer, below)) = layers.split_first() else {
        buf.fill(0);
        return Ok(());
    };
    let held = range::buffer_len(&(offset..layer.size())).min(buf.len());
    let (held, past_end) = buf.split_at_mut(held);
    past_end.fill(0);
    if below.is_empty() {
        return if held.is_empty() { Ok(()) } else { layer.read_at(offset, held) };
    }
    let mut rest = ReadCursor::new(offset, held);
    while !rest.is_empty() {
        let at = rest.offset();
        let (own, len) = run_of(layer, at..rest.end())?;
        let run = rest.take(len.min(rest.len())).unwrap_or_default();
        if own {
            layer.read_at(at, run)?;
        } else {
            read_layers(below, at, run)?;
        }
    }
    Ok(())
}

/// Returns the length of the longest run at the start of `range` that is all allocated in the layer (`true`) or all
/// unallocated (`false`).
fn run_of(layer: &dyn BlockSource, range: Range<u64>) -> Result<(bool, u64)> {
    let own = |extent: &Extent<'_>| extent.kind != ExtentKind::Unallocated;
    let first = layer.extent_at(range.clone())?;
    if first.len == 0 {
        // A caller's own source may violate the rules of `extent_at`, and the read must still end.
        return Err(Error::new(ErrorKind::InvalidInput)
            .field("extent")
            .guest(range.start)
            .found("0 bytes long")
            .expected("at least one byte"));
    }
    let mut end = first.end();
    while end < range.end {
        let next = layer.extent_at(end..range.end)?;
        if own(&next) != own(&first) || next.len == 0 {
            break;
        }
        end = next.end();
    }
    Ok((own(&first), range::len(&(range.start..end))))
}

impl BlockSource for Chain {
    fn size(&self) -> u64 {
        self.layers.first().map_or(0, BlockSource::size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size())?;
        read_layers(&self.layers, offset, buf)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        check_extent_range(&range, self.size())?;
        let mut range = range;
        let mut answer = Extent::new(range.clone(), ExtentKind::Unallocated);
        for (depth, layer) in (0_u32..).zip(&self.layers) {
            if range.start >= layer.size() {
                return Ok(Extent { depth, ..Extent::new(range, ExtentKind::Zero) });
            }
            let held = range.start..range.end.min(layer.size());
            answer = Extent { depth, ..layer.extent_at(held)? };
            if answer.kind != ExtentKind::Unallocated {
                break;
            }
            range = answer.range();
        }
        Ok(answer)
    }

    fn locate(&self, range: Range<u64>) -> Location<'_> {
        match self.layers.as_slice() {
            [only] => only.locate(range),
            _ => Location::default(),
        }
    }

    fn decode_unit(&self) -> u64 {
        self.layers.iter().map(BlockSource::decode_unit).max().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extents, Memory};

    /// A layer of sectors; `None` is unallocated.
    struct SectorLayer(Vec<Option<u8>>);

    impl BlockSource for SectorLayer {
        fn size(&self) -> u64 {
            self.0.len() as u64 * 512
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            check_range(offset, buf.len() as u64, self.size())?;
            for (byte, at) in buf.iter_mut().zip(offset..) {
                *byte = self.0[usize::try_from(at / 512).unwrap()].unwrap_or(0);
            }
            Ok(())
        }
        fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
            let end = range.end.min((range.start / 512 + 1) * 512);
            let kind = match self.0[usize::try_from(range.start / 512).unwrap()] {
                Some(_) => ExtentKind::Data,
                None => ExtentKind::Unallocated,
            };
            Ok(Extent::new(range.start..end, kind))
        }
    }

    fn chain(layers: Vec<SectorLayer>) -> Chain {
        Chain::new(layers.into_iter().map(|l| Arc::new(l) as Arc<dyn BlockSource>).collect()).unwrap()
    }

    fn bytes(chain: &Chain) -> Vec<u8> {
        let mut all = vec![0xEE; usize::try_from(chain.size()).unwrap()];
        chain.read_at(0, &mut all).unwrap();
        all.chunks(512).map(|sector| sector[0]).collect()
    }

    #[test]
    fn first_layer_that_stores_a_byte_is_read() {
        let chain = chain(vec![
            SectorLayer(vec![None, Some(1), None, None]),
            SectorLayer(vec![Some(2), Some(2), None, None]),
            SectorLayer(vec![Some(3), Some(3), Some(3), Some(3)]),
        ]);
        assert_eq!(bytes(&chain), [2, 1, 3, 3]);
        let runs: Vec<_> = Extents::new(&chain, 0..chain.size())
            .map(|e| e.map(|e| (e.offset, e.len, e.depth)).unwrap())
            .collect();
        assert_eq!(runs, [(0, 512, 1), (512, 512, 0), (1024, 1024, 2)]);
    }

    #[test]
    fn disk_past_a_shorter_layer_reads_as_zeros_of_that_layer() {
        let chain = chain(vec![
            SectorLayer(vec![None, None, None]),
            SectorLayer(vec![Some(7)]),
            SectorLayer(vec![Some(8); 3]),
        ]);
        assert_eq!(bytes(&chain), [7, 0, 0]);
        let tail = Extents::new(&chain, 512..1536).next().unwrap().unwrap();
        assert_eq!((tail.kind, tail.depth, tail.len), (ExtentKind::Zero, 1, 1024));
    }

    #[test]
    fn longer_layer_below_is_clipped_to_the_top_size() {
        let chain = chain(vec![SectorLayer(vec![None]), SectorLayer(vec![Some(5), Some(6)])]);
        assert_eq!(bytes(&chain), [5]);
        assert_eq!(chain.read_at(512, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfBounds);
    }

    #[test]
    fn range_unallocated_in_all_layers_is_unallocated() {
        let chain = chain(vec![SectorLayer(vec![None]), SectorLayer(vec![None])]);
        let extent = chain.extent_at(0..512).unwrap();
        assert_eq!((extent.kind, extent.depth), (ExtentKind::Unallocated, 1));
    }

    #[test]
    fn layer_with_an_empty_extent_is_an_error() {
        struct EmptyExtentSource;
        impl BlockSource for EmptyExtentSource {
            fn size(&self) -> u64 {
                1024
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
                Ok(())
            }
            fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
                Ok(Extent::new(range.start..range.start, ExtentKind::Data))
            }
        }
        let chain =
            Chain::new(vec![Arc::new(EmptyExtentSource), Arc::new(SectorLayer(vec![None, None]))]).unwrap();
        assert_eq!(chain.read_at(0, &mut [0; 512]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn chain_without_a_layer_is_refused() {
        assert_eq!(Chain::new(Vec::new()).err().unwrap().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn chain_of_memory_passes_the_suite() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| (i % 251) as u8).collect();
        let chain = Chain::new(vec![Arc::new(Memory::new(bytes.clone()))]).unwrap();
        crate::conformance::source(&chain, &bytes);
    }
}

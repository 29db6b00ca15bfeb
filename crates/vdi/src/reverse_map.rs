//! The block map, inverted: the guest blocks of each file block.

use diskimg_core::{Budget, Error, ErrorKind, LimitKind, Remedy, Result};

use crate::addr::ENTRY_BYTES;
use crate::errors::FORMAT;

/// Marks a file block that no guest block uses.
const UNUSED: u32 = u32::MAX;

/// Bytes of a further guest block of a file block.
const FURTHER_BYTES: u64 = 8;

/// The guest blocks of each file block.
pub(crate) struct ReverseMap {
    /// The first guest block of each file block.
    first: Vec<u32>,
    /// Pairs of a file block and a guest block, for file blocks with several.
    further: Vec<(u32, u32)>,
    budget: Budget,
}

impl ReverseMap {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { first: Vec::new(), further: Vec::new(), budget }
    }

    /// Returns true if file block `index` is past all file blocks in use.
    pub(crate) fn is_past_end(&self, index: u32) -> bool {
        usize::try_from(index).is_ok_and(|at| at >= self.first.len())
    }

    /// Records that guest block `block` is stored in file block `index`.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] if the budget is exhausted.
    pub(crate) fn add(&mut self, index: u32, block: u32) -> Result<()> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let missing = at.saturating_sub(self.first.len()).saturating_add(1);
        if at >= self.first.len() {
            reserve(&mut self.first, missing, ENTRY_BYTES, &self.budget)?;
            self.first.resize(at.saturating_add(1), UNUSED);
        }
        match self.first.get_mut(at) {
            Some(first) if *first == UNUSED => *first = block,
            _ => {
                reserve(&mut self.further, 1, FURTHER_BYTES, &self.budget)?;
                self.further.push((index, block));
            }
        }
        Ok(())
    }

    /// Prepares for [`ReverseMap::guest_blocks`], after the last [`ReverseMap::add`].
    pub(crate) fn sort(&mut self) {
        self.further.sort_unstable();
    }

    /// Iterates over the guest blocks of file block `index`.
    pub(crate) fn guest_blocks(&self, index: u32) -> impl Iterator<Item = u32> + Clone + use<'_> {
        let first = usize::try_from(index).ok().and_then(|at| self.first.get(at)).copied();
        let from = self.further.partition_point(|(at, _)| *at < index);
        let further = self.further.get(from..).unwrap_or_default().iter();
        let further = further.take_while(move |(at, _)| *at == index).map(|(_, block)| *block);
        first.into_iter().filter(|block| *block != UNUSED).chain(further)
    }

    /// Iterates over pairs of a file block and a guest block: the first guest block of each file block by ascending
    /// file block, then the further ones.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = (0..).zip(self.first.iter().copied()).filter(|(_, block)| *block != UNUSED);
        first.chain(self.further.iter().copied())
    }
}

/// Reserves room for `more` values of `bytes_each` bytes and takes them from the budget.
fn reserve<T>(values: &mut Vec<T>, more: usize, bytes_each: u64, budget: &Budget) -> Result<()> {
    let bytes = (more as u64).saturating_mul(bytes_each);
    let full = budget.take(bytes).is_err() || values.try_reserve(more).is_err();
    if full { Err(too_large().because("it has more blocks in use than its header counts")) } else { Ok(()) }
}

/// The error for a reverse map that exceeds the limit for tables.
pub(crate) fn too_large() -> Error {
    Error::new(ErrorKind::NeedsSeek)
        .format(FORMAT)
        .field("block map of a stream")
        .with_remedy(Remedy::RaiseLimit(LimitKind::Tables))
}

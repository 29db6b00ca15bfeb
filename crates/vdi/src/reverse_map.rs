//! Which blocks of the disk each block of the file belongs to: the block map, turned round.

use diskimg_core::{Budget, Error, ErrorKind, LimitKind, Remedy, Result};

use crate::addr::ENTRY_BYTES;
use crate::errors::FORMAT;

/// A block of the file that no block of the disk uses.
const UNUSED: u32 = u32::MAX;

/// Bytes of a further owner of a block of the file.
const FURTHER_BYTES: u64 = 8;

/// The owners of the blocks of a file, as its map tells them, in the order of the disk.
pub(crate) struct Owners {
    /// For each block of the file the first block of the disk that has it.
    first: Vec<u32>,
    /// The others where a block of the file has several: the block of the file, and that of the disk.
    further: Vec<(u32, u32)>,
    budget: Budget,
}

impl Owners {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { first: Vec::new(), further: Vec::new(), budget }
    }

    /// Whether block `index` of the file lies behind all that have an owner.
    pub(crate) fn is_behind(&self, index: u32) -> bool {
        usize::try_from(index).is_ok_and(|at| at >= self.first.len())
    }

    /// Records that block `index` of the file belongs to `block` of the disk, perhaps among others.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsSeek`] when memory is used up.
    pub(crate) fn add(&mut self, index: u32, block: u32) -> Result<()> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let missing = at.saturating_sub(self.first.len()).saturating_add(1);
        if at >= self.first.len() {
            reserve(&mut self.first, missing, ENTRY_BYTES, &self.budget)?;
            self.first.resize(at.saturating_add(1), UNUSED);
        }
        match self.first.get_mut(at) {
            Some(owner) if *owner == UNUSED => *owner = block,
            _ => {
                reserve(&mut self.further, 1, FURTHER_BYTES, &self.budget)?;
                self.further.push((index, block));
            }
        }
        Ok(())
    }

    /// All owners are known.
    pub(crate) fn sort(&mut self) {
        self.further.sort_unstable();
    }

    /// The owners of block `index` of the file.
    pub(crate) fn of(&self, index: u32) -> impl Iterator<Item = u32> + Clone + use<'_> {
        let first = usize::try_from(index).ok().and_then(|at| self.first.get(at)).copied();
        let from = self.further.partition_point(|(at, _)| *at < index);
        let further = self.further.get(from..).unwrap_or_default().iter();
        let further = further.take_while(move |(at, _)| *at == index).map(|(_, block)| *block);
        first.into_iter().filter(|owner| *owner != UNUSED).chain(further)
    }

    /// Each block of the file with an owner, and that; in the order of the file but for further owners.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let first = (0..).zip(self.first.iter().copied()).filter(|(_, owner)| *owner != UNUSED);
        first.chain(self.further.iter().copied())
    }
}

/// Makes room for `more` values of so many bytes each, out of the budget.
fn reserve<T>(values: &mut Vec<T>, more: usize, bytes_each: u64, budget: &Budget) -> Result<()> {
    let bytes = (more as u64).saturating_mul(bytes_each);
    let full = budget.take(bytes).is_err() || values.try_reserve(more).is_err();
    if full { Err(too_many().because("it names more blocks than its header counts")) } else { Ok(()) }
}

/// The map turned round is more than the limit for tables.
pub(crate) fn too_many() -> Error {
    Error::new(ErrorKind::NeedsSeek)
        .format(FORMAT)
        .field("block map of a stream")
        .with_remedy(Remedy::RaiseLimit(LimitKind::Tables))
}

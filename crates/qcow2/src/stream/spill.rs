//! Host bytes that have passed and that no table named, kept in case one does.

use std::collections::{BTreeMap, VecDeque};

use diskimg_core::{Result, SpillFile, zeros};

/// What one entry of the map costs, about.
const RUN_COST: u64 = 64;

/// Bytes that were put aside, under a bound of memory.
///
/// When memory is full the oldest go to the shelf, or are let go where there is none: an entry that comes late
/// most often names what stands just before its table.
pub(super) struct Aside {
    runs: BTreeMap<u64, Run>,
    /// Where the runs in memory begin, the oldest first.
    in_memory: VecDeque<u64>,
    memory_left: u64,
    shelf: Option<Box<dyn SpillFile>>,
}

struct Run {
    end: u64,
    place: Place,
}

enum Place {
    Zeros,
    Memory(Vec<u8>),
    SpillFile,
}

impl Aside {
    /// Nothing yet, and `memory` bytes to be used.
    pub(super) fn new(memory: u64, shelf: Option<Box<dyn SpillFile>>) -> Self {
        Self { runs: BTreeMap::new(), in_memory: VecDeque::new(), memory_left: memory, shelf }
    }

    /// Whether all that is put aside can be had again.
    pub(super) fn has_shelf(&self) -> bool {
        self.shelf.is_some()
    }

    /// Puts `bytes` aside, which stand at `offset` behind all that was put aside before.
    ///
    /// # Errors
    /// Those of the shelf.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if zeros::is_zero(bytes) {
            return self.add(offset, Run { end, place: Place::Zeros });
        }
        let cost = (bytes.len() as u64).saturating_add(RUN_COST);
        while self.memory_left < cost && self.move_oldest()? {}
        match self.memory_left.checked_sub(cost) {
            Some(left) => {
                self.memory_left = left;
                self.in_memory.push_back(offset);
                self.runs.insert(offset, Run { end, place: Place::Memory(bytes.to_vec()) });
                Ok(())
            }
            None => self.shelve(offset, bytes),
        }
    }

    /// Fills `buf` with the bytes at `offset`; `false` when some of them are not here.
    ///
    /// # Errors
    /// Those of the shelf.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<bool> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let Some((start, run)) = self.runs.range(..=at).next_back() else { return Ok(false) };
            let held = run.end.saturating_sub(at).min(rest.len() as u64);
            let (now, later) = rest.split_at_mut(usize::try_from(held).unwrap_or_default());
            if now.is_empty() {
                return Ok(false);
            }
            match &run.place {
                Place::Zeros => now.fill(0),
                Place::Memory(bytes) => {
                    let from = usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX);
                    match bytes.get(from..).and_then(|bytes| bytes.get(..now.len())) {
                        Some(bytes) => now.copy_from_slice(bytes),
                        None => return Ok(false),
                    }
                }
                Place::SpillFile => match &mut self.shelf {
                    Some(shelf) => shelf.read_at(at, now)?,
                    None => return Ok(false),
                },
            }
            at = at.saturating_add(held);
            rest = later;
        }
        Ok(true)
    }

    /// Whether anything was moved out of memory.
    fn move_oldest(&mut self) -> Result<bool> {
        let Some(start) = self.in_memory.pop_front() else { return Ok(false) };
        if let Some(Run { place: Place::Memory(bytes), .. }) = self.runs.remove(&start) {
            self.memory_left = self.memory_left.saturating_add((bytes.len() as u64).saturating_add(RUN_COST));
            self.shelve(start, &bytes)?;
        }
        Ok(true)
    }

    fn shelve(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(shelf) = &mut self.shelf else { return Ok(()) };
        shelf.put(offset, bytes)?;
        self.add(offset, Run { end: offset.saturating_add(bytes.len() as u64), place: Place::SpillFile })
    }

    /// Adds a run that takes no bytes here, or makes the one before it longer.
    fn add(&mut self, offset: u64, run: Run) -> Result<()> {
        let before = self.runs.range_mut(..offset).next_back().map(|(_, before)| before);
        if let Some(before) = before.filter(|before| before.end == offset) {
            let alike = matches!(
                (&before.place, &run.place),
                (Place::Zeros, Place::Zeros) | (Place::SpillFile, Place::SpillFile)
            );
            if alike {
                before.end = run.end;
                return Ok(());
            }
        }
        while self.memory_left < RUN_COST && self.move_oldest()? {}
        if let Some(left) = self.memory_left.checked_sub(RUN_COST) {
            self.memory_left = left;
            self.runs.insert(offset, run);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use diskimg_core::conformance::painted;
    use std::sync::{Arc, Mutex};

    /// A shelf in memory; clones share it.
    #[derive(Clone, Default)]
    pub(in crate::stream) struct Boards(pub(in crate::stream) Arc<Mutex<BTreeMap<u64, u8>>>);

    impl SpillFile for Boards {
        fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
            let mut kept = self.0.lock().unwrap();
            for (at, byte) in (offset..).zip(bytes) {
                assert!(kept.insert(at, *byte).is_none(), "put twice at {at}");
            }
            Ok(())
        }

        fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let kept = self.0.lock().unwrap();
            for (at, byte) in (offset..).zip(buf) {
                *byte = kept[&at];
            }
            Ok(())
        }
    }

    fn filled(memory: u64, shelf: Option<Box<dyn SpillFile>>) -> Aside {
        let mut aside = Aside::new(memory, shelf);
        for index in 1..20 {
            let at = index * 1000;
            let bytes = if index % 3 == 0 { vec![0; 1000] } else { painted(at, 1000) };
            aside.put(at, &bytes).unwrap();
        }
        aside
    }

    fn expected() -> Vec<u8> {
        (1..20).flat_map(|i| if i % 3 == 0 { vec![0; 1000] } else { painted(i * 1000, 1000) }).collect()
    }

    #[test]
    fn what_was_put_aside_can_be_read_in_any_pieces() {
        for memory in [4000, 1 << 20] {
            let mut aside = filled(memory, Some(Box::new(Boards::default())));
            let mut all = vec![1; 19_000];
            assert!(aside.read(1000, &mut all).unwrap());
            assert!(all == expected());
            let mut part = vec![1; 2500];
            assert!(aside.read(2500, &mut part).unwrap());
            assert!(part == expected()[1500..4000]);
            for (offset, len) in [(999, 1), (999, 2), (19_999, 2), (20_000, 1)] {
                assert!(!aside.read(offset, &mut vec![0; len]).unwrap(), "{offset}");
            }
        }
    }

    #[test]
    fn without_a_shelf_the_oldest_bytes_are_let_go() {
        let mut aside = filled(4000, None);
        assert!(!aside.read(1000, &mut [0]).unwrap());
        let mut last = vec![0; 1000];
        assert!(aside.read(19_000, &mut last).unwrap());
        assert_eq!(last, painted(19_000, 1000));
    }
}

//! Streamed host bytes that no table has referred to yet.

use std::collections::{BTreeMap, VecDeque};

use diskimg_core::{Result, SpillFile, zeros};

use crate::addr::HostOffset;

/// Memory charged for one entry of the map. An estimate.
const RUN_COST: u64 = 64;

/// A store for streamed host bytes, limited in memory.
///
/// When memory is full, the oldest bytes move to the temporary file or, without one, are dropped: late references
/// are most often to bytes shortly before the table.
pub(super) struct Spill {
    runs: BTreeMap<HostOffset, SpilledRun>,
    /// The starts of the runs in memory, the oldest first.
    in_memory: VecDeque<HostOffset>,
    memory_left: u64,
    file: Option<Box<dyn SpillFile>>,
}

struct SpilledRun {
    end: HostOffset,
    bytes: SpilledBytes,
}

enum SpilledBytes {
    Zeros,
    InMemory(Vec<u8>),
    InFile,
}

impl Spill {
    /// An empty store that may use `memory` bytes of memory, and `file` when these are full.
    pub(super) fn new(memory: u64, file: Option<Box<dyn SpillFile>>) -> Self {
        Self { runs: BTreeMap::new(), in_memory: VecDeque::new(), memory_left: memory, file }
    }

    /// Returns true if no byte is ever dropped.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Stores `bytes`, which are at `offset` of the file, past all bytes stored before.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub(super) fn put(&mut self, offset: HostOffset, bytes: &[u8]) -> Result<()> {
        let end = offset.plus(bytes.len() as u64);
        if zeros::is_zero(bytes) {
            return self.add(offset, SpilledRun { end, bytes: SpilledBytes::Zeros });
        }
        let cost = (bytes.len() as u64).saturating_add(RUN_COST);
        while self.memory_left < cost && self.evict_oldest()? {}
        match self.memory_left.checked_sub(cost) {
            Some(left) => {
                self.memory_left = left;
                self.in_memory.push_back(offset);
                self.runs.insert(offset, SpilledRun { end, bytes: SpilledBytes::InMemory(bytes.to_vec()) });
                Ok(())
            }
            None => self.write_to_file(offset, bytes),
        }
    }

    /// Fills `buf` with the bytes at `offset`. Returns false if some of them are not stored.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub(super) fn read(&mut self, offset: HostOffset, buf: &mut [u8]) -> Result<bool> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let Some((start, run)) = self.runs.range(..=at).next_back() else { return Ok(false) };
            let len = run.end.since(at).min(rest.len() as u64);
            let (now, later) = rest.split_at_mut(usize::try_from(len).unwrap_or_default());
            if now.is_empty() {
                return Ok(false);
            }
            match &run.bytes {
                SpilledBytes::Zeros => now.fill(0),
                SpilledBytes::InMemory(bytes) => {
                    let from = usize::try_from(at.since(*start)).unwrap_or(usize::MAX);
                    match bytes.get(from..).and_then(|bytes| bytes.get(..now.len())) {
                        Some(bytes) => now.copy_from_slice(bytes),
                        None => return Ok(false),
                    }
                }
                SpilledBytes::InFile => match &mut self.file {
                    Some(file) => file.read_at(at.0, now)?,
                    None => return Ok(false),
                },
            }
            at = at.plus(len);
            rest = later;
        }
        Ok(true)
    }

    /// Moves the oldest bytes out of memory. Returns false if there are none.
    fn evict_oldest(&mut self) -> Result<bool> {
        let Some(start) = self.in_memory.pop_front() else { return Ok(false) };
        if let Some(SpilledRun { bytes: SpilledBytes::InMemory(bytes), .. }) = self.runs.remove(&start) {
            self.memory_left = self.memory_left.saturating_add((bytes.len() as u64).saturating_add(RUN_COST));
            self.write_to_file(start, &bytes)?;
        }
        Ok(true)
    }

    fn write_to_file(&mut self, offset: HostOffset, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.put(offset.0, bytes)?;
        let end = offset.plus(bytes.len() as u64);
        self.add(offset, SpilledRun { end, bytes: SpilledBytes::InFile })
    }

    /// Adds a run that has no bytes in memory, or extends the run before it.
    fn add(&mut self, offset: HostOffset, run: SpilledRun) -> Result<()> {
        let before = self.runs.range_mut(..offset).next_back().map(|(_, before)| before);
        if let Some(before) = before.filter(|before| before.end == offset) {
            let alike = matches!(
                (&before.bytes, &run.bytes),
                (SpilledBytes::Zeros, SpilledBytes::Zeros) | (SpilledBytes::InFile, SpilledBytes::InFile)
            );
            if alike {
                before.end = run.end;
                return Ok(());
            }
        }
        while self.memory_left < RUN_COST && self.evict_oldest()? {}
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

    /// A temporary file in memory. Clones share their content.
    #[derive(Clone, Default)]
    pub(in crate::stream) struct SharedSpillFile(pub(in crate::stream) Arc<Mutex<BTreeMap<u64, u8>>>);

    impl SpillFile for SharedSpillFile {
        fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
            let mut stored = self.0.lock().unwrap();
            for (at, byte) in (offset..).zip(bytes) {
                assert!(stored.insert(at, *byte).is_none(), "put twice at {at}");
            }
            Ok(())
        }

        fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let stored = self.0.lock().unwrap();
            for (at, byte) in (offset..).zip(buf) {
                *byte = stored[&at];
            }
            Ok(())
        }
    }

    fn filled(memory: u64, file: Option<Box<dyn SpillFile>>) -> Spill {
        let mut spill = Spill::new(memory, file);
        for index in 1..20 {
            let at = index * 1000;
            let bytes = if index % 3 == 0 { vec![0; 1000] } else { painted(at, 1000) };
            spill.put(HostOffset(at), &bytes).unwrap();
        }
        spill
    }

    fn expected() -> Vec<u8> {
        (1..20).flat_map(|i| if i % 3 == 0 { vec![0; 1000] } else { painted(i * 1000, 1000) }).collect()
    }

    #[test]
    fn spilled_bytes_are_read_back_in_any_pieces() {
        for memory in [4000, 1 << 20] {
            let mut spill = filled(memory, Some(Box::new(SharedSpillFile::default())));
            let mut all = vec![1; 19_000];
            assert!(spill.read(HostOffset(1000), &mut all).unwrap());
            assert!(all == expected());
            let mut part = vec![1; 2500];
            assert!(spill.read(HostOffset(2500), &mut part).unwrap());
            assert!(part == expected()[1500..4000]);
            for (offset, len) in [(999, 1), (999, 2), (19_999, 2), (20_000, 1)] {
                assert!(!spill.read(HostOffset(offset), &mut vec![0; len]).unwrap(), "{offset}");
            }
        }
    }

    #[test]
    fn spill_without_a_file_drops_its_oldest_bytes() {
        let mut spill = filled(4000, None);
        assert!(!spill.read(HostOffset(1000), &mut [0]).unwrap());
        let mut last = vec![0; 1000];
        assert!(spill.read(HostOffset(19_000), &mut last).unwrap());
        assert_eq!(last, painted(19_000, 1000));
    }
}

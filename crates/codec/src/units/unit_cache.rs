//! The units that were decompressed last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use diskimg_core::GuestOffset;

/// The size of the cache in bytes. Our limit: 64 readers in turn, each inside its own unit of 64 KiB,
/// decompress no unit twice.
const CACHE_BYTES: usize = 4 << 20;
/// The fewest and the most units in the cache, whatever their size.
const CACHED_UNITS: (usize, usize) = (2, 64);

/// A cache of units that were read in part, the least recently used first.
#[derive(Default)]
pub(super) struct UnitCache(Mutex<VecDeque<(GuestOffset, Arc<Vec<u8>>)>>);

impl UnitCache {
    /// Returns the decompressed unit stored under `key`.
    pub(super) fn get(&self, key: GuestOffset) -> Option<Arc<Vec<u8>>> {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = units.iter().rposition(|(stored, _)| *stored == key)?;
        let found = units.remove(index)?;
        let unit = Arc::clone(&found.1);
        units.push_back(found);
        Some(unit)
    }

    /// Stores a decompressed unit, unless another thread has already stored it.
    pub(super) fn insert(&self, key: GuestOffset, unit: Arc<Vec<u8>>) {
        let most = (CACHE_BYTES / unit.len().max(1)).clamp(CACHED_UNITS.0, CACHED_UNITS.1);
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if units.iter().any(|(stored, _)| *stored == key) {
            return;
        }
        while units.len() >= most {
            units.pop_front();
        }
        units.push_back((key, unit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Arc<Vec<u8>> {
        Arc::new(vec![0; 2 << 20])
    }

    #[test]
    fn least_recently_used_unit_is_evicted() {
        let cache = UnitCache::default();
        for key in [1, 2] {
            cache.insert(GuestOffset(key), unit());
        }
        assert!(cache.get(GuestOffset(1)).is_some());
        cache.insert(GuestOffset(3), unit());
        let cached = [1, 2, 3].map(|key| cache.get(GuestOffset(key)).is_some());
        assert_eq!(cached, [true, false, true]);
    }

    #[test]
    fn first_copy_of_a_unit_stays() {
        let cache = UnitCache::default();
        let first = unit();
        cache.insert(GuestOffset(1), Arc::clone(&first));
        cache.insert(GuestOffset(1), unit());
        assert!(Arc::ptr_eq(&cache.get(GuestOffset(1)).unwrap(), &first));
    }

    #[test]
    fn small_units_are_bounded_by_their_number() {
        let cache = UnitCache::default();
        for key in 0..100 {
            cache.insert(GuestOffset(key), Arc::new(vec![0; 512]));
        }
        let cached = (0..100).filter(|key| cache.get(GuestOffset(*key)).is_some()).count();
        assert_eq!(cached, CACHED_UNITS.1);
    }
}

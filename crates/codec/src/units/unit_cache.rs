//! The units that were decompressed last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use diskimg_core::{CacheGroup, CacheShare, GuestOffset};

/// The most bytes of the cache. Our limit: 64 readers in turn, each inside its own unit of 64 KiB, decompress no unit
/// twice.
pub(super) const CACHE_BYTES: u64 = 4 << 20;
/// The most units in the cache, whatever their size.
const CACHED_UNITS: usize = 64;

/// A cache of units that were read in part, the least recently used first.
///
/// It takes its part of a budget when the first unit is stored, so that an image without compressed units has the whole
/// budget for its tables.
pub(super) struct UnitCache {
    units: Mutex<VecDeque<(GuestOffset, Arc<Vec<u8>>)>>,
    budget: u64,
    group: CacheGroup,
    share: OnceLock<CacheShare>,
}

impl UnitCache {
    /// Creates a cache that divides `budget` bytes with the other caches of `group`. It keeps the unit that it used last,
    /// whatever its size.
    pub(super) fn in_group(budget: u64, group: &CacheGroup) -> Self {
        Self { units: Mutex::default(), budget, group: group.clone(), share: OnceLock::new() }
    }

    /// Returns the decompressed unit stored under `key`.
    pub(super) fn get(&self, key: GuestOffset) -> Option<Arc<Vec<u8>>> {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let index = units.iter().rposition(|(stored, _)| *stored == key)?;
        let found = units.remove(index)?;
        let unit = Arc::clone(&found.1);
        units.push_back(found);
        Some(unit)
    }

    /// Stores a decompressed unit, unless another thread has already stored it.
    pub(super) fn insert(&self, key: GuestOffset, unit: Arc<Vec<u8>>) {
        let share = self.share.get_or_init(|| self.group.join(self.budget));
        let most = share.bytes().min(CACHE_BYTES);
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if units.iter().any(|(stored, _)| *stored == key) {
            return;
        }
        units.push_back((key, unit));
        let mut bytes: u64 = units.iter().map(|(_, unit)| unit.len() as u64).sum();
        while units.len() > CACHED_UNITS || (bytes > most && units.len() > 1) {
            let Some((_, dropped)) = units.pop_front() else { return };
            bytes = bytes.saturating_sub(dropped.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> UnitCache {
        UnitCache::in_group(CACHE_BYTES, &CacheGroup::default())
    }

    /// The bytes in the cache.
    fn bytes(cache: &UnitCache) -> usize {
        cache.units.lock().unwrap().iter().map(|(_, unit)| unit.len()).sum()
    }

    #[test]
    fn units_stay_within_their_part_of_the_budget() {
        for (budget, unit, most) in [
            (16 << 20, 64 << 10, 4 << 20),
            (1 << 20, 64 << 10, 1 << 19),
            (1 << 20, 4096, 64 * 4096),
            // The unit that was used last is kept.
            (64 << 10, 2 << 20, 2 << 20),
            (0, 64 << 10, 64 << 10),
        ] {
            let group = CacheGroup::default();
            let tables = group.join(budget);
            let cache = UnitCache::in_group(budget, &group);
            assert_eq!(tables.bytes(), budget, "a cache without units has no part");
            for key in 0..100 {
                cache.insert(GuestOffset(key), Arc::new(vec![0; unit]));
                assert!(bytes(&cache) <= most, "{budget} {unit}");
                assert!(cache.get(GuestOffset(key)).is_some());
            }
            assert_eq!(bytes(&cache), most, "{budget} {unit}");
            assert_eq!(tables.bytes(), budget / 2);
            drop(cache);
            assert_eq!(tables.bytes(), budget);
        }
    }

    fn unit() -> Arc<Vec<u8>> {
        Arc::new(vec![0; 2 << 20])
    }

    #[test]
    fn least_recently_used_unit_is_evicted() {
        let cache = cache();
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
        let cache = cache();
        let first = unit();
        cache.insert(GuestOffset(1), Arc::clone(&first));
        cache.insert(GuestOffset(1), unit());
        assert!(Arc::ptr_eq(&cache.get(GuestOffset(1)).unwrap(), &first));
    }

    #[test]
    fn small_units_are_bounded_by_their_number() {
        let cache = cache();
        for key in 0..100 {
            cache.insert(GuestOffset(key), Arc::new(vec![0; 512]));
        }
        let cached = (0..100).filter(|key| cache.get(GuestOffset(*key)).is_some()).count();
        assert_eq!(cached, CACHED_UNITS);
    }
}

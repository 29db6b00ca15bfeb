//! A cache of table pages with a budget of bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;

/// The number of shards, each with a lock. Our limit: enough that 64 threads rarely wait for each other, few enough
/// that a budget of 1 MiB leaves each shard a page.
const SHARDS: u64 = 16;

/// A cache of the pages of an image's tables with a budget of bytes, shared by all threads.
///
/// Keys are the host offsets of the pages. Missing pages are loaded outside the locks, so a slow disk does not block
/// other threads; two threads may load the same page at the same time, and one copy is stored. Eviction is CLOCK: pages
/// that were not used since the hand last passed go first.
///
/// ```
/// use diskimg_core::MetadataCache;
/// let cache: MetadataCache<[u64]> = MetadataCache::new(1 << 20);
/// let page = cache.get_or_load(65536, || Ok(vec![1_u64, 2, 3].into()))?;
/// let again = cache.get_or_load(65536, || unreachable!("it is cached"))?;
/// assert!(std::sync::Arc::ptr_eq(&page, &again));
/// # Ok::<(), diskimg_core::Error>(())
/// ```
pub struct MetadataCache<V: ?Sized> {
    shards: Vec<Mutex<CacheShard<V>>>,
    share: CacheShare,
}

/// The caches that divide one budget equally: those of the layers of one disk. Clones are the same group.
///
/// ```
/// use diskimg_core::{CacheGroup, MetadataCache};
/// let group = CacheGroup::default();
/// let top: MetadataCache<[u8]> = MetadataCache::in_group(1 << 20, &group);
/// let base: MetadataCache<[u8]> = MetadataCache::in_group(1 << 20, &group);
/// assert_eq!((top.budget(), base.budget()), (1 << 19, 1 << 19));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CacheGroup(Arc<AtomicU64>);

impl CacheGroup {
    /// Adds a cache to the group until the result is dropped. All caches of a group divide the same `budget` of bytes.
    #[must_use]
    pub fn join(&self, budget: u64) -> CacheShare {
        self.0.fetch_add(1, Ordering::Relaxed);
        CacheShare { budget, group: self.clone() }
    }
}

/// The part of a budget that one cache of a [`CacheGroup`] may use.
///
/// ```
/// use diskimg_core::CacheGroup;
/// let group = CacheGroup::default();
/// let tables = group.join(1 << 20);
/// assert_eq!(tables.bytes(), 1 << 20);
/// let clusters = group.join(1 << 20);
/// assert_eq!((tables.bytes(), clusters.bytes()), (1 << 19, 1 << 19));
/// ```
#[derive(Debug)]
pub struct CacheShare {
    budget: u64,
    group: CacheGroup,
}

impl CacheShare {
    /// The bytes that the cache may have now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let caches = self.group.0.load(Ordering::Relaxed).max(1);
        self.budget.checked_div(caches).unwrap_or(self.budget)
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        self.group.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct CacheShard<V: ?Sized> {
    pages: HashMap<u64, CachedPage<V>>,
    hand: VecDeque<u64>,
    used: u64,
}

struct CachedPage<V: ?Sized> {
    value: Arc<V>,
    used_lately: bool,
}

impl<V: ?Sized> MetadataCache<V> {
    /// Creates a cache of at most `budget` bytes. A page larger than the budget of its shard is cached alone.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        Self::in_group(budget, &CacheGroup::default())
    }

    /// Creates a cache that shares `budget` bytes with the other caches of `group`. A cache that has more than its share
    /// after another joins drops pages when it loads its next ones.
    #[must_use]
    pub fn in_group(budget: u64, group: &CacheGroup) -> Self {
        let shard = || CacheShard { pages: HashMap::new(), hand: VecDeque::new(), used: 0 };
        let shards = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        Self { shards, share: group.join(budget) }
    }

    /// The bytes that this cache may have now: its share of the budget.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.share.bytes()
    }

    /// Returns the page of `key`; calls `load` if it is not cached.
    ///
    /// # Errors
    /// The errors of `load`; nothing is cached then.
    pub fn get_or_load(&self, key: u64, load: impl FnOnce() -> Result<Arc<V>>) -> Result<Arc<V>> {
        if let Some(page) = self.shard(key).and_then(|mut shard| shard.get(key)) {
            return Ok(page);
        }
        let value = load()?;
        Ok(match self.shard(key) {
            Some(mut shard) => shard.insert(key, value, self.budget().div_ceil(SHARDS)),
            None => value,
        })
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, CacheShard<V>>> {
        // Keys are multiples of a page size: a Fibonacci hash spreads them over the shards.
        let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let index = usize::try_from(mixed % SHARDS).ok()?;
        Some(self.shards.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<V: ?Sized> CacheShard<V> {
    fn get(&mut self, key: u64) -> Option<Arc<V>> {
        let page = self.pages.get_mut(&key)?;
        page.used_lately = true;
        Some(Arc::clone(&page.value))
    }

    fn insert(&mut self, key: u64, value: Arc<V>, budget: u64) -> Arc<V> {
        if let Some(there) = self.get(key) {
            return there;
        }
        let weight = weight(&value);
        self.make_room(weight, budget);
        self.used = self.used.saturating_add(weight);
        self.hand.push_back(key);
        self.pages.insert(key, CachedPage { value: Arc::clone(&value), used_lately: false });
        value
    }

    fn make_room(&mut self, weight: u64, budget: u64) {
        while self.used.saturating_add(weight) > budget {
            let Some(key) = self.hand.pop_front() else { return };
            match self.pages.get_mut(&key) {
                Some(page) if page.used_lately => {
                    page.used_lately = false;
                    self.hand.push_back(key);
                }
                _ => {
                    if let Some(page) = self.pages.remove(&key) {
                        self.used = self.used.saturating_sub(self::weight(&page.value));
                    }
                }
            }
        }
    }
}

/// Returns the cost of a page: its bytes and an estimate of its map entries.
fn weight<V: ?Sized>(value: &Arc<V>) -> u64 {
    (size_of_val::<V>(value) as u64).saturating_add(96)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    /// The bytes cached in all shards.
    fn used(cache: &MetadataCache<[u8]>) -> u64 {
        cache.shards.iter().map(|shard| shard.lock().unwrap().used).sum()
    }

    #[test]
    fn cache_stays_within_its_budget() {
        let cache: MetadataCache<[u8]> = MetadataCache::new(1 << 20);
        for key in 0..10_000_u64 {
            cache.get_or_load(key * 4096, || Ok(vec![0; 4096].into())).unwrap();
            assert!(used(&cache) <= 1 << 20);
        }
        assert!(used(&cache) > 1 << 19, "the budget is used");
    }

    #[test]
    fn used_page_survives_a_scan() {
        let cache: MetadataCache<[u8]> = MetadataCache::new(1 << 20);
        let hot = cache.get_or_load(0, || Ok(vec![1; 4096].into())).unwrap();
        for key in 1..5_000_u64 {
            cache.get_or_load(key * 4096, || Ok(vec![0; 4096].into())).unwrap();
            let again = cache.get_or_load(0, || Ok(vec![2; 4096].into())).unwrap();
            assert!(Arc::ptr_eq(&hot, &again));
        }
    }

    #[test]
    fn caches_of_a_group_share_one_budget() {
        let group = CacheGroup::default();
        let caches: Vec<MetadataCache<[u8]>> =
            (0..17).map(|_| MetadataCache::in_group(16 << 20, &group)).collect();
        for key in 0..5_000_u64 {
            for cache in &caches {
                cache.get_or_load(key * 4096, || Ok(vec![0; 4096].into())).unwrap();
            }
        }
        let all: u64 = caches.iter().map(used).sum();
        assert!((8 << 20..=16 << 20).contains(&all), "{all}");
        let first = &caches[0];
        assert_eq!(first.budget(), (16 << 20) / 17);
        drop(group);
        let alone = caches.into_iter().next().unwrap();
        assert_eq!(alone.budget(), 16 << 20);
    }

    #[test]
    fn failed_load_caches_nothing() {
        let cache: MetadataCache<[u8]> = MetadataCache::new(1 << 20);
        assert!(cache.get_or_load(1, || Err(Error::new(ErrorKind::Corrupt))).is_err());
        assert_eq!(used(&cache), 0);
    }

    #[test]
    fn cache_is_shared_by_threads() {
        let cache: MetadataCache<[u8]> = MetadataCache::new(64 << 10);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..2000_u64 {
                        let page = cache.get_or_load(key, || Ok(vec![(key % 251) as u8; 64].into())).unwrap();
                        assert_eq!(page[63], (key % 251) as u8);
                    }
                });
            }
        });
        assert!(used(&cache) <= 64 << 10);
    }
}

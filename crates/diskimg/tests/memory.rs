//! The cost of huge disks: bytes read from the file, and time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diskimg::core::check_range;
use diskimg::{
    BlockSource, CompareOptions, ErrorKind, Extent, ExtentKind, Extents, Limits, Opener, Result, compare,
};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// A file of zeros with some data, which counts the bytes read.
struct Counting {
    size: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
    read: AtomicU64,
}

impl Counting {
    fn new(size: u64) -> Self {
        Self { size, pieces: BTreeMap::new(), read: AtomicU64::new(0) }
    }

    fn put(&mut self, offset: u64, bytes: Vec<u8>) {
        self.pieces.insert(offset, bytes);
    }

    fn words(&mut self, offset: u64, words: &[u64]) {
        self.put(offset, words.iter().flat_map(|word| word.to_be_bytes()).collect());
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl BlockSource for Counting {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for (start, bytes) in &self.pieces {
            let both = (*start).max(offset)..(start + bytes.len() as u64).min(end);
            if both.start < both.end {
                let place = |range: &Range<u64>, from: u64| {
                    usize::try_from(range.start - from).unwrap()..usize::try_from(range.end - from).unwrap()
                };
                buf[place(&both, offset)].copy_from_slice(&bytes[place(&both, *start)]);
            }
        }
        Ok(())
    }
}

const COPIED: u64 = 1 << 63;

/// A qcow2 header of version 3 with clusters of `1 << bits` bytes and its L1 table at `l1`.
fn header(bits: u32, size: u64, l1_entries: u32, l1: u64) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    bytes.extend([0; 12]);
    bytes.extend(bits.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(l1_entries.to_be_bytes());
    bytes.extend(l1.to_be_bytes());
    bytes.extend((1_u64 << bits).to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend([0; 12]);
    bytes.extend([0; 24]);
    bytes.extend(4_u32.to_be_bytes());
    bytes.extend(104_u32.to_be_bytes());
    bytes
}

/// A sparse disk of 64 TiB: clusters of 64 KiB, 131072 L1 entries, two of them in use.
fn sparse() -> Counting {
    let cluster = 65_536;
    let mut file = Counting::new(64 * MIB);
    file.put(0, header(16, 64 * TIB, 131_072, 2 * cluster));
    // The L1 table is 1 MiB; L2 tables and data follow it.
    let (l2, data) = (32 * cluster, 40 * cluster);
    file.words(2 * cluster, &[l2 | COPIED]);
    file.words(2 * cluster + 8 * 100_000, &[(l2 + cluster) | COPIED]);
    file.words(l2 + 8 * 5, &[data | COPIED]);
    file.words(l2 + cluster + 8 * 8191, &[(data + cluster) | COPIED]);
    file.put(data, vec![0x11; 65_536]);
    file.put(data + cluster, vec![0x22; 65_536]);
    file
}

#[test]
fn disk_of_64_tib_opens_and_maps_with_few_reads() {
    let file = Arc::new(sparse());
    let started = Instant::now();
    let disk = Opener::new().open_source(Arc::clone(&file) as Arc<dyn BlockSource>).unwrap();
    assert!(file.read() < MIB / 2, "opening reads {} bytes", file.read());
    let extents: Vec<Extent<'_>> = Extents::new(&disk, 0..disk.size()).collect::<Result<_>>().unwrap();
    let runs: Vec<(u64, u64)> = extents
        .iter()
        .filter(|extent| extent.kind == ExtentKind::Data)
        .map(|extent| (extent.offset, extent.len))
        .collect();
    let span = 512 * MIB;
    assert_eq!(runs, [(5 * 65_536, 65_536), (100_001 * span - 65_536, 65_536)]);
    assert!(file.read() < 4 * MIB, "mapping reads {} bytes", file.read());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn compare_of_two_disks_of_64_tib_reads_only_their_data() {
    let (a, b) = (Arc::new(sparse()), Arc::new(sparse()));
    let open = |file: &Arc<Counting>| Opener::new().open_source(Arc::clone(file) as Arc<dyn BlockSource>);
    let (left, right) = (open(&a).unwrap(), open(&b).unwrap());
    let mut two_threads = CompareOptions::default();
    two_threads.threads = 2;
    for strict in [false, true] {
        two_threads.strict = strict;
        assert!(compare(&left, &right, &two_threads, &()).unwrap().identical());
    }
    assert!(a.read() + b.read() < 16 * MIB, "{} bytes", a.read() + b.read());
}

/// All entries of the L1 table refer to one L2 table, and all entries of that to one cluster.
fn repeated() -> Counting {
    let cluster = 2 * MIB;
    let entries = 4 << 20;
    let mut file = Counting::new(64 * MIB);
    file.put(0, header(21, 64 * TIB, entries, cluster));
    file.words(cluster, &vec![(20 * cluster) | COPIED; entries as usize]);
    file.words(20 * cluster, &vec![(21 * cluster) | COPIED; 262_144]);
    file.put(21 * cluster, vec![0x41; 2 << 20]);
    file
}

#[test]
fn disk_of_one_repeated_cluster_is_read_without_caching_it_all() {
    let file = Arc::new(repeated());
    let disk = Opener::new().open_source(Arc::clone(&file) as Arc<dyn BlockSource>).unwrap();
    for guest in [0, TIB, 63 * TIB + 12_345] {
        let mut bytes = [0; 4096];
        disk.read_at(guest, &mut bytes).unwrap();
        assert_eq!(bytes, [0x41; 4096]);
    }
    // There are 2^25 clusters. Each call must return quickly.
    let started = Instant::now();
    let mut at = 0;
    for _ in 0..1000 {
        let extent = disk.extent_at(at..disk.size()).unwrap();
        assert_eq!(extent.kind, ExtentKind::Data);
        at = extent.end();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(file.read() < 4 * MIB, "{} bytes", file.read());
}

#[test]
fn limit_of_the_virtual_size_refuses_a_larger_disk() {
    let mut opener = Opener::new();
    opener.limits = Limits { virtual_size: 64 * TIB - 1, ..Limits::default() };
    for file in [sparse(), repeated()] {
        let error = opener.open_source(Arc::new(file)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}

#[test]
fn header_with_huge_tables_allocates_nothing() {
    // The largest L1 table and 65536 snapshots, which the file does not contain.
    let mut file = Counting::new(100 * MIB);
    let mut head = header(16, 64 * TIB, 4 << 20, 1 << 20);
    head[60..64].copy_from_slice(&65_536_u32.to_be_bytes());
    head[64..72].copy_from_slice(&(99 * MIB).to_be_bytes());
    file.put(0, head);
    let file = Arc::new(file);
    let started = Instant::now();
    let opened = Opener::new().open_source(Arc::clone(&file) as Arc<dyn BlockSource>);
    if let Ok(disk) = opened {
        let _ = common::read_all(&diskimg::Window::new(disk, 0..MIB).unwrap());
    }
    assert!(file.read() < 16 * MIB, "{} bytes", file.read());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#![allow(clippy::cast_possible_truncation, reason = "test images are small")]

use super::*;
use crate::entry_bits::HOST_OFFSET;
use diskimg_core::{CreateOptions, Memory, MemorySink, ProblemKind, Setting};

const CLUSTER: usize = 4096;

/// An image of 64 clusters with data in the first eight, as bytes.
fn image(settings: &str, compress: bool) -> Vec<u8> {
    let file = MemorySink::new(8 << 20);
    let options = CreateOptions {
        virtual_size: 64 * CLUSTER as u64,
        compress,
        settings: Setting::parse_list(settings).unwrap(),
        ..CreateOptions::default()
    };
    let sink = crate::create(Box::new(file.clone()), &options).unwrap();
    for cluster in 0..8_u8 {
        sink.write_at(u64::from(cluster) * CLUSTER as u64, &[cluster + 1; CLUSTER]).unwrap();
    }
    sink.finish().unwrap();
    file.bytes()
}

fn report(bytes: Vec<u8>) -> CheckReport {
    check(Arc::new(Memory::new(bytes)), &OpenOptions::default()).unwrap()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn set_word(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_be_bytes());
}

/// The offsets of the first L2 table and of the first refcount block.
fn tables(bytes: &[u8]) -> (usize, usize) {
    let l1 = word(bytes, 40) as usize;
    let refcounts = word(bytes, 48) as usize;
    ((word(bytes, l1) & HOST_OFFSET) as usize, word(bytes, refcounts) as usize)
}

#[test]
fn written_image_is_clean_at_every_refcount_width() {
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let report = report(image(&format!("cluster_size=4k,refcount_bits={bits}"), false));
        assert!(report.is_clean(), "{bits}: {:?}", report.problems);
        assert_eq!((report.total_units, report.allocated_units), (Some(64), Some(8)));
        assert_eq!((report.compressed_units, report.fragmented_units), (0, 0));
    }
}

#[test]
fn compressed_and_extended_images_are_clean() {
    let compressed = report(image("cluster_size=4k", true));
    assert!(compressed.is_clean(), "{:?}", compressed.problems);
    assert_eq!(compressed.compressed_units, 8);
    assert!(report(image("cluster_size=16k,extended_l2=on", false)).is_clean());
    assert!(report(image("cluster_size=4k,compat=v2,preallocation=metadata", false)).is_clean());
}

#[test]
fn refcount_too_high_is_a_leak_and_too_low_a_corruption() {
    let good = image("cluster_size=4k", false);
    let (l2, block) = tables(&good);
    let data = ((word(&good, l2) & HOST_OFFSET) as usize) / CLUSTER;
    let mut leaked = good.clone();
    leaked.extend_from_slice(&[0; CLUSTER]);
    leaked[block + good.len() / CLUSTER * 2 + 1] = 1;
    let found = report(leaked);
    assert_eq!((found.corruptions, found.leaks), (0, 1));
    assert_eq!(
        (found.problems[0].kind, found.problems[0].offset),
        (ProblemKind::Leak, Some(good.len() as u64))
    );

    let mut low = good.clone();
    low[block + data * 2 + 1] = 0;
    let found = report(low);
    assert_eq!((found.corruptions, found.leaks), (2, 0), "the refcount, and the mark of the entry");
    assert_eq!(found.problems[1].offset, Some((data * CLUSTER) as u64));

    let mut twice = good;
    twice[block + data * 2 + 1] = 2;
    let found = report(twice);
    assert_eq!((found.corruptions, found.leaks), (1, 1));
}

#[test]
fn invalid_entry_is_a_corruption_with_its_offset() {
    let good = image("cluster_size=4k", false);
    let (l2, _) = tables(&good);
    let first = word(&good, l2);
    for (entry, reported) in [
        (first | 1 << 57, "L2 entry"),
        (first + 512, "L2 entry"),
        (1 << 63 | 1 << 40, "past the end"),
        (first & !(1 << 63), "not marked"),
    ] {
        let mut bad = good.clone();
        set_word(&mut bad, l2, entry);
        let report = report(bad);
        assert!(
            report.corruptions > 0 && report.problems[0].message.contains(reported),
            "{:?}",
            report.problems
        );
    }
    let mut shared = good.clone();
    let second = word(&good, l2 + 8);
    set_word(&mut shared, l2, second);
    let report = report(shared);
    // Two references to a cluster with a refcount of one, and a cluster without references.
    assert_eq!((report.corruptions, report.leaks), (1, 1));
}

#[test]
fn l1_table_with_one_l2_table_in_every_entry_is_reported_once() {
    let mut bytes = image("cluster_size=4k", false);
    let l1 = word(&bytes, 40) as usize;
    let entry = word(&bytes, l1);
    let at = bytes.len();
    for _ in 0..100_000 {
        bytes.extend_from_slice(&entry.to_be_bytes());
    }
    set_word(&mut bytes, 40, at as u64);
    bytes[36..40].copy_from_slice(&100_000_u32.to_be_bytes());
    let started = std::time::Instant::now();
    let report = report(bytes);
    assert!(report.corruptions > 0);
    assert!(report.problems.iter().any(|problem| problem.message.contains("100000 L2 tables")));
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn cost_of_a_check_follows_what_is_allocated() {
    use diskimg_core::{BlockSource, Result};

    /// An image followed by a hole up to 1 TiB.
    struct Sparse(Memory);

    impl BlockSource for Sparse {
        fn size(&self) -> u64 {
            1 << 40
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let present = usize::try_from(self.0.size().saturating_sub(offset)).unwrap().min(buf.len());
            buf.fill(0);
            if present > 0 { self.0.read_at(offset, &mut buf[..present]) } else { Ok(()) }
        }
    }

    let image = image("cluster_size=4k", false);
    let small = report(image.clone());
    let started = std::time::Instant::now();
    let large = check(Arc::new(Sparse(Memory::new(image))), &OpenOptions::default()).unwrap();
    assert_eq!(large, small);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn references_that_exceed_the_memory_are_counted_in_several_walks() {
    // One reference to each of 3 chunks of 4096 clusters, with memory for one chunk.
    let geometry = crate::addr::Geometry::new(12, false);
    let size = 3 * 4096 * 4096;
    let mut first = 0;
    let mut walks = 0;
    let mut counted = Vec::new();
    while first < 3 * 4096 {
        let mut refs = CountedRefs::new(first..3 * 4096, 4096, geometry, size, None);
        for cluster in [8200, 5000, 7, 7] {
            let at = crate::addr::HostOffset(cluster * 4096);
            refs.reference(&crate::addr::span(at, 4096), "a cluster").unwrap();
        }
        let counts = refs.into_counts();
        let range = counts.counted.clone();
        counted.extend(
            [7, 5000, 8200]
                .map(|cluster| (cluster, counts.get(cluster)))
                .into_iter()
                .filter(|(cluster, _)| range.contains(cluster)),
        );
        first = range.end;
        walks += 1;
    }
    assert_eq!((walks, counted), (3, vec![(7, 2), (5000, 1), (8200, 1)]));
}

#[test]
fn check_reports_its_progress_and_can_be_cancelled() {
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Counter(AtomicU64, AtomicU64);

    impl diskimg_core::Progress for Counter {
        fn begin(&self, total: Option<u64>) {
            self.1.store(total.unwrap(), Ordering::Relaxed);
        }
        fn advance(&self, bytes: u64) -> ControlFlow<()> {
            self.0.fetch_add(bytes, Ordering::Relaxed);
            ControlFlow::Continue(())
        }
    }

    let source: Arc<dyn BlockSource> = Arc::new(Memory::new(image("cluster_size=512", false)));
    let counter = Counter::default();
    check(Arc::clone(&source), &OpenOptions { progress: &counter, ..OpenOptions::default() }).unwrap();
    let (done, total) = (counter.0.into_inner(), counter.1.into_inner());
    assert_eq!(total, 64 * CLUSTER as u64);
    assert!(done >= total && done - total < 1 << 20, "{done} of {total}");
    let cancel = diskimg_core::Cancel::default();
    cancel.trigger();
    let error = check(source, &OpenOptions { progress: &cancel, ..OpenOptions::default() }).unwrap_err();
    assert_eq!(error.kind(), diskimg_core::ErrorKind::Cancelled);
}

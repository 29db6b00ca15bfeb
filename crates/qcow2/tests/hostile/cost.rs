//! The I/O that opening and reading an image may cost. Reads are counted, not timed.

use std::sync::Arc;

use diskimg_codec::cluster::Deflater;
use diskimg_core::conformance::{Counted, painted};
use diskimg_core::{BlockSource, ExtentKind, Extents, Limits, Memory, OpenOptions};
use diskimg_qcow2::Qcow2;

use crate::image::{CLUSTER, Image};

fn open(image: &Image) -> (Arc<Counted<Memory>>, Qcow2) {
    let file = Arc::new(Counted::new(Memory::new(image.0.clone())));
    let disk = Qcow2::open(Arc::clone(&file) as Arc<dyn BlockSource>, &OpenOptions::default()).unwrap();
    (file, disk)
}

/// An image of 100 consecutive compressed clusters of 4 KiB.
fn compressed() -> Image {
    let mut image = Image::new();
    for cluster in 0..100 {
        let mut out = vec![0; 8192];
        let bytes = painted(cluster, CLUSTER as usize);
        let len = Deflater::new(None).unwrap().raw_deflate(&bytes, &mut out).unwrap().unwrap();
        image.compressed(cluster, &out[..len]);
    }
    image
}

#[test]
fn sparse_disk_of_64_tib_opens_with_one_read_and_maps_with_its_l1_table() {
    let mut image = Image::new();
    let (l1, entries) = (0x20000, 131_072);
    image.u32(20, 16);
    image.u32(36, entries);
    for (at, value) in [(24, 64 << 40), (40, l1), (48, 0x10000)] {
        image.u64(at, value);
    }
    image.0.truncate(CLUSTER as usize);
    image.0.resize((l1 + u64::from(entries) * 8) as usize, 0);
    let (file, disk) = open(&image);
    assert_eq!(file.taken(), (1, 4096));
    let extents: Vec<_> =
        Extents::new(&disk, 0..disk.size()).map(|extent| extent.map(|e| (e.kind, e.len)).unwrap()).collect();
    assert_eq!(extents, [(ExtentKind::Unallocated, 64 << 40)]);
    assert_eq!(file.taken(), (64, u64::from(entries) * 8));
    disk.read_at(1 << 45, &mut [0; 4096]).unwrap();
    assert_eq!(file.taken(), (0, 0), "the table is cached");
}

#[test]
fn tables_over_the_cache_limit_are_read_again() {
    let mut image = Image::new();
    image.u32(36, 4 << 20);
    image.u64(24, 1 << 43);
    image.0.truncate(CLUSTER as usize);
    image.0.resize((2 * CLUSTER + (32 << 20)) as usize, 0);
    let file = Arc::new(Counted::new(Memory::new(image.0.clone())));
    let limits = Limits { metadata_cache: 1 << 20, ..Limits::default() };
    let disk = Qcow2::open(
        Arc::clone(&file) as Arc<dyn BlockSource>,
        &OpenOptions { limits, ..OpenOptions::default() },
    )
    .unwrap();
    let whole = || Extents::new(&disk, 0..disk.size()).count();
    assert_eq!(whole(), 1);
    file.taken();
    assert_eq!(whole(), 1);
    assert!(file.taken().1 > 30 << 20, "a table of 32 MiB does not fit in a cache of 1 MiB");
}

#[test]
fn neighbouring_compressed_clusters_are_read_in_one_call() {
    let image = compressed();
    let (file, disk) = open(&image);
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = vec![0; 100 * CLUSTER as usize];
    disk.read_at(0, &mut bytes).unwrap();
    assert_eq!(file.taken().0, 1);
    assert!(bytes.chunks(CLUSTER as usize).zip(0..).all(|(chunk, at)| chunk == painted(at, chunk.len())));
}

#[test]
fn sequential_small_reads_decompress_each_cluster_once() {
    let (file, disk) = open(&compressed());
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = [0; 512];
    for at in (0..100 * CLUSTER).step_by(512) {
        disk.read_at(at, &mut bytes).unwrap();
        let cluster = painted(at / CLUSTER, CLUSTER as usize);
        assert_eq!(bytes[..], cluster[(at % CLUSTER) as usize..][..512]);
    }
    assert_eq!(file.taken().0, 99);
}

#[test]
fn contiguous_data_is_read_in_one_call() {
    let mut image = Image::new();
    for cluster in 0..200 {
        image.u64(
            crate::image::L2 + 8 * cluster,
            crate::image::COPIED | (crate::image::DATA + cluster * CLUSTER),
        );
    }
    image.0.extend(painted(CLUSTER, 199 * CLUSTER as usize));
    let (file, disk) = open(&image);
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = vec![0; 200 * CLUSTER as usize - 7];
    disk.read_at(7, &mut bytes).unwrap();
    assert_eq!(file.taken().0, 1);
    assert_eq!(bytes, painted(7, bytes.len()));
}

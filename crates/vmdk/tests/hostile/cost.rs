//! The cost of opening and reading an image, in read calls and bytes.

use std::sync::Arc;

use diskimg_core::conformance::{Counted, painted};
use diskimg_core::{BlockSource, ExtentKind, Extents, Limits, Memory, OpenOptions};
use diskimg_vmdk::Vmdk;

use crate::image::{AT_END, GD, GRAIN, GT, Image, SECTOR, deflated};

fn open(image: &Image, limits: Limits) -> (Arc<Counted<Memory>>, Vmdk) {
    let file = Arc::new(Counted::new(Memory::new(image.0.clone())));
    let options = OpenOptions { limits, ..OpenOptions::default() };
    let disk = Vmdk::open(Arc::clone(&file) as Arc<dyn BlockSource>, &options).unwrap();
    (file, disk)
}

/// A sparse disk in grains of 64 KiB that has only a directory, 128 KiB for each TiB.
fn large(tebibytes: u64) -> Image {
    let mut image = Image::extent();
    image.u32(8, 1);
    image.u64(12, tebibytes << 31);
    image.u64(20, 128);
    image.u64(56, 16);
    image.0.truncate(8192);
    image.0.resize(8192 + tebibytes as usize * 131_072, 0);
    image
}

#[test]
fn sparse_disk_of_1_tib_opens_with_one_read_and_is_mapped_by_its_directory() {
    let (file, disk) = open(&large(1), Limits::default());
    assert_eq!(file.taken(), (1, 12_288));
    let extents: Vec<_> =
        Extents::new(&disk, 0..disk.size()).map(|extent| extent.map(|e| (e.kind, e.len)).unwrap()).collect();
    assert_eq!(extents, [(ExtentKind::Unallocated, 1 << 40)]);
    assert_eq!(file.taken().0, 9, "pages of 16 KiB");
    disk.read_at(1 << 39, &mut [0; 4096]).unwrap();
    assert_eq!(file.taken(), (0, 0), "the directory is cached");
}

#[test]
fn tables_past_the_cache_limit_are_read_again() {
    let limits = Limits { metadata_cache: 1 << 20, ..Limits::default() };
    let (file, disk) = open(&large(16), limits);
    let whole = || Extents::new(&disk, 0..disk.size()).count();
    assert_eq!(whole(), 1);
    file.taken();
    assert_eq!(whole(), 1);
    assert!(file.taken().1 > 1 << 20, "2 MiB of directory do not fit 1 MiB");
}

fn compressed(directory: u64) -> Image {
    let grains: Vec<_> =
        (0..100).map(|number| (number, deflated(&painted(number, GRAIN as usize)))).collect();
    Image::stream(&grains, directory)
}

#[test]
fn neighbouring_compressed_grains_are_read_in_one_call() {
    for directory in [GD, 1, AT_END] {
        let (file, disk) = open(&compressed(directory), Limits::default());
        disk.read_at(0, &mut [0; 1]).unwrap();
        file.taken();
        let mut bytes = vec![0; 100 * GRAIN as usize];
        disk.read_at(0, &mut bytes).unwrap();
        assert_eq!(file.taken().0, 1);
        assert!(bytes.chunks(GRAIN as usize).zip(0..).all(|(chunk, at)| chunk == painted(at, chunk.len())));
    }
}

#[test]
fn sequential_small_reads_decompress_each_grain_once() {
    let (file, disk) = open(&compressed(GD), Limits::default());
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = [0; 512];
    for at in (0..100 * GRAIN).step_by(512) {
        disk.read_at(at, &mut bytes).unwrap();
        let grain = painted(at / GRAIN, GRAIN as usize);
        assert_eq!(bytes[..], grain[(at % GRAIN) as usize..][..512]);
    }
    assert_eq!(file.taken().0, 99);
}

#[test]
fn contiguous_data_is_read_in_one_call() {
    let mut image = Image::new();
    for grain in 0..200 {
        image.u32(GT * SECTOR + 4 * grain, (crate::image::DATA + grain * 8) as u32);
    }
    image.0.extend(painted(GRAIN, 199 * GRAIN as usize));
    let (file, disk) = open(&image, Limits::default());
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = vec![0; 200 * GRAIN as usize - 7];
    disk.read_at(7, &mut bytes).unwrap();
    assert_eq!(file.taken().0, 1);
    assert_eq!(bytes, painted(7, bytes.len()));
}

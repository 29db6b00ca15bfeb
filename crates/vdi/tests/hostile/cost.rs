//! The cost of opening and reading an image, counted in reads and bytes.

use std::sync::Arc;

use diskimg_core::conformance::{Counted, painted};
use diskimg_core::{BlockSource, ErrorKind, ExtentKind, Extents, Memory, OpenOptions, Result};
use diskimg_vdi::Vdi;

use crate::image::*;

/// A file that starts with the bytes of `file` and is padded with 0xFF.
struct Padded {
    file: Memory,
    size: u64,
}

impl BlockSource for Padded {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let present = self.file.size().saturating_sub(offset).min(buf.len() as u64) as usize;
        buf[present..].fill(0xFF);
        if present > 0 { self.file.read_at(offset, &mut buf[..present]) } else { Ok(()) }
    }
}

fn counted(image: &Image, size: u64) -> Arc<Counted<Padded>> {
    Arc::new(Counted::new(Padded { file: Memory::new(image.bytes.clone()), size }))
}

fn open(file: &Arc<Counted<Padded>>) -> Result<Vdi> {
    Vdi::open(Arc::clone(file) as Arc<dyn BlockSource>, &OpenOptions::default())
}

/// An empty disk of 64 TiB.
fn huge() -> (Image, u64) {
    let blocks = 64 << 20;
    let map_end = 512 + 4 * u64::from(blocks);
    let mut image = Image::new();
    image.u32(BLOCK_SIZE, 1 << 20);
    image.u32(COUNT, blocks);
    image.u32(DATA_OFFSET, map_end as u32);
    image.u64(DISK, 64 << 40);
    image.bytes.truncate(MAP as usize);
    (image, map_end)
}

#[test]
fn small_file_that_claims_half_a_billion_blocks_costs_one_read_of_512_bytes() {
    let image = Image::new().with(|image| {
        image.bytes.truncate(2048);
        image.u32(COUNT, 0x1FFF_FF80);
    });
    let file = counted(&image, 2048);
    assert_error(&open(&file).unwrap_err(), ErrorKind::Truncated, Some(MAP), None);
    assert_eq!(file.taken(), (1, 512));
}

#[test]
fn empty_disk_of_64_tib_opens_with_one_read_and_reads_with_one_more() {
    let (image, size) = huge();
    let file = counted(&image, size);
    let disk = open(&file).unwrap();
    assert_eq!(file.taken(), (1, 512));
    let mut bytes = vec![1; 100_000];
    disk.read_at(1 << 45, &mut bytes).unwrap();
    assert_eq!(file.taken(), (1, 16_384));
    assert!(bytes.iter().all(|byte| *byte == 0));
    let extents: Vec<_> =
        Extents::new(&disk, 0..disk.size()).map(|extent| extent.map(|e| (e.kind, e.len)).unwrap()).collect();
    assert_eq!(extents, [(ExtentKind::Unallocated, 64 << 40)]);
    let (reads, bytes) = file.taken();
    assert!(reads <= 16_384 && bytes <= 256 << 20, "each page once: {reads} reads of {bytes} bytes");
}

#[test]
fn contiguous_blocks_are_read_in_one_call() {
    let image = Image::fixed();
    let file = counted(&image, image.bytes.len() as u64);
    let disk = open(&file).unwrap();
    disk.read_at(0, &mut [0; 1]).unwrap();
    file.taken();
    let mut bytes = vec![0; SIZE as usize - 7];
    disk.read_at(7, &mut bytes).unwrap();
    assert_eq!(file.taken().0, 1);
    assert_eq!(bytes, painted(7, bytes.len()));
}

#[test]
fn check_of_a_huge_map_needs_memory_only_for_blocks_in_the_file() {
    let (image, size) = huge();
    let file = counted(&image, size + (3 << 20));
    let report = (diskimg_vdi::DRIVER.check.unwrap())(file, &OpenOptions::default()).unwrap();
    assert_eq!((report.total_units, report.allocated_units), (Some(64 << 20), Some(0)));
    assert_eq!((report.leaks, report.corruptions), (3, 1));
}

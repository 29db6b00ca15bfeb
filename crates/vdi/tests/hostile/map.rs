//! Map entries of every kind, and missing blocks.

use diskimg_core::conformance::{painted, source};
use diskimg_core::{BlockSource, ErrorKind, ExtentKind, Extents};

use crate::image::*;

fn runs(image: &Image) -> Vec<(ExtentKind, u64)> {
    let disk = image.open().unwrap();
    Extents::new(&disk, 0..disk.size()).map(|extent| extent.map(|e| (e.kind, e.len)).unwrap()).collect()
}

#[test]
fn free_and_zero_blocks_are_distinguished_and_neighbours_merged() {
    let mut image = Image::new();
    image.entry(3, ZERO);
    image.entry(4, ZERO);
    for block in [5, 6, 8] {
        image.block(block, &painted(u64::from(block) * BLOCK, BLOCK as usize));
    }
    let (free, zero, data) = (ExtentKind::Unallocated, ExtentKind::Zero, ExtentKind::Data);
    let expected = [
        (data, BLOCK),
        (free, 2 * BLOCK),
        (zero, 2 * BLOCK),
        (data, 2 * BLOCK),
        (free, BLOCK),
        (data, BLOCK),
        (free, SIZE - 9 * BLOCK),
    ];
    assert_eq!(runs(&image), expected);
    let mut bytes = vec![0; SIZE as usize];
    for block in [0, 5, 6, 8] {
        let at = block * BLOCK;
        bytes[at as usize..(at + BLOCK) as usize].copy_from_slice(&painted(at, BLOCK as usize));
    }
    source(&image.open().unwrap(), &bytes);
}

#[test]
fn entry_past_the_number_of_blocks_is_corrupt() {
    for entry in [BLOCKS, 0x7FFF_FFFF, 0xFFFF_FFFD] {
        let image = Image::new().with(|image| image.entry(7, entry));
        let error = image.unreadable(7 * BLOCK + 5);
        assert_error(&error, ErrorKind::Corrupt, Some(image.entry_at(7)), Some(7 * BLOCK + 5));
    }
}

#[test]
fn block_past_the_end_of_the_file_is_truncated_unlike_in_qemu() {
    let image = Image::new().with(|image| image.entry(7, 1));
    let error = image.unreadable(7 * BLOCK + 5);
    assert_error(&error, ErrorKind::Truncated, Some(DATA + BLOCK + 5), Some(7 * BLOCK + 5));
    assert_eq!(
        error.to_string(),
        "vdi: block at byte 6149 for guest offset 28677: the file ends at byte 6144"
    );
    let far = Image::new().with(|image| image.entry(7, BLOCKS - 1)).unreadable(7 * BLOCK);
    assert_error(&far, ErrorKind::Truncated, Some(DATA + 255 * BLOCK), Some(7 * BLOCK));
}

#[test]
fn truncated_block_is_read_up_to_the_end_of_the_file() {
    let image = Image::new().with(|image| image.bytes.truncate((DATA + 1000) as usize));
    let disk = image.open().unwrap();
    let mut bytes = [0; 1000];
    disk.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes[..], painted(0, 1000));
    assert_eq!(disk.extent_at(0..SIZE).unwrap().len, 1000);
    let error = disk.read_at(0, &mut [0; 1001]).unwrap_err();
    assert_error(&error, ErrorKind::Truncated, Some(DATA + 1000), Some(1000));
    assert_eq!(checks(&image.inspected()), ["truncated", "block_size"]);
}

#[test]
fn last_block_needs_only_the_bytes_within_the_disk() {
    let mut image = Image::new();
    let size = SIZE - BLOCK + 1000;
    image.u64(DISK, size);
    image.block(BLOCKS - 1, &painted(5, 1000));
    let mut bytes = first_block_only();
    bytes.truncate((SIZE - BLOCK) as usize);
    bytes.extend(painted(5, 1000));
    source(&image.open().unwrap(), &bytes);
    assert_eq!(checks(&image.inspected()), ["block_size", "size_odd"]);
    assert!(image.checked().is_clean(), "{:?}", image.checked());
}

#[test]
fn damaged_block_only_ends_the_run_before_it() {
    let disk = Image::new().with(|image| image.entry(1, BLOCKS)).open().unwrap();
    assert_eq!(disk.extent_at(0..SIZE).unwrap().len, BLOCK);
    disk.read_at(0, &mut [0; BLOCK as usize]).unwrap();
    let error = disk.read_at(0, &mut [0; BLOCK as usize + 1]).unwrap_err();
    assert_error(&error, ErrorKind::Corrupt, Some(MAP + 4), Some(BLOCK));
}

#[test]
fn block_used_twice_reads_the_same_in_both_places() {
    let image = Image::new().with(|image| image.entry(1, 0));
    let mut bytes = painted(0, BLOCK as usize).repeat(2);
    bytes.resize(SIZE as usize, 0);
    source(&image.open().unwrap(), &bytes);
}

#[test]
fn extra_bytes_are_skipped_unlike_in_qemu() {
    for extra in [1, 4, 512, 4096] {
        let mut image = Image::with_extra(extra);
        for block in [1, 2, 9] {
            image.block(block, &painted(u64::from(block) * BLOCK, BLOCK as usize));
        }
        let mut bytes = painted(0, 3 * BLOCK as usize);
        bytes.resize(9 * BLOCK as usize, 0);
        bytes.extend(painted(9 * BLOCK, BLOCK as usize));
        bytes.resize(SIZE as usize, 0);
        source(&image.open().unwrap(), &bytes);
        assert_eq!(checks(&image.inspected()), ["block_extra", "block_size"]);
    }
}

#[test]
fn fixed_image_without_its_end_is_truncated() {
    let image = Image::fixed().with(|image| image.bytes.truncate((DATA + SIZE - 100) as usize));
    assert_eq!(checks(&image.inspected()), ["truncated", "block_size"]);
    let guest = SIZE - 100;
    assert_error(&image.unreadable(guest), ErrorKind::Truncated, Some(DATA + guest), Some(guest));
    assert!(image.open().unwrap().read_at(0, &mut vec![0; guest as usize]).is_ok());
}

#[test]
fn images_of_every_block_size_read_as_built() {
    for bits in [9, 10, 16, 20, 21, 24] {
        let block = 1_u64 << bits;
        let mut image = Image::new();
        image.bytes.truncate(DATA as usize);
        image.u32(BLOCK_SIZE, block as u32);
        image.u64(DISK, 3 * block);
        image.u32(COUNT, 3);
        for (at, entry) in [(0, 1), (1, FREE), (2, 0)] {
            image.entry(at, entry);
        }
        image.bytes.extend(painted(2 * block, block as usize));
        image.bytes.extend(painted(0, block as usize));
        let mut bytes = painted(0, 3 * block as usize);
        bytes[block as usize..2 * block as usize].fill(0);
        source(&image.open().unwrap(), &bytes);
    }
}

#[test]
fn map_of_many_pages_is_read_through_a_small_cache() {
    let blocks = 20_000_u32;
    let data = 512 + 4 * u64::from(blocks);
    let mut image = Image::new();
    image.bytes.resize(data as usize, 0);
    image.u32(BLOCK_SIZE, 512);
    image.u32(COUNT, blocks);
    image.u32(DATA_OFFSET, data as u32);
    image.u64(DISK, 512 * u64::from(blocks));
    // The file blocks are in reverse order.
    (0..blocks).for_each(|block| image.entry(block, blocks - 1 - block));
    for block in (0..blocks).rev() {
        image.bytes.extend(painted(u64::from(block) * 512, 512));
    }
    let limits = diskimg_core::Limits { metadata_cache: 1, ..diskimg_core::Limits::default() };
    let options = diskimg_core::OpenOptions { limits, ..diskimg_core::OpenOptions::default() };
    let disk = diskimg_vdi::Vdi::open(image.memory(), &options).unwrap();
    source(&disk, &painted(0, 512 * blocks as usize));
}

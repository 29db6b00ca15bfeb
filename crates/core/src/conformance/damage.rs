//! Truncated and modified images.

use super::Numbers;
use crate::{BlockSource, Extents};

/// Damages an image in many ways and passes each result to `open_and_read`, which opens it and reads all of it. It may
/// fail but must not panic. The caller bounds its time and memory.
///
/// The image is truncated at every multiple of 512 bytes in its first 64 KiB and around its end, and single bits are
/// flipped and words overwritten in its first `metadata` bytes.
pub fn damaged(image: &[u8], metadata: usize, open_and_read: &dyn Fn(Vec<u8>)) {
    let head = image.len().min(65_536);
    let lengths =
        (0..head).step_by(512).chain(image.len().saturating_sub(3)..image.len()).chain([1, 71, 103]);
    for len in lengths {
        open_and_read(image[..len.min(image.len())].to_vec());
    }
    let mut numbers = Numbers::new(11);
    let metadata = metadata.min(image.len());
    for at in (0..metadata).step_by((metadata / 512).max(1)) {
        let mut bytes = image.to_vec();
        bytes[at] ^= 1 << numbers.below(8);
        open_and_read(bytes);
    }
    for _ in 0..256 {
        let mut bytes = image.to_vec();
        let at = usize::try_from(numbers.below(metadata as u64)).unwrap() & !7;
        let value = [0, 1, 0x7FFF_FFFF_FFFF_FFFF, u64::MAX, 1 << 63, 512, 0x8000_0000_0000_0200];
        let word = value[usize::try_from(numbers.below(value.len() as u64)).unwrap()].to_be_bytes();
        let end = (at + 8).min(bytes.len());
        bytes[at..end].copy_from_slice(&word[..end - at]);
        open_and_read(bytes);
    }
}

/// Reads and maps the first and the last `most` bytes of a disk and ignores errors, for damaged images that can be
/// opened and may claim any size.
pub fn exercise(disk: &dyn BlockSource, most: u64) {
    let mut buf = vec![0; 100_000];
    for start in [0, disk.size().saturating_sub(most)] {
        let end = disk.size().min(start + most);
        let mut at = start;
        while at < end {
            let len = buf.len().min(usize::try_from(end - at).unwrap());
            let _ = disk.read_at(at, &mut buf[..len]);
            at += len as u64;
        }
        for extent in Extents::new(disk, start..end) {
            if extent.is_err() {
                break;
            }
        }
    }
}

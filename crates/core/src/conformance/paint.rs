//! Contents of test disks.

use super::Numbers;

/// Returns the byte at `offset` of a painted disk: `offset % 251`, whose period is not a power of two.
#[must_use]
pub fn paint(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap_or_default()
}

/// Returns `len` painted bytes from `offset` on.
#[must_use]
pub fn painted(offset: u64, len: usize) -> Vec<u8> {
    (offset..).take(len).map(paint).collect()
}

/// Returns `len` bytes of text, noise, zeros and painted bytes, in pieces of 1 to 300000 bytes that depend on the
/// seed.
#[must_use]
pub fn mixed(len: usize, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut disk = Vec::with_capacity(len);
    while disk.len() < len {
        let piece = usize::try_from(1 + numbers.below(300_000)).unwrap();
        match numbers.below(4) {
            0 => disk.resize(disk.len() + piece, 0),
            1 => disk.extend((0..piece).map(|_| u8::try_from(numbers.below(256)).unwrap())),
            2 => disk.extend(b"all work and no play ".iter().cycle().take(piece)),
            _ => disk.extend(painted(disk.len() as u64, piece)),
        }
    }
    disk.truncate(len);
    disk
}

//! The size of a disk in one file, whose header and embedded descriptor may differ.

use diskimg_core::Finding;

use crate::extent_line::ExtentLine;

/// The name of findings about sizes that differ.
pub(crate) const CHECK: &str = "size_mismatch";

/// Returns the bytes of a disk whose header gives `capacity` bytes and whose line gives `in_line`.
///
/// It is the capacity, as in QEMU. VirtualBox rounds the capacity up to a grain and writes the exact size in the line, so
/// a line that is smaller by less than a grain gives the size.
pub(crate) const fn own_size(capacity: u64, grain_bytes: u64, in_line: u64) -> u64 {
    if is_rounded(capacity, grain_bytes, in_line) { in_line } else { capacity }
}

const fn is_rounded(capacity: u64, grain_bytes: u64, in_line: u64) -> bool {
    in_line < capacity && capacity.saturating_sub(in_line) < grain_bytes
}

/// The finding on a header and a line that give different sizes; `None` if they agree.
pub(crate) fn own_mismatch(capacity: u64, grain_bytes: u64, line: &ExtentLine) -> Option<Finding> {
    let in_line = line.bytes();
    if in_line == capacity {
        return None;
    }
    let sizes = format!("the header gives {capacity} bytes and the descriptor {in_line}");
    let finding = match is_rounded(capacity, grain_bytes, in_line) {
        true => Finding::note(CHECK, format!("{sizes}: the header is rounded up to a grain")),
        false => Finding::warning(CHECK, format!("{sizes}: the size in the header is used")),
    };
    Some(finding.at(line.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_gives_the_size_only_if_the_header_is_rounded_up_to_a_grain() {
        let (capacity, grain) = (1 << 20, 65_536);
        for (in_line, expected) in [
            (0, capacity),
            (capacity / 2, capacity),
            (capacity - grain, capacity),
            (capacity - grain + 512, capacity - grain + 512),
            (capacity - 512, capacity - 512),
            (capacity, capacity),
            (capacity + 512, capacity),
            (u64::MAX, capacity),
        ] {
            assert_eq!(own_size(capacity, grain, in_line), expected, "{in_line}");
        }
    }
}

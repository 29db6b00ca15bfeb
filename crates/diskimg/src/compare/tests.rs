//! Comparisons of disks in memory.

use std::ops::Range;

use super::{CompareOptions, Comparison, Difference, Status, compare};
use diskimg_core::conformance::painted;
use diskimg_core::{BlockSource, Error, ErrorKind, Extent, ExtentKind, Memory, Result};

/// Compares with one and with several threads, and asserts equal results.
fn compared(a: &dyn BlockSource, b: &dyn BlockSource, strict: bool) -> Comparison {
    let one = compare(a, b, &CompareOptions { threads: 1, strict }, &()).unwrap();
    assert_eq!(one, compare(a, b, &CompareOptions { threads: 3, strict }, &()).unwrap());
    one
}

fn differences(a: &[u8], b: &[u8]) -> Comparison {
    let (a, b) = (Memory::new(a.to_vec()), Memory::new(b.to_vec()));
    compared(&a, &b, false)
}

#[test]
fn first_difference_is_found_at_any_offset() {
    let a = painted(0, 3 << 20);
    for at in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
        let mut b = a.clone();
        b[at..].iter_mut().step_by(70_001).for_each(|byte| *byte ^= 0x80);
        assert_eq!(differences(&a, &b).first_difference(), Some(at as u64));
    }
}

#[test]
fn longer_disk_is_equal_only_with_zeros_at_its_end() {
    let a = painted(0, 1000);
    let longer = [a.clone(), vec![0; 500]].concat();
    let comparison = differences(&a, &longer);
    assert!(comparison.same() && !comparison.identical());
    let other = [a.clone(), vec![0; 499], vec![1]].concat();
    assert_eq!(differences(&a, &other).first_difference(), Some(1499));
}

#[test]
fn cancelled_comparison_is_an_error() {
    let cancel = diskimg_core::Cancel::default();
    cancel.trigger();
    let disk = Memory::new(vec![1; 10]);
    assert_eq!(
        compare(&disk, &disk, &CompareOptions::default(), &cancel).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

#[test]
fn zeros_and_data_differ() {
    let (zero, data) = (vec![0; 1 << 21], painted(1, 1 << 21));
    assert_eq!(differences(&zero, &data).first_difference(), Some(0));
}

/// A disk of blocks of 64 KiB with the given status, whose extents end at multiples of `step`. Stored bytes are 1,
/// except one.
struct StatusDisk {
    blocks: Vec<Status>,
    step: u64,
    other_byte: Option<u64>,
}

const BLOCK: u64 = 64 << 10;

const fn unreserved(kind: ExtentKind) -> Status {
    Status { kind, reserved: false }
}

const DATA: Status = unreserved(ExtentKind::Data);
const ENCODED: Status = unreserved(ExtentKind::Encoded);
const ZERO: Status = unreserved(ExtentKind::Zero);
const UNALLOCATED: Status = unreserved(ExtentKind::Unallocated);
const RESERVED: Status = Status { kind: ExtentKind::Zero, reserved: true };

fn disk(blocks: &[Status]) -> StatusDisk {
    StatusDisk { blocks: blocks.to_vec(), step: BLOCK, other_byte: None }
}

impl StatusDisk {
    fn block(&self, offset: u64) -> Status {
        self.blocks[usize::try_from(offset / BLOCK).unwrap()]
    }
}

impl BlockSource for StatusDisk {
    fn size(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        for (byte, at) in buf.iter_mut().zip(offset..) {
            let stored = u8::from(!self.block(at).kind.reads_as_zeros());
            *byte = stored + u8::from(self.other_byte == Some(at));
        }
        Ok(())
    }
    fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
        let end = range.end.min((range.start / self.step + 1) * self.step);
        let Status { kind, reserved } = self.block(range.start);
        let reserved = reserved.then_some(range.start);
        Ok(Extent { reserved, ..Extent::new(range.start..end, kind) })
    }
}

fn status(offset: u64, a: Status, b: Status) -> Option<Difference> {
    Some(Difference::Status { offset, statuses: (a, b) })
}

#[test]
fn status_of_equal_bytes_differs_only_in_a_strict_comparison() {
    for group in [&[DATA, ENCODED][..], &[ZERO, UNALLOCATED, RESERVED]] {
        for (a, b) in group.iter().flat_map(|a| group.iter().map(move |b| (*a, *b))) {
            let (one, other) = (disk(&[DATA, a, ZERO]), disk(&[DATA, b, ZERO]));
            assert!(compared(&one, &other, false).identical());
            let expected = if a == b { None } else { status(BLOCK, a, b) };
            assert_eq!(compared(&one, &other, true).difference, expected);
        }
    }
}

#[test]
fn strict_comparison_of_different_sizes_reads_nothing() {
    struct Unreadable;
    impl BlockSource for Unreadable {
        fn size(&self) -> u64 {
            10
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Err(Error::new(ErrorKind::Io))
        }
    }
    let compared = compared(&Unreadable, &Memory::new(vec![0; 11]), true);
    assert_eq!((compared.difference, compared.sizes), (Some(Difference::Size), (10, 11)));
    assert_eq!(compared.first_difference(), None);
    assert!(!compared.same());
}

#[test]
fn first_difference_of_content_or_status_is_reported() {
    // Block 50 is in a later step of the scan.
    let mut blocks = vec![DATA; 100];
    let one = disk(&blocks);
    blocks[50] = ENCODED;
    let at = 50 * BLOCK;
    for (byte, expected) in [
        (at - 1, Some(Difference::Content { offset: at - 1 })),
        (at, status(at, DATA, ENCODED)),
        (at + 1, status(at, DATA, ENCODED)),
        (0, Some(Difference::Content { offset: 0 })),
    ] {
        let other = StatusDisk { other_byte: Some(byte), ..disk(&blocks) };
        assert_eq!(compared(&one, &other, true).difference, expected);
    }
}

#[test]
fn split_of_extents_does_not_matter() {
    let blocks = [[DATA; 40], [RESERVED; 40], [UNALLOCATED; 40]].concat();
    for step in [512, 4096, 40 * BLOCK] {
        let other = StatusDisk { step, ..disk(&blocks) };
        assert_eq!(compared(&disk(&blocks), &other, true).difference, None);
    }
}

#[test]
fn source_with_empty_extents_ends_the_scan() {
    struct Stuck;
    impl BlockSource for Stuck {
        fn size(&self) -> u64 {
            1000
        }
        fn read_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
            buf.fill(0);
            Ok(())
        }
        fn extent_at(&self, range: Range<u64>) -> Result<Extent<'_>> {
            Ok(Extent::new(range.start..range.start, ExtentKind::Data))
        }
    }
    assert!(compared(&Stuck, &Stuck, true).same());
}

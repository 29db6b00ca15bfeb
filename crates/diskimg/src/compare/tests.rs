//! Verdicts over disks in memory.

use std::ops::Range;

use super::{CompareOptions, Comparison, Difference, Status, compare};
use diskimg_core::conformance::painted;
use diskimg_core::{BlockSource, Error, ErrorKind, Extent, ExtentKind, Memory, Result};

/// What any number of threads say.
fn judged(a: &dyn BlockSource, b: &dyn BlockSource, strict: bool) -> Comparison {
    let one = compare(a, b, &CompareOptions { threads: 1, strict }, &()).unwrap();
    assert_eq!(one, compare(a, b, &CompareOptions { threads: 3, strict }, &()).unwrap());
    one
}

fn differences(a: &[u8], b: &[u8]) -> Comparison {
    let (a, b) = (Memory::new(a.to_vec()), Memory::new(b.to_vec()));
    judged(&a, &b, false)
}

#[test]
fn the_first_difference_is_found_wherever_it_lies() {
    let a = painted(0, 3 << 20);
    for at in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) - 1] {
        let mut b = a.clone();
        b[at..].iter_mut().step_by(70_001).for_each(|byte| *byte ^= 0x80);
        assert_eq!(differences(&a, &b).first_difference(), Some(at as u64));
    }
}

#[test]
fn a_longer_disk_is_the_same_only_with_zeros_at_its_end() {
    let a = painted(0, 1000);
    let longer = [a.clone(), vec![0; 500]].concat();
    let comparison = differences(&a, &longer);
    assert!(comparison.same() && !comparison.identical());
    let other = [a.clone(), vec![0; 499], vec![1]].concat();
    assert_eq!(differences(&a, &other).first_difference(), Some(1499));
}

#[test]
fn a_stopped_comparison_says_so() {
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

/// Blocks of 64 KiB, each kept as said, answered for by `step` bytes at most. What is stored
/// is ones, but for one byte.
struct Kept {
    blocks: Vec<Status>,
    step: u64,
    other_byte: Option<u64>,
}

const BLOCK: u64 = 64 << 10;

const fn kept(kind: ExtentKind) -> Status {
    Status { kind, reserved: false }
}

const DATA: Status = kept(ExtentKind::Data);
const ENCODED: Status = kept(ExtentKind::Encoded);
const ZERO: Status = kept(ExtentKind::Zero);
const NOTHING: Status = kept(ExtentKind::Unallocated);
const ROOM: Status = Status { kind: ExtentKind::Zero, reserved: true };

fn disk(blocks: &[Status]) -> Kept {
    Kept { blocks: blocks.to_vec(), step: BLOCK, other_byte: None }
}

impl Kept {
    fn block(&self, offset: u64) -> Status {
        self.blocks[usize::try_from(offset / BLOCK).unwrap()]
    }
}

impl BlockSource for Kept {
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
fn every_two_ways_of_keeping_the_same_bytes_differ_strictly_and_only_strictly() {
    for group in [&[DATA, ENCODED][..], &[ZERO, NOTHING, ROOM]] {
        for (a, b) in group.iter().flat_map(|a| group.iter().map(move |b| (*a, *b))) {
            let (one, other) = (disk(&[DATA, a, ZERO]), disk(&[DATA, b, ZERO]));
            assert!(judged(&one, &other, false).identical());
            let expected = if a == b { None } else { status(BLOCK, a, b) };
            assert_eq!(judged(&one, &other, true).difference, expected);
        }
    }
}

#[test]
fn sizes_that_differ_are_all_that_a_strict_comparison_looks_at() {
    struct Unreadable;
    impl BlockSource for Unreadable {
        fn size(&self) -> u64 {
            10
        }
        fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
            Err(Error::new(ErrorKind::Io))
        }
    }
    let compared = judged(&Unreadable, &Memory::new(vec![0; 11]), true);
    assert_eq!((compared.difference, compared.sizes), (Some(Difference::Size), (10, 11)));
    assert_eq!(compared.first_difference(), None);
    assert!(!compared.same());
}

#[test]
fn the_first_difference_counts_whichever_it_is() {
    // Blocks of 50 lie in several steps of the scan.
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
        let other = Kept { other_byte: Some(byte), ..disk(&blocks) };
        assert_eq!(judged(&one, &other, true).difference, expected);
    }
}

#[test]
fn how_many_bytes_an_answer_is_for_does_not_count() {
    let blocks = [[DATA; 40], [ROOM; 40], [NOTHING; 40]].concat();
    for step in [512, 4096, 40 * BLOCK] {
        let other = Kept { step, ..disk(&blocks) };
        assert_eq!(judged(&disk(&blocks), &other, true).difference, None);
    }
}

#[test]
fn a_source_that_answers_for_nothing_ends_the_scan() {
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
    assert!(judged(&Stuck, &Stuck, true).same());
}

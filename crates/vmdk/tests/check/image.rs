//! A small monolithic sparse image, built field by field.

use std::sync::Arc;

use diskimg_core::conformance::painted;
use diskimg_core::{CheckReport, Error, Memory, OpenOptions, ProblemKind};
use diskimg_vmdk::DRIVER;

/// Sectors of a grain.
pub(crate) const GRAIN: u64 = 8;
/// Entries of a grain table: few, so that a small disk has several tables.
pub(crate) const ENTRIES: u64 = 4;
/// Sectors of the disk: 11 grains, the last of 5 sectors.
pub(crate) const CAPACITY: u64 = 10 * GRAIN + 5;
/// The sectors of the directories, one sector each. The tables of each follow it.
pub(crate) const REDUNDANT: u64 = 2;
pub(crate) const DIRECTORY: u64 = 6;
/// The sector of the first grain.
pub(crate) const FIRST: u64 = 16;
/// The grains that have data; the second table has none.
pub(crate) const GRAINS: [u64; 4] = [0, 3, 9, 10];

/// The bytes of an image.
#[derive(Clone)]
pub(crate) struct Image(pub(crate) Vec<u8>);

impl Image {
    /// Header, descriptor, both directories with three tables each, and four grains.
    pub(crate) fn new() -> Self {
        let mut image = Self(vec![0; 512 * (FIRST + 4 * GRAIN) as usize]);
        image.put(0, b"KDMV");
        for (at, value) in [(4, 1), (8, 3), (44, ENTRIES as u32)] {
            image.u32(at, value);
        }
        let fields =
            [(12, CAPACITY), (20, GRAIN), (28, 1), (36, 1), (48, REDUNDANT), (56, DIRECTORY), (64, FIRST)];
        for (at, value) in fields {
            image.u64(at, value);
        }
        image.put(73, b"\n \r\n");
        let text = "# Disk DescriptorFile\nversion=1\nCID=00000007\nparentCID=ffffffff\n\
            createType=\"monolithicSparse\"\nRW 85 SPARSE \"disk.vmdk\"\n";
        image.put(512, text.as_bytes());
        for directory in [REDUNDANT, DIRECTORY] {
            for table in 0..3 {
                image.u32(512 * directory + 4 * table, (directory + 1 + table) as u32);
            }
        }
        for (place, grain) in (0..).zip(GRAINS) {
            let sector = FIRST + place * GRAIN;
            image.u32(entry(REDUNDANT, grain), sector as u32);
            image.u32(entry(DIRECTORY, grain), sector as u32);
            image.put(512 * sector, &painted(grain, 512 * GRAIN as usize));
        }
        image
    }

    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Sets the entry of a grain in both tables.
    pub(crate) fn both(&mut self, grain: u64, value: u32) {
        self.u32(entry(REDUNDANT, grain), value);
        self.u32(entry(DIRECTORY, grain), value);
    }

    /// The image with a change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn check(&self) -> CheckReport {
        check(&self.0, &OpenOptions::default()).unwrap()
    }
}

/// Byte offset of the entry of a grain in a table of this directory.
pub(crate) fn entry(directory: u64, grain: u64) -> u64 {
    512 * (directory + 1 + grain / ENTRIES) + 4 * (grain % ENTRIES)
}

pub(crate) fn check(image: &[u8], options: &OpenOptions<'_>) -> Result<CheckReport, Error> {
    (DRIVER.check.expect("images are checked"))(Arc::new(Memory::new(image.to_vec())), options)
}

/// Checks that a report has one corruption, at this byte.
#[track_caller]
pub(crate) fn assert_damaged(report: &CheckReport, at: u64) {
    let found: Vec<_> = report.problems.iter().map(|problem| (problem.kind, problem.offset)).collect();
    assert_eq!(found, [(ProblemKind::Corruption, Some(at))], "{:#?}", report.problems);
    assert_eq!((report.corruptions, report.leaks), (1, 0));
    let message = &report.problems[0].message;
    assert!(message.starts_with("vmdk: ") || at == 72, "{message}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message}");
}

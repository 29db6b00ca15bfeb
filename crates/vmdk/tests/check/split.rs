//! Images of several files.

use std::sync::Arc;

use diskimg_core::{
    BlockSource, CheckReport, Error, ErrorKind, Memory, OpenOptions, Reference, Resolver, Result,
};

use crate::image::*;

/// Files by their names.
struct Files(Vec<(&'static str, Vec<u8>)>);

impl Resolver for Files {
    fn resolve(&self, reference: &Reference) -> Result<Arc<dyn BlockSource>> {
        match self.0.iter().find(|(name, _)| name.as_bytes() == reference.name) {
            Some((_, bytes)) => Ok(Arc::new(Memory::new(bytes.clone()))),
            None => Err(reference.denied()),
        }
    }
}

fn check_files(create_type: &str, lines: &str, files: &Files) -> Result<CheckReport, Error> {
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=00000007\nparentCID=ffffffff\ncreateType=\"{create_type}\"\n{lines}"
    );
    check(text.as_bytes(), &OpenOptions { resolver: files, ..OpenOptions::default() })
}

/// An extent of a split image, without descriptor.
fn extent() -> Image {
    Image::new().with(|image| {
        image.u64(12, 88);
        image.u64(28, 0);
        image.u64(36, 0);
        image.put(512, &[0; 512]);
    })
}

const SPLIT: &str = "RW 88 SPARSE \"a.vmdk\"\nRW 88 SPARSE \"b.vmdk\"\n";

#[test]
fn every_sparse_extent_is_checked_and_named() {
    let valid = Files(vec![("a.vmdk", extent().0), ("b.vmdk", extent().0)]);
    let report = check_files("twoGbMaxExtentSparse", SPLIT, &valid).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!((report.total_units, report.allocated_units, report.image_end), (Some(22), Some(8), None));

    let damaged = extent().with(|image| image.both(3, 5000));
    let damaged = Files(vec![("a.vmdk", extent().0), ("b.vmdk", damaged.0)]);
    let report = check_files("twoGbMaxExtentSparse", SPLIT, &damaged).unwrap();
    assert_damaged(&report, entry(DIRECTORY, 3));
    assert!(report.problems[0].message.contains("\"b.vmdk\""), "{}", report.problems[0].message);
}

#[test]
fn check_opens_files_through_the_resolver_only() {
    let error = check_files("twoGbMaxExtentSparse", SPLIT, &Files(Vec::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[test]
fn flat_file_shorter_than_its_line_is_reported() {
    let line = "RW 16 FLAT \"flat.vmdk\" 4\n";
    let valid = Files(vec![("flat.vmdk", vec![0; 20 * 512])]);
    let report = check_files("monolithicFlat", line, &valid).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!((report.total_units, report.allocated_units), (None, None));
    let short = Files(vec![("flat.vmdk", vec![0; 20 * 512 - 1])]);
    let report = check_files("monolithicFlat", line, &short).unwrap();
    let at =
        "# Disk DescriptorFile\nversion=1\nCID=00000007\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n";
    assert_damaged(&report, at.len() as u64);
}

#[test]
fn extents_on_the_same_bytes_of_a_file_are_reported() {
    let head = "# Disk DescriptorFile\nversion=1\nCID=00000007\nparentCID=ffffffff\ncreateType=\"custom\"\n";
    let at = |line: &str| Some((head.len() + line.len()) as u64);
    let files = Files(vec![("flat.vmdk", vec![0; 20 * 512]), ("./flat.vmdk", vec![0; 20 * 512])]);
    let first = "RW 8 FLAT \"flat.vmdk\" 4\n";
    for second in ["RW 8 FLAT \"flat.vmdk\" 11\n", "RW 1 FLAT \"./flat.vmdk\" 5\n", first] {
        let report = check_files("custom", &format!("{first}{second}"), &files).unwrap();
        assert_damaged(&report, at(first).unwrap());
    }
    let apart = format!("{first}RW 8 FLAT \"flat.vmdk\" 12\nRW 4 FLAT \"flat.vmdk\" 0\n");
    let report = check_files("custom", &apart, &files).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);

    let twice = Files(vec![("a.vmdk", extent().0)]);
    let line = "RW 88 SPARSE \"a.vmdk\"\n";
    let report = check_files("custom", &format!("{line}{line}"), &twice).unwrap();
    assert_damaged(&report, at(line).unwrap());
}

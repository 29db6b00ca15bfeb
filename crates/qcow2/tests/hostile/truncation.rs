//! Images that end too early: other bytes than those of the disk are never read without a finding.

use std::sync::Arc;

use diskimg_core::conformance::{Numbers, painted};
use diskimg_core::{
    BlockSource, CreateOptions, Error, ErrorKind, Finding, Limits, Memory, MemorySink, OpenOptions, Setting,
    Severity,
};
use diskimg_qcow2::DRIVER;

use crate::image::{CLUSTER, COPIED, DATA, Image, L2, SIZE};

/// A disk of noise, paint and zeros that ends with data inside a cluster.
fn disk() -> Vec<u8> {
    let mut numbers = Numbers::new(15);
    let mut disk: Vec<u8> = (0..700_000).map(|_| numbers.below(256) as u8).collect();
    disk.extend(painted(0, 600_000));
    disk.extend(vec![0; 500_000]);
    disk.extend((0..200_384).map(|_| numbers.below(256) as u8));
    disk
}

fn written(disk: &[u8], settings: &str, compress: bool) -> Vec<u8> {
    let file = MemorySink::new(64 << 20);
    let options = CreateOptions {
        virtual_size: disk.len() as u64,
        compress,
        settings: Setting::parse_list(settings).unwrap(),
        ..CreateOptions::default()
    };
    let sink = (DRIVER.create.unwrap())(Box::new(file.clone()), &options).unwrap();
    for (index, part) in disk.chunks(65_536).enumerate() {
        let at = index as u64 * 65_536;
        match part.iter().all(|byte| *byte == 0) {
            true => sink.zero(at..at + part.len() as u64).unwrap(),
            false => sink.write_at(at, part).unwrap(),
        }
    }
    sink.finish().unwrap();
    file.bytes()
}

/// The disk and the findings of an image, read from its file.
fn read(image: &[u8]) -> Result<(Vec<u8>, Vec<Finding>), Error> {
    let opened = (DRIVER.open)(Arc::new(Memory::new(image.to_vec())), &OpenOptions::default())?;
    let mut disk = vec![0xA5; opened.size() as usize];
    opened.read_at(0, &mut disk)?;
    Ok((disk, opened.info().findings.clone()))
}

/// The disk and the findings of an image, read from a stream.
fn streamed(image: &[u8]) -> Result<(Vec<u8>, Vec<Finding>), Error> {
    let mut decoder = (DRIVER.stream.unwrap())(&Limits::default())?;
    let sink = MemorySink::new(64 << 20);
    for part in image.chunks(30_000) {
        decoder.push(part, &sink)?;
    }
    decoder.finish(&sink)?;
    Ok((sink.bytes(), decoder.findings()))
}

/// The findings of `inspect`, with those about the length of the file.
fn surveyed(image: &[u8]) -> Vec<Finding> {
    let source = Memory::new(image.to_vec());
    let Ok(mut info) = (DRIVER.inspect)(&source, &Limits::default()) else { return Vec::new() };
    let more = (DRIVER.survey.unwrap())(&source, &info, &Limits::default());
    info.findings.extend(more);
    info.findings
}

fn warnings(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|found| found.severity == Severity::Warning).map(|found| found.check).collect()
}

/// Lengths at which to truncate a file of `len` bytes: a sample, and every sector of the end.
fn lengths(len: usize, cluster: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = (0..len).step_by(len / 60 + 1).collect();
    let end = len.saturating_sub(2 * cluster.min(40_000));
    lengths.extend((end..len).step_by(509));
    lengths.extend([len - 1, len]);
    lengths
}

#[test]
fn truncated_image_reads_no_other_bytes_without_a_warning() {
    let disk = disk();
    let mut short = 0;
    for (settings, cluster, compress) in [
        ("cluster_size=512", 512, false),
        ("cluster_size=64k", 65_536, false),
        ("cluster_size=2M", 2 << 20, false),
        ("cluster_size=64k,extended_l2=on", 65_536, false),
        ("cluster_size=64k", 65_536, true),
        ("cluster_size=64k,compression_type=zstd", 65_536, true),
        ("cluster_size=2M", 2 << 20, true),
    ] {
        let image = written(&disk, settings, compress);
        assert!(warnings(&read(&image).unwrap().1).is_empty(), "{settings}");
        assert!(warnings(&surveyed(&image)).is_empty(), "{settings}");
        for len in lengths(image.len(), cluster) {
            let what = format!("{settings}, {len} of {} bytes", image.len());
            let image = &image[..len];
            let found = warnings(&surveyed(image));
            match (read(image), streamed(image)) {
                (Ok((file, from_file)), Ok((stream, from_stream))) => {
                    assert!(file == stream, "{what}");
                    assert_eq!(from_file, from_stream, "{what}");
                    assert_eq!(warnings(&from_file), found, "{what}");
                    assert!(file == disk || found == ["truncated_cluster"], "{what}");
                    short += usize::from(file != disk);
                }
                (Err(file), Err(stream)) => {
                    assert_eq!(file.kind(), stream.kind(), "{what}");
                    let is_inspected =
                        (DRIVER.inspect)(&Memory::new(image.to_vec()), &Limits::default()).is_ok();
                    // The end of compressed data in the last sector of a file is not recorded.
                    let may_be_whole = compress && len + 512 >= image.len();
                    assert!(!found.is_empty() || !is_inspected || may_be_whole, "{what}: {file}");
                }
                (file, stream) => panic!("{what}: {:?}, {:?}", file.err(), stream.err()),
            }
        }
    }
    assert!(short > 40, "{short} images end inside a data cluster");
}

#[test]
fn short_cluster_is_reported_with_its_guest_offset_and_missing_bytes() {
    let mut image = Image::new();
    image.0.truncate((DATA + 1000) as usize);
    let (disk, findings) = read(&image.0).unwrap();
    assert!(disk[..1000] == painted(0, 1000) && disk[1000..CLUSTER as usize].iter().all(|byte| *byte == 0));
    let message = "the file ends at byte 17384, inside its last cluster at guest offset 1000; the missing 3096 bytes \
                   read as zeros";
    let expected = [Finding::warning("truncated_cluster", message).at(DATA + 1000)];
    assert_eq!(findings, expected);
    assert_eq!(surveyed(&image.0), expected);
    assert_eq!(streamed(&image.0).unwrap().1, expected);
}

#[test]
fn bytes_past_the_end_of_the_disk_are_not_missing() {
    let mut image = Image::new().with(|image| image.u64(24, 1024));
    image.0.truncate((DATA + 1024) as usize);
    assert_eq!(
        (read(&image.0).unwrap().1, surveyed(&image.0), streamed(&image.0).unwrap().1),
        Default::default()
    );
    image.0.truncate((DATA + 1023) as usize);
    assert_eq!(warnings(&read(&image.0).unwrap().1), ["truncated_cluster"]);
}

#[test]
fn unallocated_subclusters_are_not_missing() {
    let cluster = 4 * CLUSTER;
    let mut image = Image::extended().with(|image| image.u64(3 * cluster + 8, 0b1011));
    image.0.truncate((4 * cluster + 4 * 512) as usize);
    assert_eq!((read(&image.0).unwrap().1, surveyed(&image.0)), Default::default());
    image.0.truncate((4 * cluster + 500) as usize);
    let (_, findings) = read(&image.0).unwrap();
    assert!(findings[0].message.contains("guest offset 500; the missing 1036 bytes"), "{findings:?}");
    assert_eq!(findings, streamed(&image.0).unwrap().1);
}

#[test]
fn inspect_of_a_partly_downloaded_image_names_the_first_missing_structure() {
    let far = DATA + 100 * CLUSTER;
    let data = Image::new().with(|image| image.u64(L2 + 8, COPIED | far));
    let found = surveyed(&data.0);
    assert_eq!(found[0].check, "truncated");
    assert_eq!(found[0].offset, Some(far));
    let words =
        format!("qcow2: data cluster at byte {far} for guest offset 4096: the file ends at byte 20480");
    assert_eq!(found[0].message, words);
    let table = Image::new().with(|image| image.0.truncate(L2 as usize));
    assert_eq!(warnings(&surveyed(&table.0)), ["truncated"]);
    let compressed = Image::new().with(|image| image.compressed_at(3, DATA + CLUSTER - 1000, 2000));
    assert_eq!(warnings(&surveyed(&compressed.0)), ["truncated"]);
    assert!(surveyed(&Image::new().0).is_empty());
}

#[test]
fn survey_of_more_tables_than_the_limit_says_so() {
    let mut image = Image::new().with(|image| image.u64(24, 4 * SIZE));
    let second = image.0.len() as u64;
    image.0.extend(vec![0; CLUSTER as usize]);
    image.u32(36, 2);
    image.u64(2 * CLUSTER + 8, COPIED | second);
    let source = Memory::new(image.0.clone());
    let info = (DRIVER.inspect)(&source, &Limits::default()).unwrap();
    let survey = |metadata_cache| {
        let limits = Limits { metadata_cache, ..Limits::default() };
        (DRIVER.survey.unwrap())(&source, &info, &limits)
    };
    assert!(survey(2 * CLUSTER).is_empty());
    let found = survey(2 * CLUSTER - 1);
    assert_eq!((found[0].check, found[0].severity), ("tables_not_compared", Severity::Note));
}

#[test]
fn undecided_end_of_a_file_is_a_warning() {
    let mut image = Image::new().with(|image| image.u64(24, 4 * SIZE));
    let second = image.0.len() as u64;
    image.0.extend(vec![0; CLUSTER as usize]);
    image.0.extend(vec![0; 100]);
    image.u32(36, 2);
    image.u64(2 * CLUSTER + 8, COPIED | second);
    let open = |metadata_cache| {
        let limits = Limits { metadata_cache, ..Limits::default() };
        image.open_with(&OpenOptions { limits, ..OpenOptions::default() }).unwrap()
    };
    use diskimg_core::Image as _;
    assert!(open(2 * CLUSTER).info().findings.is_empty());
    assert_eq!(warnings(&open(CLUSTER).info().findings), ["truncated_cluster"]);
}

#[test]
fn partial_l2_table_ends_in_an_error_and_not_in_zeros() {
    let mut image = Image::new().with(|image| image.0.truncate((L2 + 100) as usize));
    image.u64(L2, 0);
    let error = image.unreadable(SIZE / 2);
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(warnings(&surveyed(&image.0)), ["truncated"]);
}

#[test]
fn survey_names_the_first_invalid_entry() {
    for (at, place) in [(L2 + 8, L2 + 8), (2 * CLUSTER, 2 * CLUSTER)] {
        let image = Image::new().with(|image| image.u64(at, COPIED | DATA | 2));
        let found = surveyed(&image.0);
        assert_eq!((found.len(), found[0].check, found[0].offset), (1, "corrupt", Some(place)), "{found:?}");
    }
}

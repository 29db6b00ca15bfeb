//! Every subformat at all boundary sizes, read by QEMU.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::tools::{approved, approved_as, has, output_of};
use super::*;

/// Sizes around sectors, grains and tables. A table of 4 KiB grains maps 2 MiB.
const SIZES: [usize; 8] = [1, 513, 4097, 65_535, 65_536, 1_000_000, (2 << 20) + 1, 5_000_001];

fn in_one_call(options: &WriterOptions, disk: &[u8]) -> Arc<Folder> {
    image(options, |writer| writer.write_at(0, disk).unwrap())
}

fn in_batches(options: &WriterOptions, disk: &[u8]) -> Arc<Folder> {
    image(options, |writer| match writer.batch().is_some() {
        true => batched(writer, disk, 1 << 18, 2),
        false => writer.write_at(0, disk).unwrap(),
    })
}

fn check_every_size_with_qemu(subformat: Subformat) {
    if !has("qemu-img") {
        return;
    }
    for (turn, size) in SIZES.into_iter().enumerate() {
        let disk = mixed(size, 3);
        let grain_size = if turn % 2 == 0 { 4096 } else { 65_536 };
        let options = WriterOptions { grain_size, ..options_for(&disk, subformat) };
        approved_as(&in_batches(&options, &disk), &options, &disk);
        let options = WriterOptions { grain_size: 69_632 - grain_size, ..options };
        approved_as(&in_one_call(&options, &disk), &options, &disk);
    }
    for size in [1, 65_536, 5_000_001] {
        let options = options_for(&vec![0; size], subformat);
        approved_as(&image(&options, |_| ()), &options, &vec![0; size]);
    }
}

#[test]
fn monolithic_sparse_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::MonolithicSparse);
}

#[test]
fn stream_optimized_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::StreamOptimized);
}

#[test]
fn monolithic_flat_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::MonolithicFlat);
}

#[test]
fn split_sparse_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::TwoGbMaxExtentSparse);
}

#[test]
fn split_flat_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::TwoGbMaxExtentFlat);
}

#[test]
fn vmfs_of_every_size_is_read_by_qemu() {
    check_every_size_with_qemu(Subformat::Vmfs);
}

/// Data across the ends of files of both split subformats, and at the end of the disk.
fn large() -> (u64, Vec<(u64, Vec<u8>)>) {
    let size = (4 << 30) + 12_345;
    let ends = [4_192_256 * 512, 4_193_792 * 512, 2 * 4_192_256 * 512, 2 * 4_193_792 * 512];
    let mut pieces = vec![(0, painted(1, 700_000))];
    pieces.extend(ends.map(|end| (end - 300_000, painted(end, 600_001))));
    pieces.push((size - 5000, painted(3, 5000)));
    (size, pieces)
}

#[test]
fn disks_of_several_files_and_tables_are_read_by_qemu() {
    if !has("qemu-img") {
        return;
    }
    let (size, pieces) = large();
    let oracle = Folder::new();
    let raw = oracle.path("oracle.raw");
    let file = File::create(&raw).unwrap();
    file.set_len(size.next_multiple_of(512)).unwrap();
    pieces.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
    for subformat in Subformat::ALL {
        let options = WriterOptions { virtual_size: size, subformat, ..WriterOptions::default() };
        let folder = image(&options, |writer| {
            pieces.iter().for_each(|(at, bytes)| writer.write_at(*at, bytes).unwrap());
        });
        approved(&folder, &options, &raw);
    }
}

#[test]
fn segments_across_the_ends_of_files_are_stored() {
    if !has("qemu-img") {
        return;
    }
    let (size, pieces) = large();
    let options = WriterOptions {
        virtual_size: size,
        subformat: Subformat::TwoGbMaxExtentSparse,
        ..WriterOptions::default()
    };
    let batch = image(&options, |writer| {
        let mut batch = writer.batch().unwrap();
        let mut at = 0;
        let mut segment = |offset: u64, end: u64, bytes: &[u8]| {
            let known = offset..offset + 65_536;
            let begins_with_zeros = !bytes.is_empty() && zeros::is_zero(&bytes[..65_536]);
            let zeros = if begins_with_zeros { std::slice::from_ref(&known) } else { &[] };
            let segment = Segment { offset, len: end - offset, bytes, zeros };
            batch.prepare(&segment).unwrap();
            batch.place(&segment).unwrap();
            batch.write(&segment).unwrap();
        };
        for (offset, bytes) in merged(&pieces, size) {
            if at < offset {
                segment(at, offset, &[]);
            }
            at = offset + bytes.len() as u64;
            segment(offset, at, &bytes);
        }
    });
    let direct =
        image(&options, |writer| pieces.iter().for_each(|(at, bytes)| writer.write_at(*at, bytes).unwrap()));
    output_of("qemu-img", &["compare"], &[&direct.path(NAME), &batch.path(NAME)]);
}

/// The pieces padded to whole grains, each after a grain of zeros if there is room.
fn merged(pieces: &[(u64, Vec<u8>)], size: u64) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, bytes) in pieces {
        let start = (at / 65_536 * 65_536).saturating_sub(65_536);
        let end = (at + bytes.len() as u64).next_multiple_of(65_536).min(size);
        let (first, run) = match runs.last_mut() {
            Some((first, run)) if *first + run.len() as u64 >= start => (*first, run),
            _ => {
                runs.push((start, Vec::new()));
                let (first, run) = runs.last_mut().unwrap();
                (*first, run)
            }
        };
        run.resize(usize::try_from(end - first).unwrap(), 0);
        run[usize::try_from(at - first).unwrap()..][..bytes.len()].copy_from_slice(bytes);
    }
    runs
}

#[test]
fn empty_disk_of_64_gib_needs_a_few_kilobytes() {
    if !has("qemu-img") {
        return;
    }
    let virtual_size = (64 << 30) + 512;
    let options =
        WriterOptions { virtual_size, subformat: Subformat::StreamOptimized, ..WriterOptions::default() };
    let folder = image(&options, |writer| writer.write_at(virtual_size - 1, &[7]).unwrap());
    // The directory of 2049 tables, and little more.
    assert!(folder.read(NAME).len() < 80 << 10);
    let raw = folder.path("oracle.raw");
    let file = File::create(&raw).unwrap();
    file.write_all_at(&[7], virtual_size - 1).unwrap();
    approved(&folder, &options, &raw);
}

#[test]
fn vmdkinfo_reports_size_and_content_id() {
    if !has("vmdkinfo") {
        return;
    }
    let disk = mixed(5_000_192, 9);
    for subformat in Subformat::ALL {
        let options = WriterOptions { cid: Some(0xAB), ..options_for(&disk, subformat) };
        let folder = in_one_call(&options, &disk);
        let info = output_of("vmdkinfo", &[], &[&folder.path(NAME)]);
        assert!(info.contains("(5000192 bytes)"), "{info}");
        assert!(info.contains("0x000000ab"), "{info}");
    }
}

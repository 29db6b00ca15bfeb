//! The offsets of structures in the files.

use super::*;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Version, flags, capacity, grain, descriptor, redundant directory, directory, overhead.
fn header(bytes: &[u8]) -> [u64; 9] {
    assert_eq!(&bytes[..4], b"KDMV");
    assert_eq!(&bytes[72..77], b"\0\n \r\n");
    assert_eq!(u32_at(bytes, 44), 512);
    let [version, flags] = [4, 8].map(|at| u64::from(u32_at(bytes, at)));
    let [capacity, grain, at, len] = [12, 20, 28, 36].map(|at| u64_at(bytes, at));
    let [redundant, directory, overhead] = [48, 56, 64].map(|at| u64_at(bytes, at));
    [version, flags, capacity, grain, at, len, redundant, directory, overhead]
}

#[test]
fn monolithic_sparse_begins_with_both_directories_and_all_tables() {
    let disk = painted(0, 200_000);
    let mut options = options_for(&disk, Subformat::MonolithicSparse);
    let bytes = image(&options, |writer| writer.write_at(0, &disk).unwrap()).read(NAME);
    assert_eq!(header(&bytes), [1, 3, 391, 128, 1, 20, 21, 26, 128]);
    assert_eq!(u32_at(&bytes, 77) & 0xFFFF, 0, "not compressed");
    // Both directories point to tables with the same content.
    assert_eq!((u32_at(&bytes, 21 * 512), u32_at(&bytes, 26 * 512)), (22, 27));
    assert_eq!(bytes[22 * 512..26 * 512], bytes[27 * 512..31 * 512]);
    let entries: Vec<u32> = (0..5).map(|entry| u32_at(&bytes, 27 * 512 + entry * 4)).collect();
    assert_eq!(entries, [128, 256, 384, 512, 0]);
    assert_eq!(bytes.len(), 640 * 512, "whole grains");
    options.zeroed_grain = true;
    let bytes = image(&options, |_| ()).read(NAME);
    assert_eq!(header(&bytes)[..2], [2, 7]);
    assert_eq!(bytes.len(), 128 * 512);
}

#[test]
fn split_extent_has_no_embedded_descriptor() {
    let disk = painted(0, 200_000);
    let options = options_for(&disk, Subformat::TwoGbMaxExtentSparse);
    let folder = image(&options, |writer| writer.write_at(0, &disk).unwrap());
    assert_eq!(header(&folder.read("disk-s001.vmdk")), [1, 3, 391, 128, 0, 0, 1, 6, 128]);
    assert!(folder.text(NAME).contains("\nRW 391 SPARSE \"disk-s001.vmdk\"\n"));
}

#[test]
fn stream_optimized_has_the_layout_of_vmware() {
    // Grains 0 and 1, and one grain of the second table.
    let options = WriterOptions { virtual_size: 40 << 20, ..options_for(&[], Subformat::StreamOptimized) };
    let bytes = image(&options, |writer| {
        writer.write_at(0, &[7; 131_072]).unwrap();
        writer.write_at(33 << 20, &[8; 100]).unwrap();
    })
    .read(NAME);
    let none = u64::MAX;
    assert_eq!(header(&bytes), [3, 0x3_0001, 81_920, 128, 1, 20, 0, none, 128]);
    assert_eq!(u32_at(&bytes, 77) & 0xFFFF, 1, "deflate");
    let mut at = 128 * 512;
    for lba in [0, 128] {
        assert_eq!(u64_at(&bytes, at), lba);
        assert_eq!(bytes[at + 12] & 0x0F, 8, "a zlib stream, not a bare deflate stream");
        at += (12 + u32_at(&bytes, at + 8) as usize).next_multiple_of(512);
    }
    let table = |at: usize, kind: u32, sectors: u64| {
        assert_eq!((u64_at(&bytes, at), u32_at(&bytes, at + 8), u32_at(&bytes, at + 12)), (sectors, 0, kind));
        at + 512
    };
    let first = table(at, 1, 4);
    assert_eq!((u32_at(&bytes, first), u32_at(&bytes, first + 8)), (128, 0));
    at = first + 2048;
    assert_eq!(u64_at(&bytes, at), 33 << 11);
    at += (12 + u32_at(&bytes, at + 8) as usize).next_multiple_of(512);
    let second = table(at, 1, 4);
    let directory = table(second + 2048, 2, 1);
    assert_eq!(u32_at(&bytes, directory) as usize * 512, first);
    assert_eq!(u32_at(&bytes, directory + 4) as usize * 512, second);
    let footer = table(directory + 512, 3, 1);
    let mut expected = header(&bytes);
    expected[7] = directory as u64 / 512;
    assert_eq!(header(&bytes[footer..]), expected);
    assert_eq!(bytes[footer + 512..], [0; 512], "end of stream");
}

#[test]
fn extent_files_have_the_sizes_of_vmware() {
    let size = (4 << 30) + 512;
    let options = |subformat| WriterOptions { virtual_size: size, subformat, ..WriterOptions::default() };
    let folder = image(&options(Subformat::TwoGbMaxExtentFlat), |_| ());
    let text = folder.text(NAME);
    let lines = "RW 4193792 FLAT \"disk-f001.vmdk\" 0\n\
        RW 4193792 FLAT \"disk-f002.vmdk\" 0\n\
        RW 1025 FLAT \"disk-f003.vmdk\" 0\n";
    assert!(text.contains(lines), "{text}");
    let length = folder.path("disk-f003.vmdk").metadata().unwrap().len();
    assert_eq!(length, 1025 * 512);
    let text = image(&options(Subformat::TwoGbMaxExtentSparse), |_| ()).text(NAME);
    let lines = "RW 4192256 SPARSE \"disk-s001.vmdk\"\n\
        RW 4192256 SPARSE \"disk-s002.vmdk\"\n\
        RW 4097 SPARSE \"disk-s003.vmdk\"\n";
    assert!(text.contains(lines), "{text}");
    let text = image(&WriterOptions { virtual_size: 1, ..options(Subformat::Vmfs) }, |_| ()).text(NAME);
    assert!(
        text.contains("createType=\"vmfs\"\n") && text.contains("\nRW 1 VMFS \"disk-flat.vmdk\"\n"),
        "{text}"
    );
}

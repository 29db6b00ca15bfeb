//! The offsets of structures in the file.

use super::*;
use crate::Compression;
use crate::entry_bits::{COMPRESSED, HOST_OFFSET, ZERO};

fn word(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The host ranges of the guest clusters with their L2 tables, in guest order.
fn clusters(bytes: &[u8], cluster_bits: u32) -> Vec<(u64, Range<u64>)> {
    let cluster = 1_u64 << cluster_bits;
    let l1_entries = word(bytes, 32) & 0xFFFF_FFFF;
    let l1 = word(bytes, 40);
    let mut found = Vec::new();
    for index in 0..l1_entries {
        let table = word(bytes, l1 + index * 8) & HOST_OFFSET;
        for slot in (0..cluster).step_by(8).filter(|_| table != 0) {
            let entry = word(bytes, table + slot);
            if entry & COMPRESSED != 0 {
                let bits = 62 - (cluster_bits - 8);
                let host = entry & ((1 << bits) - 1);
                let sectors = (entry & !COMPRESSED) >> bits;
                found.push((table, host..(host & !511) + (sectors + 1) * 512));
            } else if entry & !ZERO != 0 {
                let host = entry & HOST_OFFSET;
                found.push((table, host..host + cluster));
            }
        }
    }
    found
}

#[test]
fn l2_table_precedes_its_clusters_and_clusters_ascend() {
    let disk = mixed(6_000_000, 12);
    for compress in [false, true] {
        let options = WriterOptions { cluster_size: 4096, compress, ..options_for(&disk) };
        let bytes = image(&options, |writer| batched(writer, &disk, 1 << 20, 3));
        let found = clusters(&bytes, 12);
        assert!(found.len() > 500);
        assert!(found.iter().all(|(table, host)| *table < host.start));
        if !compress {
            assert!(found.is_sorted_by(|a, b| a.1.end <= b.1.start));
        }
    }
}

#[test]
fn compressed_clusters_are_packed_byte_by_byte() {
    let disk = b"some text, again and again\n".repeat(100_000);
    let options = WriterOptions { compress: true, ..options_for(&disk) };
    let bytes = image(&options, |writer| batched(writer, &disk, 1 << 20, 2));
    let found = clusters(&bytes, 16);
    // Only the first of them begins at a sector.
    let aligned = found.iter().filter(|(_, host)| host.start % 512 == 0).count();
    assert!(aligned <= 2, "{aligned} of {}", found.len());
    assert!(bytes.len() <= 7 * 65_536, "{}", bytes.len());
}

#[test]
fn one_bit_refcounts_prevent_shared_clusters() {
    let disk = b"some text, again and again\n".repeat(10_000);
    let options =
        WriterOptions { compress: true, refcount_bits: 1, cluster_size: 4096, ..options_for(&disk) };
    let bytes = image(&options, |writer| writer.write_at(0, &disk).unwrap());
    assert!(clusters(&bytes, 12).iter().all(|(_, host)| host.start % 4096 == 0));
    assert!(guest(bytes) == in_sectors(&disk));
}

#[test]
fn deflated_clusters_decompress_with_a_window_of_4_kib() {
    // Text that repeats after more than 4 KiB: a larger window would refer back to it.
    let mut pattern = b"abcdefgh".repeat(600);
    pattern.extend(noise(5000));
    let disk = pattern.repeat(30)[..200_000].to_vec();
    let options = WriterOptions { compress: true, level: Some(9), ..options_for(&disk) };
    let bytes = image(&options, |writer| writer.write_at(0, &disk).unwrap());
    let found = clusters(&bytes, 16);
    for ((_, host), want) in found.iter().zip(disk.chunks(65_536)) {
        let input = &bytes[usize::try_from(host.start).unwrap()..usize::try_from(host.end).unwrap()];
        let mut inflate = flate2::Decompress::new_with_window_bits(false, 12);
        let mut output = vec![0; 65_536];
        let status = inflate.decompress(input, &mut output, flate2::FlushDecompress::Finish).unwrap();
        assert_eq!(status, flate2::Status::StreamEnd);
        assert!(output.starts_with(want));
        assert!(zeros::is_zero(&output[want.len()..]), "the last cluster is padded with zeros");
    }
    assert_eq!(found.len(), disk.len().div_ceil(65_536));
}

#[test]
fn clusters_of_zeros_are_not_stored() {
    let empty = WriterOptions { virtual_size: 1 << 40, ..WriterOptions::default() };
    let bytes = image(&empty, |writer| {
        writer.zero(0..1 << 40).unwrap();
        writer.write_at(1 << 30, &vec![0; 1 << 20]).unwrap();
        writer.write_at(12_345, &[0; 10]).unwrap();
    });
    // Header, refcount block, L1 table, refcount table.
    assert_eq!(bytes.len(), 4 * 65_536);
    let zstd = WriterOptions { compress: true, compression_type: Compression::Zstd, ..empty };
    assert_eq!(image(&zstd, |_| ()).len(), 4 * 65_536);
}

#[test]
fn written_cluster_can_be_rewritten_and_zeroed() {
    let mut disk = mixed(1_000_000, 21);
    let bytes = image(&options_for(&disk), |writer| {
        writer.write_at(0, &disk).unwrap();
        for (range, byte) in [(10..70_000, 1), (65_536..131_072, 0), (300_000..300_001, 9), (5..6, 0)] {
            disk[range.clone()].fill(byte);
            let offset = range.start as u64;
            if byte == 0 {
                writer.zero(offset..range.end as u64).unwrap();
            } else {
                writer.write_at(offset, &disk[range]).unwrap();
            }
        }
        let again = &vec![0; 65_536];
        writer.write_at(131_072, again).unwrap();
        disk[131_072..196_608].fill(0);
    });
    assert!(guest(bytes) == in_sectors(&disk));
}

#[test]
fn subclusters_of_zeros_are_flagged() {
    let mut disk = vec![0; 131_072];
    disk[3000] = 1;
    disk[80_000..].fill(2);
    let options = WriterOptions { extended_l2: true, ..options_for(&disk) };
    let source = open(image(&options, |writer| writer.write_at(0, &disk).unwrap()));
    let kind = |at: u64| source.extent_at(at..at + 1).unwrap().kind;
    use diskimg_core::ExtentKind::{Data, Zero};
    assert_eq!([kind(0), kind(3000), kind(4096), kind(70_000), kind(81_000)], [Zero, Data, Zero, Zero, Data]);
    diskimg_core::conformance::source(&source, &disk);
}

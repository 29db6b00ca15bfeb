//! Sparse members in all formats of GNU tar.

use diskimg_core::{BlockSource, ErrorKind, Extents, Memory, Result};
use proptest::prelude::*;

use super::{convert, fix_checksum, header, inspect, mbr_disk, member, record};
use crate::Opener;

/// The stored ranges of the disk, in bytes.
const RANGES: [(usize, usize); 6] =
    [(0, 4096), (8192, 512), (65_536, 1000), (80_000, 1), (90_000, 24), (131_072 - 512, 512)];
const LEN: usize = 131_072;

/// A sparse disk.
fn disk() -> Vec<u8> {
    let whole = mbr_disk(LEN);
    let mut disk = vec![0; LEN];
    for (offset, len) in RANGES {
        disk[offset..offset + len].copy_from_slice(&whole[offset..offset + len]);
    }
    disk
}

/// The stored bytes of the disk.
fn stored() -> Vec<u8> {
    let disk = disk();
    RANGES.iter().flat_map(|(offset, len)| disk[*offset..offset + len].to_vec()).collect()
}

fn ended(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

/// The disk in the old GNU format: four ranges in the header, the rest in a block after it.
fn old_gnu() -> Vec<u8> {
    let data = stored();
    let mut block = header("disk.raw", data.len() as u64, b'S');
    block[257..265].copy_from_slice(b"ustar  \0");
    let mut more = vec![0; 512];
    for (index, (offset, len)) in RANGES.iter().enumerate() {
        let entry = format!("{offset:011o}\0{len:011o}\0");
        let (place, at) =
            if index < 4 { (&mut block, 386 + index * 24) } else { (&mut more, (index - 4) * 24) };
        place[at..at + 24].copy_from_slice(entry.as_bytes());
    }
    block[482] = 1;
    block[483..494].copy_from_slice(format!("{LEN:011o}").as_bytes());
    fix_checksum(&mut block);
    let mut data = data;
    data.resize(data.len().next_multiple_of(512), 0);
    ended(&[block, more, data])
}

/// The disk with a map in an extended header, in the version 0.0 or 0.1.
fn pax(minor: u8) -> Vec<u8> {
    let mut records = record("GNU.sparse.size", &LEN.to_string());
    records.extend(record("GNU.sparse.numblocks", &RANGES.len().to_string()));
    if minor == 0 {
        for (offset, len) in RANGES {
            records.extend(record("GNU.sparse.offset", &offset.to_string()));
            records.extend(record("GNU.sparse.numbytes", &len.to_string()));
        }
    } else {
        let map: Vec<String> = RANGES.iter().map(|(offset, len)| format!("{offset},{len}")).collect();
        records.extend(record("GNU.sparse.name", "disk.raw"));
        records.extend(record("GNU.sparse.map", &map.join(",")));
    }
    let name = if minor == 0 { "disk.raw" } else { "GNUSparseFile.1/disk.raw" };
    ended(&[member("x", b'x', &records), member(name, b'0', &stored())])
}

/// The disk in the version 1.0, with this map.
fn pax_1(map: &str) -> Vec<u8> {
    let records = [("major", "1"), ("minor", "0"), ("name", "disk.raw"), ("realsize", &LEN.to_string())];
    let records = records.map(|(key, value)| record(&format!("GNU.sparse.{key}"), value)).concat();
    let mut data = map.as_bytes().to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data.extend(stored());
    ended(&[member("x", b'x', &records), member("GNUSparseFile.1/disk.raw", b'0', &data)])
}

fn map() -> String {
    let entries = RANGES.iter().map(|(offset, len)| format!("{offset}\n{len}\n"));
    format!("{}\n{}", RANGES.len(), entries.collect::<String>())
}

#[test]
fn sparse_disk_of_every_format_is_read_with_its_zeros() {
    for archive in [old_gnu(), pax(0), pax(1), pax_1(&map())] {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk());
        let info = inspect(&Opener::new(), &archive).unwrap();
        assert_eq!(info.virtual_size, LEN as u64);
        let opened = Opener::new().open_source(std::sync::Arc::new(Memory::new(archive))).unwrap();
        assert_eq!(opened.member(), Some("disk.raw"));
        let extents = Extents::new(&opened, 0..opened.size()).collect::<Result<Vec<_>>>().unwrap();
        let data: u64 = extents.iter().filter(|e| !e.kind.reads_as_zeros()).map(|e| e.len).sum();
        assert_eq!(data, stored().len() as u64);
    }
}

#[test]
fn sparse_file_without_data_is_zeros() {
    let records = [("size", "131072"), ("numblocks", "0"), ("map", "")];
    let records = records.map(|(key, value)| record(&format!("GNU.sparse.{key}"), value)).concat();
    let archive = ended(&[member("x", b'x', &records), member("disk.raw", b'0', b"")]);
    assert!(convert(&Opener::new(), &archive).unwrap() == vec![0; LEN]);
}

#[test]
fn map_that_does_not_fit_its_file_is_refused() {
    let count = RANGES.len();
    let cases = [
        map().replace("8192", "4000"),
        map().replace("65536\n1000", "65536\n1001"),
        map().replace(&format!("{}\n512\n", LEN - 512), &format!("{}\n512\n", LEN - 511)),
        map().replacen(&count.to_string(), "5", 1),
        map().replace('\n', " "),
        map().replace("8192", "99999999999999999999999"),
        format!("{}\n", u64::MAX),
        String::new(),
    ];
    for map in cases {
        let error = convert(&Opener::new(), &pax_1(&map)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated), "{map:?}: {error}");
        assert!(inspect(&Opener::new(), &pax_1(&map)).is_err());
    }
}

#[test]
fn map_of_many_entries_is_refused() {
    let count = 262_145;
    let map =
        format!("{count}\n{}", (0..count).map(|index| format!("{}\n1\n", index * 2)).collect::<String>());
    let records = [("major", "1"), ("minor", "0"), ("realsize", "1048576")];
    let records = records.map(|(key, value)| record(&format!("GNU.sparse.{key}"), value)).concat();
    let mut data = map.into_bytes();
    data.resize(data.len().next_multiple_of(512) + count, 0);
    let archive = ended(&[member("x", b'x', &records), member("disk.raw", b'0', &data)]);
    let error = Opener::new().inspect_source(&Memory::new(archive)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn damaged_map_is_read_alike_from_file_and_stream(
        which in 0_usize..4,
        damage in proptest::collection::vec((0_usize..3000, any::<u8>()), 1..3),
    ) {
        let mut archive = match which {
            0 => old_gnu(),
            1 => pax(0),
            2 => pax(1),
            _ => pax_1(&map()),
        };
        for (at, value) in damage {
            archive[at] = value;
            fix_checksum(&mut archive[..512]);
        }
        let mut opener = Opener::new();
        opener.limits.virtual_size = 16 << 20;
        // The comparison is in the helper.
        let _ = convert(&opener, &archive);
    }
}

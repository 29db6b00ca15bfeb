//! Recognition of constructed disks.

use diskimg_core::{ErrorKind, Memory, Severity};

use super::*;
use crate::findings;
use crate::head::HEAD;

/// Returns [`HEAD`] zeros with these bytes at these offsets.
fn head(pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    for (at, bytes) in pieces {
        head[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    head
}

/// Recognises the content without its size. Also checks that a truncated head does not panic.
fn of(pieces: &[(usize, &[u8])]) -> Option<Content> {
    let head = head(pieces);
    for len in (0..head.len()).step_by(509) {
        let _ = recognise_head(&head[..len], Some(len as u64));
        let _ = findings(&head[..len], 1 << 20);
    }
    recognise_head(&head, None)
}

/// Returns a volume descriptor of ISO 9660 with sizes in both byte orders.
fn primary(blocks: [u32; 2], block_size: [u16; 2]) -> Vec<u8> {
    let mut descriptor = vec![0; 2048];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[80..84].copy_from_slice(&blocks[0].to_le_bytes());
    descriptor[84..88].copy_from_slice(&blocks[1].to_be_bytes());
    descriptor[128..130].copy_from_slice(&block_size[0].to_le_bytes());
    descriptor[130..132].copy_from_slice(&block_size[1].to_be_bytes());
    descriptor
}

fn checks(head: &[u8], size: u64) -> Vec<(&'static str, Option<u64>)> {
    let findings = findings(head, size);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning));
    findings.iter().map(|finding| (finding.check, finding.offset)).collect()
}

/// Returns an MBR entry: boot flag, type, first sector and number of sectors.
fn entry(flag: u8, kind: u8, first: u32, sectors: u32) -> Vec<u8> {
    let mut entry = vec![flag, 0, 0, 0, kind, 0, 0, 0];
    entry.extend(first.to_le_bytes());
    entry.extend(sectors.to_le_bytes());
    entry
}

const SIGNATURE: (usize, &[u8]) = (510, &[0x55, 0xAA]);

fn gpt_header(size: u32, place: u64) -> Vec<u8> {
    let mut header = b"EFI PART\0\0\x01\0".to_vec();
    header.extend(size.to_le_bytes());
    header.extend([0; 8]);
    header.extend(place.to_le_bytes());
    header
}

#[test]
fn disc_is_recognised_by_its_first_descriptor() {
    let good = primary([300, 300], [2048, 2048]);
    assert_eq!(of(&[(32_768, &good)]), Some(Content::Iso9660));
    let partition = entry(0x80, 0x17, 0, 1200);
    let gpt = gpt_header(92, 1);
    let hybrid = of(&[(446, &partition), SIGNATURE, (512, &gpt), (32_768, &good)]);
    assert_eq!(hybrid, Some(Content::Iso9660), "a hybrid with partition tables is a disc");
    assert!(hybrid.unwrap().is_optical_disc());
    assert_eq!(of(&[(0, b"QFI\xfb"), (32_768, &good)]), Some(Content::Iso9660));
    // A boot descriptor may be first.
    assert_eq!(of(&[(32_769, b"CD001")]), Some(Content::Iso9660));
    assert_eq!(of(&[(32_768, b"CD001")]), None, "one byte too early");
}

#[test]
fn udf_disc_udf_bridge_and_udf_on_a_stick_are_distinguished() {
    let udf = [(32_769, &b"BEA01"[..]), (34_817, b"NSR02"), (36_865, b"TEA01")];
    assert_eq!(of(&udf), Some(Content::Udf));
    assert_eq!(of(&[(32_769, b"BEA01"), (34_817, b"NSR03")]), Some(Content::Udf));
    assert_eq!(of(&[(32_769, b"BEA01"), (36_865, b"NSR03")]), Some(Content::Udf), "sectors of 4096 bytes");
    assert_eq!(of(&[(32_769, b"BEA01"), (34_817, b"TEA01"), (36_865, b"NSR03")]), None, "after the end");
    assert_eq!(of(&[(32_769, b"BEA01")]), None);

    let bridge = [
        (32_769, &b"CD001"[..]),
        (34_817, b"CD001"),
        (36_865, b"BEA01"),
        (38_913, b"NSR02"),
        (40_961, b"TEA01"),
    ];
    assert_eq!(of(&bridge), Some(Content::UdfBridge));
    assert!(Content::UdfBridge.is_optical_disc() && Content::Udf.is_optical_disc());

    let partition = entry(0, 0x07, 64, 1000);
    let stick = of(&[(446, &partition), SIGNATURE, (32_769, b"BEA01"), (34_817, b"NSR03")]);
    assert_eq!(stick, Some(Content::FileSystem("udf")));
    assert!(!stick.unwrap().is_optical_disc());
}

#[test]
fn dump_of_2352_byte_sectors_is_a_disc_with_a_warning() {
    let sync = [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0];
    for (at, pieces) in [
        (37_632, vec![(37_633, &b"CD001"[..])]),
        (37_648, vec![(0, &sync[..]), (37_649, b"CD001")]),
        (37_656, vec![(0, &sync[..]), (37_657, b"CD001")]),
    ] {
        assert_eq!(of(&pieces), Some(Content::RawCdSectors));
        assert_eq!(checks(&head(&pieces), 1 << 20), [("cd_sectors", Some(at))]);
    }
    assert_eq!(of(&[(37_649, b"CD001")]), None, "without a sector header");
}

#[test]
fn disc_with_contradictory_sizes_has_a_warning() {
    let size = 300 * 2048;
    let with = |descriptor: &[u8]| {
        let head = head(&[(32_768, descriptor)]);
        assert_eq!(recognise_head(&head, Some(size)), Some(Content::Iso9660));
        checks(&head, size)
    };
    assert_eq!(with(&primary([300, 300], [2048, 2048])), []);
    let at = Some(32_768);
    assert_eq!(with(&primary([300, 300], [0, 0])), [("iso9660_block_size", at)]);
    assert_eq!(with(&primary([300, 299], [2048, 2048])), [("iso9660_sizes", at)]);
    assert_eq!(with(&primary([300, 300], [2048, 512])), [("iso9660_sizes", at)]);
    let huge = primary([u32::MAX; 2], [u16::MAX; 2]);
    assert_eq!(with(&huge), [("iso9660_block_size", at), ("truncated", at)]);
}

#[test]
fn disc_shorter_than_its_volume_is_truncated() {
    let descriptor = primary([300, 300], [2048, 2048]);
    // After a boot descriptor, because the primary descriptor is not always the first.
    let head = head(&[(32_769, b"CD001"), (34_816, &descriptor)]);
    for (size, expected) in
        [(300 * 2048 - 1, vec![("truncated", Some(34_816))]), (300 * 2048, vec![]), (400 * 2048, vec![])]
    {
        assert_eq!(checks(&head, size), expected, "{size}");
    }
    let message = &findings(&head, 1000)[0].message;
    assert_eq!(message, "ISO 9660 volume has 614400 bytes and the disc only 1000: it is truncated");
}

#[test]
fn partition_table_needs_more_than_a_signature() {
    let gpt = gpt_header(92, 1);
    for sector in [512, 4096] {
        assert_eq!(of(&[(sector, &gpt)]), Some(Content::Gpt));
    }
    let protective = entry(0, 0xEE, 1, u32::MAX);
    assert_eq!(of(&[(446, &protective), SIGNATURE, (512, &gpt)]), Some(Content::Gpt));
    for (size, place) in [(91, 1), (513, 1), (92, 2), (92, 0)] {
        assert_eq!(of(&[(512, &gpt_header(size, place))]), None, "{size} {place}");
    }
    let linux = entry(0x80, 0x83, 2048, 100_000);
    for at in [446, 462, 478, 494] {
        assert_eq!(of(&[(at, &linux), SIGNATURE]), Some(Content::Mbr));
    }
    assert_eq!(of(&[(446, &linux)]), None, "no signature");
    assert_eq!(of(&[SIGNATURE]), None, "no partition");
    assert_eq!(of(&[(446, &entry(0x80, 0, 2048, 100)), SIGNATURE]), None, "no type");
    assert_eq!(of(&[(446, &entry(0x80, 0x83, 2048, 0)), SIGNATURE]), None, "no length");
    let strange = entry(0x81, 0x83, 2048, 100);
    assert_eq!(of(&[(446, &linux), (462, &strange), SIGNATURE]), None, "an invalid boot flag");
    let disk = head(&[(446, &linux), SIGNATURE]);
    assert_eq!(recognise_head(&disk, Some(2048 * 512)), None, "starts past the end of the disk");
    assert_eq!(recognise_head(&disk, Some(2048 * 512 + 1)), Some(Content::Mbr), "the disk may be truncated");
}

#[test]
fn file_systems_are_recognised_by_their_superblocks() {
    let fat = |sectors: u16| {
        let mut boot = vec![0xEB, 0x3C, 0x90];
        boot.extend(b"mkfs.fat");
        boot.extend([0, 2, 4, 1, 0, 2, 0, 2]);
        boot.extend(sectors.to_le_bytes());
        boot.push(0xF8);
        boot
    };
    let ext = |compat: u32, incompat: u32, ro_compat: u32| {
        let mut superblock = vec![0; 104];
        superblock[0] = 16;
        superblock[56..58].copy_from_slice(&[0x53, 0xEF]);
        superblock[76] = 1;
        superblock[92..96].copy_from_slice(&compat.to_le_bytes());
        superblock[96..100].copy_from_slice(&incompat.to_le_bytes());
        superblock[100..104].copy_from_slice(&ro_compat.to_le_bytes());
        superblock
    };
    let table: &[(&str, usize, &[u8])] = &[
        ("ntfs", 0, b"\xEBR\x90NTFS    "),
        ("exfat", 0, b"\xEBv\x90EXFAT   "),
        ("BitLocker", 0, b"\xEBX\x90-FVE-FS-"),
        ("vfat", 0, &fat(2880)),
        ("xfs", 0, b"XFSB\0\0\x10\0"),
        ("ext2", 1024, &ext(0, 2, 3)),
        ("ext3", 1024, &ext(4, 2, 3)),
        ("ext4", 1024, &ext(4, 0x40, 3)),
        ("ext4", 1024, &ext(4, 2, 0x400)),
        ("jbd", 1024, &ext(0, 8, 0)),
        ("btrfs", 65_600, b"_BHRfS_M"),
        ("reiserfs", 65_588, b"ReIsEr2Fs"),
        ("squashfs", 0, b"hsqs"),
        ("erofs", 1024, &[0xE2, 0xE1, 0xF5, 0xE0]),
        ("f2fs", 1024, &[0x10, 0x20, 0xF5, 0xF2]),
        ("linux_raid_member", 4096, &[0xFC, 0x4E, 0x2B, 0xA9, 1, 0, 0, 0]),
        ("swap", 4086, b"SWAPSPACE2"),
        ("swap", 65_526, b"SWAPSPACE2"),
        ("LVM2_member", 512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0LVM2 001"),
    ];
    for (name, at, bytes) in table {
        assert_eq!(of(&[(*at, bytes)]), Some(Content::FileSystem(name)), "{name}");
    }
    assert_eq!(of(&[(0, &fat(1))]), None, "no room for a file");
    assert_eq!(of(&[(0, b"XFSB\0\0\x10\x01")]), None, "an invalid block size");
    assert_eq!(of(&[(0, b"LABELONE")]), None);
}

#[test]
fn boot_sector_precedes_mbr_and_mbr_precedes_old_superblocks() {
    let linux = entry(0x80, 0x83, 2048, 100_000);
    let ntfs = (0, &b"\xEBR\x90NTFS    "[..]);
    assert_eq!(of(&[ntfs, (446, &linux), SIGNATURE]), Some(Content::FileSystem("ntfs")));
    let leftover = (4086, &b"SWAPSPACE2"[..]);
    assert_eq!(of(&[(446, &linux), SIGNATURE, leftover]), Some(Content::Mbr));
}

#[test]
fn unknown_content_is_none_and_zeros_are_zeros() {
    assert_eq!(of(&[]), Some(Content::Zeros));
    assert_eq!(recognise_head(&[], Some(0)), None);
    assert_eq!(recognise_head(&[0], Some(1)), Some(Content::Zeros));
    assert_eq!(of(&[(HEAD - 1, &[1])]), None);
    assert_eq!(recognise_head(&diskimg_core::conformance::painted(1, HEAD), None), None);
}

#[test]
fn source_of_any_size_is_read_within_its_bounds() {
    for size in [0, 1, 511, 513, HEAD - 1, HEAD, HEAD + 1] {
        let disk = Memory::new(vec![0; size]);
        let expected = (size > 0).then_some(Content::Zeros);
        assert_eq!(recognise(&disk).unwrap(), expected, "{size}");
    }
    /// A disk that cannot be read.
    struct Broken;
    impl BlockSource for Broken {
        fn size(&self) -> u64 {
            1 << 20
        }
        fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<()> {
            Err(diskimg_core::Error::new(ErrorKind::Io))
        }
    }
    assert_eq!(recognise(&Broken).unwrap_err().kind(), ErrorKind::Io);
}

/// Returns a GPT entry in sectors of 512 bytes.
fn gpt_entry(kind: [u8; 16], first: u64, last: u64, name: &str) -> Vec<u8> {
    let mut entry = kind.to_vec();
    entry.extend([1; 16]);
    entry.extend(first.to_le_bytes());
    entry.extend(last.to_le_bytes());
    entry.extend([0; 8]);
    entry.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    entry.resize(128, 0);
    entry
}

#[test]
fn iso_on_a_disk_that_was_partitioned_later_is_a_disk() {
    const VOLUME: u64 = 8 << 20;
    let (end, mib) = (u32::try_from(VOLUME / 512).unwrap(), 2048);
    let volume = primary([4096; 2], [2048; 2]);
    let disc = Some(Content::Iso9660);
    let by_mbr = |entries: &[Vec<u8>], size: Option<u64>| {
        let table = entries.concat();
        recognise_head(&head(&[(32_768, &volume), (446, &table), SIGNATURE]), size)
    };
    let medium = VOLUME + (64 << 20);
    let large = Some(medium);
    let whole = entry(0x80, 0x17, 0, end);
    for size in [large, None] {
        for kind in [0x83, 0x07, 0x0C, 0x8E] {
            let later = entry(0, kind, end + mib, 8 * mib);
            assert_eq!(by_mbr(&[whole.clone(), later.clone()], size), Some(Content::Mbr));
            assert_eq!(by_mbr(&[later], size), Some(Content::Mbr));
        }
        assert_eq!(by_mbr(&[whole.clone(), entry(0, 0x83, end, 8 * mib)], size), Some(Content::Mbr));
        // An EFI System partition, a protective entry, padding, an empty entry, one in the volume.
        for other in [
            entry(0, 0xEF, end, 8 * mib),
            entry(0, 0xEE, end, 8 * mib),
            entry(0, 0x83, end, mib),
            entry(0, 0x83, end, 0),
            entry(0, 0, end, 8 * mib),
            entry(0, 0x83, end - 1, 8 * mib),
        ] {
            assert_eq!(by_mbr(&[whole.clone(), other], size), disc);
        }
    }
    // Little or nothing of the medium is after the volume.
    for beyond in [0, 512, 1 << 20] {
        assert_eq!(by_mbr(&[entry(0, 0x83, end, 8 * mib)], Some(VOLUME + beyond)), disc);
    }
    let beyond = Some(VOLUME + (1 << 20) + 512);
    assert_eq!(by_mbr(&[entry(0, 0x83, end, 8 * mib)], beyond), Some(Content::Mbr));
    // The partition is outside of the medium.
    assert_eq!(by_mbr(&[entry(0, 0x83, end + 100 * mib, 8 * mib)], large), disc);

    let header = {
        let mut header = gpt_header(92, 1);
        header.resize(72, 0);
        header.extend(2_u64.to_le_bytes());
        header.extend(128_u32.to_le_bytes());
        header.extend(128_u32.to_le_bytes());
        header
    };
    let efi = [0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B];
    let first = u64::from(end);
    for (kind, name, is_disc) in
        [([7; 16], "data", false), (efi, "EFI", true), ([7; 16], "Gap1", true), ([0; 16], "", true)]
    {
        let entries =
            [gpt_entry([7; 16], 64, first - 1, "ISO9660"), gpt_entry(kind, first, first + 9999, name)];
        let bytes = head(&[(32_768, &volume), (512, &header), (1024, &entries.concat())]);
        let expected = if is_disc { Content::Iso9660 } else { Content::Gpt };
        assert_eq!(recognise_head(&bytes, large), Some(expected), "{name}");
        let found = checks(&bytes, medium);
        assert_eq!(found.iter().any(|(check, _)| *check == "partitioned_iso9660"), !is_disc, "{name}");
    }
}

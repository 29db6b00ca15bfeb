//! The choice of the disk in an archive.

use diskimg_core::{ErrorKind, Severity};

use super::super::catalog::{Catalog, DiskMatch};
use super::super::member_kind::{DiskKind, MemberKind};
use super::super::tar::TarMember;
use super::super::tar_header::is_tar;
use super::{
    convert, findings, fix_checksum, gz, header, inspect, mbr_disk, member, naming, qcow2, record, tar,
};
use crate::Opener;

const LEN: usize = 128 << 10;

/// The format of an error and its message.
fn refusal(opener: &Opener, archive: &[u8]) -> (ErrorKind, String) {
    let (converted, described) =
        (convert(opener, archive).unwrap_err(), inspect(opener, archive).unwrap_err());
    assert_eq!(converted.to_string(), described.to_string());
    (converted.kind(), converted.to_string())
}

#[test]
fn choice_selects_the_only_disk_or_the_member_with_the_requested_name() {
    let matches = |wanted: Option<&str>, names: &[&str]| {
        let mut catalog = Catalog::new(wanted);
        let mut add = |name: &&str| {
            let name = (*name).to_owned();
            catalog.begin(&TarMember { name: name.clone(), range: 0..512, sparse: None, ignored_key: None });
            catalog.add(&name, MemberKind::Disk(DiskKind::default()))
        };
        let found: Vec<DiskMatch> = names.iter().map(&mut add).collect();
        (found, catalog.conclude().map(|conclusion| conclusion.member.name))
    };
    assert!(matches!(matches(None, &["a"]), (found, Ok(_)) if found == [DiskMatch::Selected]));
    let (found, name) = matches(Some("b"), &["a", "b", "c"]);
    assert_eq!(found, [DiskMatch::Other, DiskMatch::Selected, DiskMatch::Other]);
    assert_eq!(name.unwrap(), "b");
    let (all, error) = matches(None, &["a\n", "b", "c"]);
    assert_eq!(all, [DiskMatch::Selected, DiskMatch::Ambiguous, DiskMatch::Ambiguous]);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "tar: disk is a\\n, b, c, expected one disk, or the name of one");
    let (_, error) = matches(Some("x"), &["a", "b"]);
    assert_eq!(error.unwrap_err().to_string(), "tar: disk is a, b, expected 'x'");
    for wanted in [None, Some("x")] {
        assert_eq!(matches(wanted, &[]).1.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn error_of_an_ambiguous_choice_is_short_for_many_disks_with_long_names() {
    let mut catalog = Catalog::new(None);
    for index in 0..4000 {
        catalog.add(&format!("{index}{}", "\u{1}".repeat(4000)), MemberKind::Disk(DiskKind::default()));
    }
    let text = catalog.conclude().err().unwrap().to_string();
    assert!(text.len() < 5000 && text.contains(" and 39"), "{text}");
}

#[test]
fn tar_without_a_magic_is_recognised_by_its_checksum() {
    let mut v7 = header("disk.raw", 0, 0);
    v7[257..].fill(0);
    assert!(!is_tar(&v7), "the checksum is that of another header");
    fix_checksum(&mut v7);
    assert!(is_tar(&v7) && !is_tar(&v7[..511]));
    // A checksum of signed bytes.
    let mut signed = header("disk-\u{e4}.raw", 0, 0);
    signed[257..].fill(0);
    fix_checksum(&mut signed);
    let unsigned = u32::from_str_radix(std::str::from_utf8(&signed[148..154]).unwrap(), 8).unwrap();
    signed[148..155].copy_from_slice(format!("{:06o}\0", unsigned - 512).as_bytes());
    assert!(is_tar(&signed));
    assert_eq!(crate::looks_like_image(&diskimg_core::Memory::new(signed)).unwrap(), Some("tar"));
    for not_tar in [&[0; 512][..], &qcow2(512), &mbr_disk(512), b"x"] {
        assert!(!is_tar(not_tar));
    }
}

#[test]
fn disk_is_found_whatever_comes_before_it() {
    let disk = mbr_disk(LEN);
    let pax =
        [member("././@PaxHeader", b'x', &record("mtime", "1.5")), member("disk.raw", b'0', &disk)].concat();
    let long = [member("././@LongLink", b'L', b"long/disk.raw\0"), member("short", b'0', &disk)].concat();
    let global =
        [member("pax_global_header", b'g', &record("comment", "x")), member("d", b'0', &disk)].concat();
    let directory = [member("dir/", b'5', b""), member("dir/disk.raw", b'0', &disk)].concat();
    let descriptor_last = [member("disk.raw", b'0', &disk), member("vm.ovf", b'0', b"<Envelope/>")].concat();
    let vagrant = [member("./metadata.json", b'0', b"{}"), member("./box.img", b'0', &disk)].concat();
    for archive in [pax, long, global, directory, descriptor_last, vagrant] {
        let archive = [archive, vec![0; 1024]].concat();
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        assert!(convert(&Opener::new(), &gz(&archive)).unwrap() == disk);
        assert_eq!(inspect(&Opener::new(), &archive).unwrap().virtual_size, LEN as u64);
    }
}

#[test]
fn compressed_disk_in_a_compressed_archive_is_read() {
    let disk = mbr_disk(LEN);
    let archive = tar(&[("notes.gz", &gz(b"no disk")), ("disk.raw.gz", &gz(&disk))]);
    for archive in [archive.clone(), gz(&archive)] {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        assert_eq!(inspect(&Opener::new(), &archive).unwrap().virtual_size, LEN as u64);
    }
    let (kind, text) = refusal(&Opener::new(), &gz(&gz(&archive)));
    assert_eq!(kind, ErrorKind::Limit, "{text}");
    let (kind, text) = refusal(&Opener::new(), &tar(&[("disk.raw.gz.gz", &gz(&gz(&disk)))]));
    assert_eq!(kind, ErrorKind::Limit, "{text}");
    let truncated = &gz(&disk)[..gz(&disk).len() - 9];
    assert_eq!(refusal(&naming("disk.gz"), &tar(&[("disk.gz", truncated)])).0, ErrorKind::Truncated);
}

#[test]
fn disk_of_any_kind_makes_the_choice_ambiguous() {
    let (disk, mut luks, mut vhd) = (mbr_disk(LEN), b"LUKS\xba\xbe\0\x01".to_vec(), vec![7; LEN]);
    luks.resize(LEN, 0);
    let footer = vhd.len() - 512;
    vhd[footer..].fill(0);
    vhd[footer..footer + 8].copy_from_slice(b"conectix");
    let sum: u32 = vhd[footer..].iter().map(|byte| u32::from(*byte)).sum();
    vhd[footer + 64..footer + 68].copy_from_slice(&(!sum).to_be_bytes());
    let blank = vec![0; LEN];
    // In a stream, the error of a disk that cannot be read precedes that of the choice.
    let readable = [&disk, &vhd, &gz(&disk), &blank];
    for other in [&qcow2(LEN), &luks, &gz(&gz(&disk))].into_iter().chain(readable) {
        for order in [[("a", &disk), ("b", other)], [("b", other), ("a", &disk)]] {
            let archive = tar(&[(order[0].0, order[0].1), (order[1].0, order[1].1)]);
            if order[0].0 == "a" || readable.contains(&other) {
                let (kind, text) = refusal(&Opener::new(), &archive);
                assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
                assert!(text.contains(&format!("{}, {}", order[0].0, order[1].0)), "{text}");
            }
            assert!(convert(&naming("a"), &archive).unwrap() == disk);
            let info = inspect(&naming("a"), &archive).unwrap();
            assert_eq!(
                findings(&info)[0],
                ("other_disks", "the archive also holds other disks: b".to_owned())
            );
            assert_eq!(info.findings[0].severity, Severity::Note);
        }
    }
    let (kind, text) = refusal(&Opener::new(), &tar(&[("disk.vhd", &vhd)]));
    assert_eq!(
        (kind, text.as_str()),
        (ErrorKind::Unsupported, "vhd: the format is recognised but not supported")
    );
}

#[test]
fn two_members_of_one_name_are_refused() {
    let (old, new) = (mbr_disk(LEN), mbr_disk(2 * LEN));
    let archive = tar(&[("disk.raw", &old), ("./disk.raw", &new)]);
    for opener in [naming("disk.raw"), Opener::new()] {
        let (kind, text) = refusal(&opener, &archive);
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert!(text.contains("2 members named"), "{text}");
        assert!(inspect(&opener, &archive).unwrap_err().remedy().is_none(), "no name selects one");
    }
}

#[test]
fn archive_without_a_disk_is_an_unsupported_tar() {
    let zip = [b"PK\x03\x04".as_slice(), &[0; 600]].concat();
    let archive =
        tar(&[("README", b"text"), ("notes.gz", &gz(b"text")), ("docs.zip", &zip), ("zeros", &[0; 4096])]);
    let (kind, text) = refusal(&Opener::new(), &archive);
    assert_eq!(kind, ErrorKind::Unsupported);
    assert_eq!(text, "tar: it holds no disk image; not searched: docs.zip (zip)");
    let many = [header("x", 0, b'0').repeat(4097), vec![0; 1024]].concat();
    assert_eq!(refusal(&Opener::new(), &many).0, ErrorKind::Unsupported);
}

#[test]
fn requested_member_is_read_as_raw_only_on_request() {
    let data = vec![0x5A; 100_000];
    let archive = tar(&[("README", b"text"), ("data", &data)]);
    let (kind, text) = refusal(&naming("data"), &archive);
    assert_eq!(kind, ErrorKind::UnknownFormat, "{text}");
    let raw = Some(diskimg_raw::DRIVER.format);
    for opener in [Opener { allow_raw: true, ..naming("data") }, Opener { format: raw, ..naming("data") }] {
        assert!(convert(&opener, &archive).unwrap() == data);
        assert!(convert(&opener, &gz(&archive)).unwrap() == data);
        assert!(convert(&opener, &tar(&[("data", &gz(&data))])).unwrap() == data);
    }
    // Never the archive itself.
    let opener = Opener { format: raw, ..naming("other") };
    assert_eq!(refusal(&opener, &archive).0, ErrorKind::Unsupported);
    let (kind, text) = refusal(&opener, &data);
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert_eq!(text, "member is 'other', expected none, because the file is no archive");
}

#[test]
fn link_is_no_disk_and_is_refused_by_name() {
    let disk = mbr_disk(LEN);
    let parts = [member("latest.raw", b'2', b""), member("disk.raw", b'0', &disk), member("copy", b'1', b"")];
    let archive = [parts.concat(), vec![0; 1024]].concat();
    assert!(convert(&Opener::new(), &archive).unwrap() == disk);
    let listed = findings(&inspect(&Opener::new(), &archive).unwrap());
    assert_eq!(listed[0].0, "unread_members");
    assert!(listed[0].1.ends_with("latest.raw, copy"), "{listed:?}");
    let (kind, text) = refusal(&naming("copy"), &archive);
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("storage of 'copy' at byte 132096 is type '1', a hard link"), "{text}");
}

#[test]
fn member_that_cannot_be_read_matters_only_if_it_may_be_the_disk() {
    let disk = mbr_disk(LEN);
    for kind in [b'M', b'S', b'Z'] {
        let parts = [member("other", kind, b"bytes"), member("disk.raw", b'0', &disk)];
        let archive = [parts.concat(), vec![0; 1024]].concat();
        assert_eq!(refusal(&Opener::new(), &archive).0, ErrorKind::Unsupported);
        assert_eq!(refusal(&naming("other"), &archive).0, ErrorKind::Unsupported);
        assert!(convert(&naming("disk.raw"), &archive).unwrap() == disk);
    }
}

#[test]
fn archive_that_is_valid_as_another_format_is_ambiguous() {
    let disk = mbr_disk(LEN);
    let mut archive = tar(&[("disk.raw", &disk)]);
    // A partition table in the unused end of the header.
    archive[446..512].copy_from_slice(&disk[446..512]);
    fix_checksum(&mut archive[..512]);
    let (kind, text) = refusal(&Opener::new(), &archive);
    assert_eq!(kind, ErrorKind::Ambiguous, "{text}");
    assert!(text.contains("tar and as mbr"), "{text}");
    assert!(
        convert(&Opener { format: Some(diskimg_raw::DRIVER.format), ..Opener::new() }, &archive).unwrap()
            == archive
    );
}

#[test]
fn bytes_after_the_archive_are_not_part_of_it() {
    let disk = mbr_disk(LEN);
    let archive = [tar(&[("disk.raw", &disk)]), tar(&[("second.raw", &disk)])].concat();
    assert!(convert(&Opener::new(), &archive).unwrap() == disk);
}

#[test]
fn member_that_may_be_a_disk_and_is_not_recognised_is_a_finding() {
    let file_system = vec![0x5A; (1 << 20) + 512];
    let text = gz(b"a text");
    let disk = mbr_disk(LEN);
    let files: [(&str, &[u8]); 7] = [
        ("README", b"text"),
        ("README.gz", &text),
        ("rootfs.ext4", &file_system),
        ("rootfs.ext4.gz", &gz(&file_system)),
        ("small.IMG", b"no image"),
        ("empty.raw", b""),
        ("disk.raw", &disk),
    ];
    let expected = format!(
        "the archive also holds members that are not recognised as disks: 'README.gz' ({} bytes), 'rootfs.ext4' \
         (1049088 bytes), 'rootfs.ext4.gz' ({} bytes), 'small.IMG' (8 bytes)",
        text.len(),
        gz(&file_system).len(),
    );
    let info = inspect(&Opener::new(), &tar(&files)).unwrap();
    let found: Vec<_> = findings(&info).into_iter().filter(|found| found.0.starts_with("unrecog")).collect();
    assert_eq!(found, [("unrecognised_members", expected)]);
    let whole = [&files[..1], &files[6..]].concat();
    let info = inspect(&Opener::new(), &tar(&whole)).unwrap();
    assert!(findings(&info).iter().all(|found| !found.0.starts_with("unrecog")));
}

#[test]
fn chosen_member_is_not_listed_as_unrecognised() {
    let data = vec![0x5A; (1 << 20) + 512];
    let opener = Opener { allow_raw: true, ..naming("a.img") };
    let info = inspect(&opener, &tar(&[("a.img", &data), ("b.img", &data)])).unwrap();
    let found: Vec<_> = findings(&info).into_iter().filter(|found| found.0.starts_with("unrecog")).collect();
    let message = "the archive also holds members that are not recognised as disks: 'b.img' (1049088 bytes)";
    assert_eq!(found, [("unrecognised_members", message.to_owned())]);
}

#[test]
fn unrecognised_disk_of_the_descriptor_is_a_warning() {
    let ovf = b"<Envelope><References><File id='a' href='a.vmdk'/><File id='b' href='b.vmdk'/></References><DiskSection>\
                <Disk diskId='1' fileRef='a'/><Disk diskId='2' fileRef='b'/></DiskSection></Envelope>";
    let disk = mbr_disk(LEN);
    let files: [(&str, &[u8]); 3] = [("vm.ovf", ovf), ("a.vmdk", &disk), ("b.vmdk", b"no disk")];
    for order in [[0, 1, 2], [1, 2, 0]] {
        let info = inspect(&naming("a.vmdk"), &tar(&order.map(|index| files[index]))).unwrap();
        let found = info.findings.iter().find(|found| found.check == "unrecognised_disks").unwrap();
        assert_eq!(found.severity, Severity::Warning);
        assert_eq!(
            found.message,
            "disks of the OVF descriptor are not recognised as disks: 'b.vmdk' (7 bytes)"
        );
    }
}

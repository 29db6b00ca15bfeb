//! The OVF descriptor of an archive.

use diskimg_core::{ErrorKind, Severity};

use super::super::ovf::{Ovf, OvfCapacity};
use super::{convert, findings, gz, inspect, mbr_disk, naming, tar};
use crate::Opener;

const LEN: usize = 128 << 10;

/// A descriptor with these attributes of its file and its disk.
fn descriptor(file: &str, disk: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">\n<References><File ovf:id=\"file1\" {file}/>\
         </References>\n<DiskSection><Info>Disks</Info><Disk ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\" {disk}/>\
         </DiskSection></Envelope>"
    )
    .into_bytes()
}

/// An archive with a descriptor before and after the disk.
fn archives(descriptor: &[u8], disk: &(&str, &[u8])) -> [Vec<u8>; 2] {
    [tar(&[("vm.ovf", descriptor), *disk]), tar(&[*disk, ("vm.ovf", descriptor)])]
}

fn warnings(archive: &[u8]) -> Vec<(&'static str, String)> {
    let mut info = inspect(&Opener::new(), archive).unwrap();
    info.findings.retain(|finding| finding.severity >= Severity::Warning);
    findings(&info)
}

#[test]
fn descriptor_that_agrees_with_the_disk_has_no_finding() {
    let disk = mbr_disk(LEN);
    let file = format!("ovf:href=\"disk.raw\" ovf:size=\"{LEN}\" ovf:compression=\"identity\"");
    let capacity = "ovf:capacity=\"128\" ovf:capacityAllocationUnits=\"byte * 2^10\" ovf:parentRef=\"\"";
    for archive in archives(&descriptor(&file, capacity), &("disk.raw", &disk)) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        assert_eq!(findings(&inspect(&Opener::new(), &archive).unwrap()), []);
    }
}

#[test]
fn size_and_capacity_that_differ_are_warnings() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\" ovf:size=\"100\"", "ovf:capacity=\"1048576\"");
    for archive in archives(&text, &("disk.raw", &disk)) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        let found = warnings(&archive);
        let checks: Vec<&str> = found.iter().map(|(check, _)| *check).collect();
        assert_eq!(checks, ["ovf_size", "ovf_capacity"], "{found:?}");
        assert!(found[1].1.contains("1048576") && found[1].1.contains("131072"), "{found:?}");
        let strict = Opener { strict: true, ..Opener::new() };
        assert_eq!(convert(&strict, &archive).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn capacity_is_compared_up_to_its_unit() {
    let parsed =
        |attributes: &str| Ovf::parse(&descriptor("ovf:href=\"d\"", attributes)).unwrap().disks[0].capacity;
    let capacity = |bytes, unit| Some(OvfCapacity { bytes, unit });
    assert_eq!(parsed("ovf:capacity=\"7\""), capacity(7, 1));
    assert_eq!(parsed("ovf:capacity=\"7\" ovf:capacityAllocationUnits=\"byte\""), capacity(7, 1));
    assert_eq!(
        parsed("ovf:capacity=\"7\" ovf:capacityAllocationUnits=\"byte * 2^30\""),
        capacity(7 << 30, 1 << 30)
    );
    assert_eq!(
        parsed("ovf:capacity=\"7\" ovf:capacityAllocationUnits=\"byte*1024\""),
        capacity(7 << 10, 1 << 10)
    );
    for unknown in ["x", "byte * 2^99", "byte * 2^x", "bits"] {
        assert_eq!(parsed(&format!("ovf:capacity=\"7\" ovf:capacityAllocationUnits=\"{unknown}\"")), None);
    }
    assert_eq!(parsed("ovf:capacity=\"${size}\""), None);
}

#[test]
fn compression_other_than_gzip_is_refused_by_name() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\" ovf:compression=\"bzip2\"", "");
    for archive in archives(&text, &("disk.raw", &disk)) {
        let error = convert(&Opener::new(), &archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let expected = "ova: compression of 'disk.raw' is 'bzip2', expected gzip or identity";
        assert_eq!(error.to_string(), expected);
        assert_eq!(warnings(&archive), [("ovf_disk", expected.to_owned())]);
    }
    let text = descriptor("ovf:href=\"disk.raw\" ovf:compression=\"gzip\" ovf:size=\"1\"", "");
    for archive in archives(&text, &("disk.raw", &gz(&disk))) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        assert_eq!(warnings(&archive), []);
    }
    for archive in archives(&text, &("disk.raw", &disk)) {
        assert_eq!(warnings(&archive)[0].0, "ovf_compression");
    }
}

#[test]
fn difference_to_another_disk_is_refused_and_described() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\"", "ovf:parentRef=\"vmdisk0\"");
    for archive in archives(&text, &("disk.raw", &disk)) {
        let error = convert(&Opener::new(), &archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "ova: parentRef of disk 'vmdisk1' is 'vmdisk0', expected a disk without a parent"
        );
        let info = inspect(&Opener::new(), &archive).unwrap();
        assert_eq!(info.findings[0].severity, Severity::Unsafe);
    }
}

#[test]
fn file_in_chunks_is_refused_by_its_name() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\" ovf:chunkSize=\"65536\"", "");
    let chunks = [("disk.raw.000000000", &disk[..65_536]), ("disk.raw.000000001", &disk[65_536..])];
    for archive in
        [tar(&[("vm.ovf", &text), chunks[0], chunks[1]]), tar(&[chunks[0], chunks[1], ("vm.ovf", &text)])]
    {
        for opener in [Opener::new(), naming("disk.raw"), naming("disk.raw.000000000")] {
            let error = convert(&opener, &archive).unwrap_err();
            assert_eq!(
                error.to_string(),
                "ova: storage of 'disk.raw' is chunks of 65536 bytes, expected one file"
            );
            assert!(inspect(&opener, &archive).is_err());
        }
    }
    // The file was not split after all.
    for archive in archives(&text, &("disk.raw", &disk)) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
    }
}

#[test]
fn disk_that_is_not_in_the_archive_is_refused_by_name() {
    let text = descriptor("ovf:href=\"http://example.org/disk.vmdk\"", "");
    let error = convert(&Opener::new(), &tar(&[("vm.ovf", &text), ("readme", b"x")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("'http://example.org/disk.vmdk', which is not in the archive"),
        "{error}"
    );
    let disk = mbr_disk(LEN);
    for archive in archives(&text, &("other.raw", &disk)) {
        let error = convert(&Opener::new(), &archive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("other.raw, http://example.org/disk.vmdk"), "{error}");
        assert!(convert(&naming("other.raw"), &archive).unwrap() == disk);
    }
}

#[test]
fn disk_without_a_file_is_noted() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\"", "/><Disk ovf:diskId=\"vmdisk2\" ovf:capacity=\"1\"");
    for archive in archives(&text, &("disk.raw", &disk)) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        let found = findings(&inspect(&Opener::new(), &archive).unwrap());
        let message = "the OVF descriptor also has 1 disks without a file, which are empty";
        assert_eq!(found, [("other_disks", message.to_owned())]);
    }
}

#[test]
fn encoded_name_and_leading_directory_are_the_same_member() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"my%20disk.raw\"", "");
    for archive in archives(&text, &("./my disk.raw", &disk)) {
        assert!(convert(&Opener::new(), &archive).unwrap() == disk);
        assert_eq!(findings(&inspect(&Opener::new(), &archive).unwrap()), []);
    }
}

#[test]
fn unrecognised_disk_of_the_descriptor_counts_as_a_disk() {
    let (data, disk) = (vec![0x5A; LEN], mbr_disk(LEN));
    let text = descriptor("ovf:href=\"data\"", "");
    let archive = tar(&[("vm.ovf", &text), ("data", &data)]);
    assert_eq!(convert(&Opener::new(), &archive).unwrap_err().kind(), ErrorKind::UnknownFormat);
    assert!(convert(&Opener { allow_raw: true, ..Opener::new() }, &archive).unwrap() == data);
    let archive = tar(&[("vm.ovf", &text), ("disk.raw", &disk), ("data", &data)]);
    let error = convert(&Opener::new(), &archive).unwrap_err();
    assert!(error.to_string().contains("disk.raw, data"), "{error}");
}

#[test]
fn optical_disc_outside_the_disk_section_is_no_second_disk() {
    let disk = mbr_disk(LEN);
    let mut disc = vec![0; 100_000];
    disc[32_769..32_774].copy_from_slice(b"CD001");
    let text = descriptor("ovf:href=\"disk.raw\"/><File ovf:id=\"file2\" ovf:href=\"tools.iso\"", "");
    let archive = tar(&[("vm.ovf", &text), ("tools.iso", &disc), ("disk.raw", &disk)]);
    assert!(convert(&Opener::new(), &archive).unwrap() == disk);
    let found = findings(&inspect(&Opener::new(), &archive).unwrap());
    assert_eq!(found, [("other_discs", "the archive also holds optical discs: tools.iso".to_owned())]);
    // One that the descriptor does not list may be the disk.
    let archive = tar(&[("vm.ovf", &text), ("other.iso", &disc), ("disk.raw", &disk)]);
    assert_eq!(convert(&Opener::new(), &archive).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn descriptor_that_cannot_be_read_is_a_warning() {
    let disk = mbr_disk(LEN);
    let long = vec![b' '; (1 << 20) + 1];
    let entity = b"<!DOCTYPE x [<!ENTITY a \"b\">]><Envelope>&a;</Envelope>";
    for text in [&b"<Envelope>"[..], b"", b"\xff\xfe<", entity, &long] {
        for archive in archives(text, &("disk.raw", &disk)) {
            assert!(convert(&Opener::new(), &archive).unwrap() == disk);
            let found = warnings(&archive);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].1.starts_with("the OVF descriptor is not read: 'vm.ovf': "), "{found:?}");
        }
    }
}

#[test]
fn descriptor_of_version_0_9_is_read() {
    let text = b"<ovf:Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1/\"><References>\
        <File ovf:href=\"d\" ovf:id=\"1\" ovf:size=\"5\"/></References><Section xsi:type=\"ovf:DiskSection_Type\" \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Disk ovf:diskId=\"2\" ovf:fileRef=\"1\" \
        ovf:parentRef=\"\"/></Section></ovf:Envelope>";
    let ovf = Ovf::parse(text).unwrap();
    assert_eq!((ovf.files.len(), ovf.disks.len()), (1, 1));
    assert_eq!(ovf.file_of(&ovf.disks[0]).unwrap().size, Some(5));
    assert_eq!(ovf.disks[0].parent_ref, None);
}

#[test]
fn names_in_a_descriptor_are_relative_to_its_directory() {
    let (disk, opaque) = (mbr_disk(LEN), vec![0x5A; LEN]);
    for (directory, href, name) in [
        ("vm/", "disk.raw", "vm/disk.raw"),
        ("./vm/", "disk.raw", "./vm/disk.raw"),
        ("./vm/", "./disk.raw", "vm/disk.raw"),
        ("a/b/", "disks/my%20disk", "a/b/disks/my disk"),
        ("a/b/", "../disk.raw", "a/disk.raw"),
        ("./", "disk.raw", "disk.raw"),
        // Of a program that counts from the beginning of the archive.
        ("vm/", "vm/disk.raw", "vm/disk.raw"),
    ] {
        let text = descriptor(&format!("ovf:href=\"{href}\" ovf:size=\"{LEN}\""), "");
        let ovf = format!("{directory}vm.ovf");
        for archive in [tar(&[(&ovf, &text), (name, &disk)]), tar(&[(name, &disk), (&ovf, &text)])] {
            assert!(convert(&Opener::new(), &archive).unwrap() == disk, "{name}");
            assert_eq!(findings(&inspect(&Opener::new(), &archive).unwrap()), [], "{name}");
        }
        // A disk that only the descriptor identifies.
        let archive = tar(&[(&ovf, &text), (name, &opaque)]);
        let allowed = Opener { allow_raw: true, ..Opener::new() };
        assert!(convert(&allowed, &archive).unwrap() == opaque, "{name}");
    }
}

#[test]
fn file_beside_the_descriptor_precedes_one_of_that_name_elsewhere() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\" ovf:size=\"1\"", "");
    for names in [["vm/disk.raw", "disk.raw"], ["disk.raw", "vm/disk.raw"]] {
        let archive = tar(&[("vm/vm.ovf", &text), (names[0], &disk), (names[1], &disk)]);
        for (name, differs) in [("vm/disk.raw", true), ("disk.raw", false)] {
            let found = inspect(&naming(name), &archive).unwrap();
            assert!(found.findings.iter().any(|finding| finding.check == "ovf_size"));
            let others: Vec<_> =
                found.findings.iter().filter(|finding| finding.check == "other_disks").collect();
            let other = if differs { "disks: disk.raw" } else { "disks: vm/disk.raw" };
            assert!(others.len() == 1 && others[0].message.ends_with(other), "{others:?}");
        }
    }
}

#[test]
fn chunk_in_a_directory_is_not_read_as_a_disk() {
    let disk = mbr_disk(LEN);
    let text = descriptor("ovf:href=\"disk.raw\" ovf:chunkSize=\"65536\"", "");
    let archive = tar(&[("vm/vm.ovf", &text), ("vm/disk.raw.000000000", &disk)]);
    for opener in [Opener::new(), naming("vm/disk.raw.000000000"), naming("./vm/disk.raw.000000000")] {
        let error = inspect(&opener, &archive).unwrap_err();
        assert!(error.to_string().contains("chunks of 65536 bytes"), "{error}");
    }
}

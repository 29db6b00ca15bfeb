//! Images that `qemu-img` reads wrong without an error, or rejects although they are valid.

use diskimg_core::{BlockSource, ErrorKind, Image, OpenOptions};
use diskimg_vmdk::Vmdk;

use crate::tools::{HostFile, Workshop};

#[test]
fn read_only_extent_is_part_of_the_disk_unlike_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    std::fs::write(shop.path("a-flat.vmdk"), vec![7; 1 << 20]).unwrap();
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
        createType=\"monolithicFlat\"\nRW 1024 FLAT \"a-flat.vmdk\" 0\nRDONLY 1024 FLAT \"a-flat.vmdk\" 1024\n";
    std::fs::write(shop.path("disk.vmdk"), text).unwrap();
    assert_eq!(shop.guest_bytes("disk.vmdk", &[]).len(), 512 << 10);
    let disk = shop.open_image("disk.vmdk");
    diskimg_core::conformance::source(&disk, &vec![7; 1 << 20]);
}

#[test]
fn image_without_its_end_is_truncated_where_qemu_reads_zeros() {
    let Some(shop) = Workshop::open() else { return };
    shop.write_mixed("mixed.raw", 4 << 20);
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "mixed.raw", "disk.vmdk"]);
    let whole = std::fs::read(shop.path("disk.vmdk")).unwrap();
    std::fs::write(shop.path("disk.vmdk"), &whole[..whole.len() - (1 << 20)]).unwrap();
    assert_eq!(shop.guest_bytes("disk.vmdk", &[]).len(), 4 << 20, "it converts");
    let disk = shop.open_image("disk.vmdk");
    let error = disk.read_at(0, &mut vec![0; 4 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.guest_offset().is_some() && error.offset().is_some(), "{error}");
}

#[test]
fn parent_named_by_uuid_only_is_reported_unlike_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    shop.img(&["create", "-f", "vmdk", "disk.vmdk", "1M"]);
    let mut bytes = std::fs::read(shop.path("disk.vmdk")).unwrap();
    let line = b"ddb.uuid.parent=\"00112233-4455-6677-8899-aabbccddeeff\"\n";
    let end = 512 + bytes[512..].iter().position(|byte| *byte == 0).unwrap();
    bytes[end..][..line.len()].copy_from_slice(line);
    std::fs::write(shop.path("disk.vmdk"), bytes).unwrap();
    assert!(!shop.img(&["info", "disk.vmdk"]).contains("backing"));
    let disk = shop.open_image("disk.vmdk");
    assert_eq!(disk.info().references[0].identity.uuid.unwrap()[15], 0xFF);
}

#[test]
fn vmfs_line_with_an_offset_opens_unlike_in_qemu() {
    let Some(shop) = Workshop::open() else { return };
    std::fs::write(shop.path("a-flat.vmdk"), vec![7; 4096]).unwrap();
    let text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
        createType=\"vmfs\"\nRW 8 VMFS \"a-flat.vmdk\" 0\n";
    std::fs::write(shop.path("disk.vmdk"), text).unwrap();
    diskimg_core::conformance::source(&shop.open_image("disk.vmdk"), &[7; 4096]);
    let denied = Vmdk::open(HostFile::open(&shop.path("disk.vmdk")), &OpenOptions::default());
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
}

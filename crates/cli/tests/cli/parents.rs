//! Disks in several layers and in archives: parents that are named, given, found by their UUID, or wrong.

use std::process::Command;

use crate::tools::{Workshop, mixed_disk};

const SIZE: usize = 2 << 20;

/// A VDI whose blocks are those of `child.raw`, made into a differencing image of the parent with these UUIDs.
fn differencing(shop: &Workshop, uuid: u8, modification: u8) {
    shop.ok(&["convert", "--force", "-f", "raw", "-O", "vdi", "child.raw", "child.vdi"]);
    let mut child = shop.read("child.vdi");
    let number = |at: usize, child: &[u8]| u32::from_le_bytes(child[at..at + 4].try_into().unwrap());
    child[76..80].copy_from_slice(&4_u32.to_le_bytes());
    child[424..440].fill(uuid);
    child[440..456].fill(modification);
    // The second block is free: it is read from the parent.
    let map = usize::try_from(number(340, &child)).unwrap();
    child[map + 4..map + 8].fill(0xFF);
    shop.write("child.vdi", &child);
}

/// A parent, a child that has the first half of its disk, and what both show together.
fn family(shop: &Workshop) -> Vec<u8> {
    let base = mixed_disk(SIZE);
    let mut whole = vec![0x5A; SIZE / 2];
    whole.extend_from_slice(&base[SIZE / 2..]);
    shop.write("base.raw", &base);
    shop.write("child.raw", &whole);
    let uuids = "uuid=11111111-1111-1111-1111-111111111111,uuid_modify=22222222-2222-2222-2222-222222222222";
    shop.ok(&["convert", "-O", "vdi", "-o", uuids, "base.raw", "base.vdi"]);
    differencing(shop, 0x11, 0x22);
    whole
}

#[test]
fn a_parent_known_by_its_uuid_alone_is_found_or_given() {
    let shop = Workshop::new();
    let whole = family(&shop);
    shop.run(&["convert", "child.vdi", "out.raw"])
        .fails_with(1, &["parent", "(--follow)", "(--parent FILE)"]);
    assert!(!shop.exists("out.raw"));
    for way in [&["--follow"][..], &["--parent", "base.vdi"]] {
        shop.ok(&[&["convert", "--force"], way, &["child.vdi", "out.raw"]].concat());
        assert!(shop.read("out.raw") == whole, "{way:?}");
    }
    std::fs::rename(shop.path("base.vdi"), shop.path("base.img")).unwrap();
    shop.run(&["convert", "--follow", "child.vdi", "other.raw"]).fails_with(1, &["UUID"]);
}

#[test]
fn a_parent_that_was_changed_since_is_refused() {
    let shop = Workshop::new();
    family(&shop);
    differencing(&shop, 0x11, 0x33);
    for way in [&["--follow"][..], &["--parent", "base.vdi"]] {
        let args = [&["convert"], way, &["child.vdi", "out.raw"]].concat();
        shop.run(&args).fails_with(1, &["modification UUID of the parent", "22222222", "33333333"]);
        assert!(!shop.exists("out.raw"));
    }
}

#[test]
fn delta_links_of_qemu_img_are_followed_and_their_content_id_is_checked() {
    let Some(shop) = Workshop::with_qemu() else { return };
    shop.write("base.raw", &mixed_disk(SIZE));
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "base.vmdk"]);
    shop.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk"]);
    let write = ["-f", "vmdk", "-c", "write -P 7 64k 64k", "child.vmdk"];
    let wrote = Command::new("qemu-io").current_dir(shop.path(".")).args(write).output().unwrap();
    assert!(wrote.status.success());
    shop.img(&["convert", "-f", "vmdk", "-O", "raw", "child.vmdk", "expected.raw"]);
    shop.ok(&["convert", "--follow", "child.vmdk", "out.raw"]);
    assert!(shop.read("out.raw") == shop.read("expected.raw"));
    shop.run(&["convert", "child.vmdk", "none.raw"]).fails_with(1, &["parent", "base.vmdk"]);
    shop.img(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "other.vmdk"]);
    let told = shop.run(&["convert", "--parent", "other.vmdk", "child.vmdk", "none.raw"]);
    told.fails_with(1, &["content id of the parent"]);
}

#[test]
fn the_disks_of_an_ova_are_read_where_they_lie() {
    let shop = Workshop::new();
    shop.write("disk.raw", &mixed_disk(SIZE));
    shop.write("box.ovf", b"<Envelope/>");
    for disk in ["one.vmdk", "two.vmdk"] {
        let options = "subformat=streamOptimized";
        shop.ok(&["convert", "-f", "raw", "-O", "vmdk", "-o", options, "disk.raw", disk]);
    }
    let tar = |name: &str, members: &[&str]| {
        let args = [&["--format=ustar", "-cf", name, "box.ovf"], members].concat();
        assert!(Command::new("tar").current_dir(shop.path(".")).args(args).status().unwrap().success());
    };
    tar("single.ova", &["one.vmdk"]);
    shop.ok(&["convert", "single.ova", "out.raw"]);
    assert!(shop.read("out.raw") == shop.read("disk.raw"));
    let info = shop.ok(&["info", "--output=json", "single.ova"]).json();
    assert_eq!((&info["format"], &info["virtual-size"]), (&"vmdk".into(), &SIZE.into()));
    assert_eq!(shop.run(&["check", "single.ova"]).code, 0);

    tar("double.ova", &["one.vmdk", "two.vmdk"]);
    let told = shop.run(&["convert", "double.ova", "which.raw"]);
    told.fails_with(1, &["one.vmdk, two.vmdk", "(--member)"]);
    shop.ok(&["convert", "--member", "two.vmdk", "double.ova", "which.raw"]);
    assert!(shop.read("which.raw") == shop.read("disk.raw"));

    let (single, double) = (shop.read("single.ova"), shop.read("double.ova"));
    let told = shop.run_fed(&["convert", "--no-spool", "-", "streamed.raw"], &single);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    assert!(shop.read("streamed.raw") == shop.read("disk.raw"));
    for command in [
        &["probe", "-"][..],
        &["inspect", "-"],
        &["convert", "-", "none.raw"],
        &["convert", "-O", "qcow2", "-", "none.raw"],
    ] {
        shop.run_fed(command, &double).fails_with(1, &["one.vmdk, two.vmdk", "(--member)"]);
    }
    assert!(!shop.names().contains(&"none.raw".to_owned()));
    let told = shop.run_fed(&["convert", "--member", "two.vmdk", "-", "second.raw"], &double);
    assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    assert!(shop.read("second.raw") == shop.read("disk.raw"));
}

//! Parents and archives: parents that are named, found by their UUID, or wrong, and the disks of an OVA.

use std::process::Command;

use crate::tools::{ScratchDir, mixed_disk};

pub(crate) const SIZE: usize = 2 << 20;

/// Writes a differencing VDI with the blocks of `child.raw`, whose parent has these UUIDs.
pub(crate) fn differencing(dir: &ScratchDir, uuid: u8, modification: u8) {
    dir.ok(&["convert", "--force", "-f", "raw", "-O", "vdi", "child.raw", "child.vdi"]);
    let mut child = dir.read("child.vdi");
    let number = |at: usize, child: &[u8]| u32::from_le_bytes(child[at..at + 4].try_into().unwrap());
    child[76..80].copy_from_slice(&4_u32.to_le_bytes());
    child[424..440].fill(uuid);
    child[440..456].fill(modification);
    // The second block is free, so it is read from the parent.
    let map = usize::try_from(number(340, &child)).unwrap();
    child[map + 4..map + 8].fill(0xFF);
    child[388..392].copy_from_slice(&1_u32.to_le_bytes());
    child.truncate(child.len() - SIZE / 2);
    dir.write("child.vdi", &child);
}

/// Writes a parent and a child that has the first half of the disk. Returns the content of the disk.
pub(crate) fn family(dir: &ScratchDir) -> Vec<u8> {
    let base = mixed_disk(SIZE);
    let mut whole = vec![0x5A; SIZE / 2];
    whole.extend_from_slice(&base[SIZE / 2..]);
    dir.write("base.raw", &base);
    dir.write("child.raw", &whole);
    let uuids = "uuid=11111111-1111-1111-1111-111111111111,uuid_modify=22222222-2222-2222-2222-222222222222";
    dir.ok(&["convert", "-O", "vdi", "-o", uuids, "base.raw", "base.vdi"]);
    differencing(dir, 0x11, 0x22);
    whole
}

#[test]
fn parent_known_only_by_uuid_is_found_or_named() {
    let dir = ScratchDir::new();
    let whole = family(&dir);
    dir.run(&["convert", "child.vdi", "out.raw"]).fails_with(1, &["parent", "--follow", "--parent FILE"]);
    assert!(!dir.exists("out.raw"));
    for way in [&["--follow"][..], &["--parent", "base.vdi"]] {
        dir.ok(&[&["convert", "--force"], way, &["child.vdi", "out.raw"]].concat());
        assert!(dir.read("out.raw") == whole, "{way:?}");
    }
    dir.write("copy.vdi", &dir.read("base.vdi"));
    let run = dir.run(&["convert", "--follow", "child.vdi", "other.raw"]);
    run.fails_with(1, &["base.vdi", "copy.vdi", "--parent FILE"]);
    std::fs::remove_file(dir.path("copy.vdi")).unwrap();
    std::fs::rename(dir.path("base.vdi"), dir.path("base.img")).unwrap();
    dir.run(&["convert", "--follow", "child.vdi", "other.raw"]).fails_with(1, &["UUID"]);
}

#[test]
fn modified_parent_is_refused() {
    let dir = ScratchDir::new();
    family(&dir);
    differencing(&dir, 0x11, 0x33);
    for way in [&["--follow"][..], &["--parent", "base.vdi"]] {
        let args = [&["convert"], way, &["child.vdi", "out.raw"]].concat();
        dir.run(&args).fails_with(1, &["modification UUID of the parent", "22222222", "33333333"]);
        assert!(!dir.exists("out.raw"));
    }
}

#[test]
fn delta_link_of_qemu_img_is_followed_and_its_content_id_checked() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(SIZE));
    dir.img(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "base.vmdk"]);
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk"]);
    let write = ["-f", "vmdk", "-c", "write -P 7 64k 64k", "child.vmdk"];
    let wrote = Command::new("qemu-io").current_dir(dir.path(".")).args(write).output().unwrap();
    assert!(wrote.status.success());
    dir.img(&["convert", "-f", "vmdk", "-O", "raw", "child.vmdk", "expected.raw"]);
    dir.ok(&["convert", "--follow", "child.vmdk", "out.raw"]);
    assert!(dir.read("out.raw") == dir.read("expected.raw"));
    dir.run(&["convert", "child.vmdk", "none.raw"]).fails_with(1, &["parent", "base.vmdk"]);
    dir.img(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "other.vmdk"]);
    let run = dir.run(&["convert", "--parent", "other.vmdk", "child.vmdk", "none.raw"]);
    run.fails_with(1, &["content id of the parent"]);
}

#[test]
fn disks_of_an_ova_are_read_from_the_archive() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(SIZE));
    dir.write("box.ovf", b"<Envelope/>");
    for disk in ["one.vmdk", "two.vmdk"] {
        let options = "subformat=streamOptimized";
        dir.ok(&["convert", "-f", "raw", "-O", "vmdk", "-o", options, "disk.raw", disk]);
    }
    let tar = |name: &str, members: &[&str]| {
        let args = [&["--format=ustar", "-cf", name, "box.ovf"], members].concat();
        assert!(Command::new("tar").current_dir(dir.path(".")).args(args).status().unwrap().success());
    };
    tar("single.ova", &["one.vmdk"]);
    dir.ok(&["convert", "single.ova", "out.raw"]);
    assert!(dir.read("out.raw") == dir.read("disk.raw"));
    let info = dir.ok(&["info", "--output=json", "single.ova"]).json();
    assert_eq!((&info["format"], &info["virtual-size"]), (&"vmdk".into(), &SIZE.into()));
    assert_eq!(dir.run(&["check", "single.ova"]).code, 0);

    tar("double.ova", &["one.vmdk", "two.vmdk"]);
    let run = dir.run(&["convert", "double.ova", "which.raw"]);
    run.fails_with(1, &["one.vmdk, two.vmdk", "--member"]);
    dir.ok(&["convert", "--member", "two.vmdk", "double.ova", "which.raw"]);
    assert!(dir.read("which.raw") == dir.read("disk.raw"));

    let (single, double) = (dir.read("single.ova"), dir.read("double.ova"));
    let run = dir.run_fed(&["convert", "--no-spool", "-", "streamed.raw"], &single);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(dir.read("streamed.raw") == dir.read("disk.raw"));
    for command in [
        &["probe", "-"][..],
        &["inspect", "-"],
        &["convert", "-", "none.raw"],
        &["convert", "-O", "qcow2", "-", "none.raw"],
    ] {
        dir.run_fed(command, &double).fails_with(1, &["one.vmdk, two.vmdk", "--member"]);
    }
    assert!(!dir.names().contains(&"none.raw".to_owned()));
    let run = dir.run_fed(&["convert", "--member", "two.vmdk", "-", "second.raw"], &double);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(dir.read("second.raw") == dir.read("disk.raw"));
}

#[test]
fn unneeded_parent_is_refused() {
    let dir = ScratchDir::new();
    let whole = family(&dir);
    for (name, format, options) in [
        ("alone.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
        ("alone.vdi", "vdi", ""),
        ("alone.qcow2", "qcow2", ""),
    ] {
        dir.ok(&["convert", "-f", "raw", "-O", format, "-o", options, "child.raw", name]);
        for command in [
            &["convert", "--parent", "base.vdi", name, "out.raw"][..],
            &["map", "--parent", "base.vdi", name],
        ] {
            dir.run(command).fails_with(1, &["parent", "records no backing file or parent"]);
        }
        assert!(!dir.exists("out.raw"), "{name}");
        // The rule also applies to a stream, converted in one pass or not.
        let stream = dir.read(name);
        let run = dir.run_fed(&["convert", "--parent", "base.vdi", "-", "out.raw"], &stream);
        run.fails_with(1, &["records no backing file or parent"]);
    }
    let twice = ["convert", "--parent", "base.vdi", "--parent", "base.vdi", "child.vdi", "out.raw"];
    dir.run(&twice).fails_with(1, &["parent is 2 files, expected at most 1"]);
    // Of two images to compare, only one needs the parent.
    dir.ok(&["compare", "--parent", "base.vdi", "child.vdi", "child.raw", "-F", "raw"]);
    dir.run(&["compare", "--parent", "base.vdi", "alone.vdi", "alone.qcow2"])
        .fails_with(2, &["neither image"]);
    assert!(dir.read("child.raw") == whole);
}

#[test]
fn parent_hint_without_a_content_id_is_ignored() {
    let dir = ScratchDir::new();
    family(&dir);
    dir.ok(&["convert", "-f", "raw", "-O", "vmdk", "child.raw", "hint.vmdk"]);
    let bytes = dir.read("hint.vmdk");
    let at = bytes.windows(10).position(|word| word == b"createType").unwrap();
    let mut hint = bytes.clone();
    let text = b"parentFileNameHint=\"base.vmdk\"\n";
    let end = at + bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    hint[at + text.len()..end + text.len()].copy_from_slice(&bytes[at..end]);
    hint[at..at + text.len()].copy_from_slice(text);
    dir.write("hint.vmdk", &hint);
    dir.run(&["convert", "--parent", "base.vdi", "hint.vmdk", "out.raw"])
        .fails_with(1, &["records no backing file or parent"]);
}

#[test]
fn hint_for_a_refused_extent_omits_the_option_for_parents() {
    let dir = ScratchDir::new();
    family(&dir);
    let flat = "subformat=monolithicFlat";
    dir.ok(&["convert", "-f", "raw", "-O", "vmdk", "-o", flat, "child.raw", "flat.vmdk"]);
    let run = dir.run(&["convert", "flat.vmdk", "out.raw"]);
    run.fails_with(1, &["extent", "--follow"]);
    assert!(!run.stderr.contains("--parent"), "{}", run.stderr);
}

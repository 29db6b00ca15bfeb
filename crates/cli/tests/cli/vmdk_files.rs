//! VMDKs of several files: `info` and `map` name each file, as `qemu-img` does.

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk};

/// The subformats of several files, with the size of the disk.
const SUBFORMATS: [(&str, u64); 4] = [
    ("monolithicFlat", 3 << 20),
    ("twoGbMaxExtentFlat", 3 << 20),
    ("twoGbMaxExtentSparse", 3 << 20),
    ("twoGbMaxExtentSparse", 5 << 30),
];

/// A disk of this subformat by `qemu-img`, with data at its start and its end.
fn image(dir: &ScratchDir, subformat: &str, size: u64) {
    dir.img(&[
        "create",
        "-q",
        "-f",
        "vmdk",
        "-o",
        &format!("subformat={subformat}"),
        "disk.vmdk",
        &size.to_string(),
    ]);
    let last = format!("write -q -P 9 {} 128k", size - (128 << 10));
    dir.io_as("vmdk", "disk.vmdk", &["write -q -P 7 64k 64k", &last]);
    dir.settle();
}

fn theirs(dir: &ScratchDir, args: &[&str]) -> Value {
    serde_json::from_str(&dir.img(args)).unwrap()
}

#[test]
fn extent_files_are_children_with_their_sizes_as_in_qemu_img() {
    for (subformat, size) in SUBFORMATS {
        let Some(dir) = ScratchDir::with_qemu() else { return };
        image(&dir, subformat, size);
        let theirs = theirs(&dir, &["info", "--output=json", "disk.vmdk"]);
        let mut ours = dir.ok(&["info", "--follow", "--output=json", "disk.vmdk"]).json();
        ours.as_object_mut().unwrap().remove("diskimg");
        assert_eq!(ours, theirs, "{subformat}");
    }
}

#[test]
fn extent_files_are_counted_without_being_opened() {
    for (subformat, size) in SUBFORMATS {
        let Some(dir) = ScratchDir::with_qemu() else { return };
        image(&dir, subformat, size);
        let theirs = theirs(&dir, &["info", "--output=json", "disk.vmdk"]);
        for name in dir.names().iter().filter(|name| name.contains('-')) {
            std::fs::remove_file(dir.path(name)).unwrap();
        }
        let ours = dir.ok(&["info", "--output=json", "disk.vmdk"]).json();
        let names = |info: &Value| -> Vec<(Value, Value)> {
            let children = info["children"].as_array().unwrap().iter();
            children.map(|child| (child["name"].clone(), child["info"]["filename"].clone())).collect()
        };
        assert_eq!(names(&ours), names(&theirs), "{subformat}");
        assert!(ours["children"][0]["info"]["actual-size"].is_null());
        let run = dir.run(&["info", "--follow", "disk.vmdk"]);
        assert_eq!(run.code, 1, "a file is missing: {run:?}");
    }
}

#[test]
fn text_of_info_lists_the_extent_files() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    image(&dir, "twoGbMaxExtentFlat", 3 << 20);
    let ours = dir.ok(&["info", "--follow", "disk.vmdk"]);
    let theirs = dir.img(&["info", "disk.vmdk"]);
    let (_, node) = theirs.split_once("Child node '/extents.0'").unwrap();
    let (node, _) = node.split_once("Child node '/file'").unwrap();
    assert!(ours.text().contains(node), "{ours:?}");
}

#[test]
fn map_names_the_extent_file_and_the_parent() {
    for (subformat, size) in SUBFORMATS {
        let Some(dir) = ScratchDir::with_qemu() else { return };
        image(&dir, subformat, size);
        assert_eq!(
            dir.ok(&["map", "--follow", "disk.vmdk"]).text(),
            dir.img(&["map", "disk.vmdk"]),
            "{subformat}"
        );
    }
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(3 << 20));
    dir.img(&["convert", "-O", "vmdk", "disk.raw", "base.vmdk"]);
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "over.vmdk"]);
    dir.io_as("vmdk", "over.vmdk", &["write -q -P 3 1M 64k"]);
    let ours = dir.ok(&["map", "--follow", "over.vmdk"]);
    assert_eq!(ours.text(), dir.img(&["map", "over.vmdk"]));
    assert!(ours.text().contains(" base.vmdk\n") && ours.text().contains(" over.vmdk\n"));
}

#[test]
fn new_image_has_a_content_id_of_its_own_unless_it_is_given() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let made = |name: &str, options: &str| {
        dir.ok(&["convert", "--force", "-O", "vmdk", "-o", options, "disk.raw", name]);
        dir.read(name)
    };
    for subformat in ["monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse"] {
        let option = format!("subformat={subformat}");
        assert_ne!(made("a.vmdk", &option), made("a.vmdk", &option), "{subformat}");
        let given = format!("{option},cid=1234abcd");
        let image = made("a.vmdk", &given);
        assert_eq!(image, made("a.vmdk", &given), "{subformat}");
        assert!(String::from_utf8_lossy(&image).contains("\nCID=1234abcd\n"));
    }
    assert!(dir.ok(&["formats"]).text().contains("reproducible output"));
}

#[test]
fn overlay_refuses_a_base_that_was_made_again() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let convert = ["convert", "--force", "-O", "vmdk", "disk.raw", "base.vmdk"];
    dir.ok(&convert);
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "over.vmdk"]);
    dir.ok(&["cat", "--follow", "over.vmdk"]);
    dir.ok(&convert);
    dir.run(&["cat", "--follow", "over.vmdk"]).fails_with(1, &["content id", "parent"]);
    assert_ne!(dir.img_may_fail(&["convert", "-O", "raw", "over.vmdk", "out.raw"]).0, 0);
}

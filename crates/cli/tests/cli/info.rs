//! `diskimg info`: the description of `qemu-img info`.

use serde_json::Value;

use crate::tools::{ScratchDir, mixed_disk, without_additions};

/// Options of images whose descriptions must have equal keys and values.
const OPTIONS: [&str; 12] = [
    "compat=v3",
    "compat=v2",
    "cluster_size=512",
    "cluster_size=2M",
    "compression_type=zstd",
    "refcount_bits=1",
    "refcount_bits=64",
    "lazy_refcounts=on",
    "extended_l2=on,cluster_size=128k",
    "preallocation=metadata",
    "data_file=data.raw",
    "data_file=data.raw,data_file_raw=on",
];

#[track_caller]
fn agree(dir: &ScratchDir, more: &[&str], image: &str) {
    dir.settle();
    let theirs = dir.img(&[&["info", "--output=json"], more, &[image]].concat());
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let mut ours = vec!["info", "--output=json"];
    ours.extend(more);
    if more.contains(&"--backing-chain") {
        ours.push("--follow");
    }
    ours.push(image);
    assert_eq!(without_additions(dir.ok(&ours).json()), theirs, "{image}");
}

#[test]
fn json_of_qcow2_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in OPTIONS {
        dir.img(&["create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
        dir.io("disk.qcow2", &["write -P 1 1M 200k"]);
        agree(&dir, &[], "disk.qcow2");
        std::fs::remove_file(dir.path("disk.qcow2")).unwrap();
    }
}

#[test]
fn json_of_raw_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("disk.raw", &mixed_disk(1 << 20));
    agree(&dir, &["-f", "raw"], "disk.raw");
}

#[test]
fn json_of_snapshots_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    for name in ["first", "second snapshot", "dritter mit Ümlaut"] {
        dir.img(&["snapshot", "-c", name, "disk.qcow2"]);
    }
    agree(&dir, &[], "disk.qcow2");
}

#[test]
fn json_of_a_backing_chain_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("below")).unwrap();
    dir.write("below/base.raw", &mixed_disk(1 << 20));
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "below/middle.qcow2"]);
    dir.img(&["create", "-q", "-f", "qcow2", "-b", "below/middle.qcow2", "-F", "qcow2", "top.qcow2", "2M"]);
    agree(&dir, &[], "top.qcow2");
    agree(&dir, &[], "below/middle.qcow2");
    agree(&dir, &["--backing-chain"], "top.qcow2");
    let inside = dir.path("below/middle.qcow2");
    agree(&dir, &["--backing-chain"], inside.to_str().unwrap());
}

#[test]
fn json_of_backing_files_by_protocol_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("sub")).unwrap();
    for name in
        ["nbd://localhost:10809/x", "file:base.raw", "/abs/base.raw", "./a:b", "a/b:c", "../../base.raw"]
    {
        let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", name, "sub/disk.qcow2", "8M"];
        dir.img(&create);
        agree(&dir, &[], "sub/disk.qcow2");
    }
}

#[test]
fn json_of_vmdk_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("sub")).unwrap();
    for options in ["subformat=monolithicSparse", "subformat=streamOptimized", "zeroed_grain=on"] {
        dir.img(&["create", "-q", "-f", "vmdk", "-o", options, "first-name.vmdk", "8M"]);
        // The descriptor still has the old name.
        std::fs::rename(dir.path("first-name.vmdk"), dir.path("sub/base.vmdk")).unwrap();
        agree(&dir, &[], "sub/base.vmdk");
        assert_eq!(dir.ok(&["info", "sub/base.vmdk"]).text(), dir.img(&["info", "sub/base.vmdk"]));
    }
    dir.img(&["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "sub/top.vmdk"]);
    agree(&dir, &[], "sub/top.vmdk");
    agree(&dir, &["--backing-chain"], "sub/top.vmdk");
    let inside = dir.path("sub/top.vmdk");
    agree(&dir, &["--backing-chain"], inside.to_str().unwrap());
}

#[test]
fn files_of_a_vmdk_are_named_as_qemu_img_names_them() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("sub")).unwrap();
    let names = |value: Value| -> Vec<Value> {
        let extents = value["format-specific"]["data"]["extents"].as_array().unwrap().clone();
        extents.into_iter().map(|extent| extent["filename"].clone()).collect()
    };
    for subformat in ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"] {
        let options = format!("subformat={subformat}");
        dir.img(&["create", "-q", "-f", "vmdk", "-o", &options, "sub/disk.vmdk", "4100M"]);
        for image in ["sub/disk.vmdk", dir.path("sub/disk.vmdk").to_str().unwrap()] {
            let theirs = serde_json::from_str(&dir.img(&["info", "--output=json", image])).unwrap();
            assert_eq!(names(dir.ok(&["info", "--json", image]).json()), names(theirs), "{subformat}");
        }
    }
}

/// QEMU has no format-specific keys for a VDI.
#[test]
fn json_of_vdi_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    for options in ["static=off", "static=on"] {
        dir.img(&["create", "-q", "-f", "vdi", "-o", options, "disk.vdi", "8M"]);
        dir.settle();
        let theirs: Value = serde_json::from_str(&dir.img(&["info", "--output=json", "disk.vdi"])).unwrap();
        let mut ours = without_additions(dir.ok(&["info", "--json", "disk.vdi"]).json());
        assert!(ours.as_object_mut().unwrap().remove("format-specific").is_some());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn json_of_bitmaps_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    for more in [&["first"][..], &["-g", "4k", "second"], &["--disable", "third"]] {
        let (name, options) = more.split_last().unwrap();
        dir.img(&[&["bitmap", "--add"], options, &["disk.qcow2", name]].concat());
    }
    agree(&dir, &[], "disk.qcow2");
}

#[test]
fn json_of_an_encrypted_image_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    let options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
    let secret = "secret,id=key,data=x";
    dir.img(&["create", "-q", "--object", secret, "-f", "qcow2", "-o", options, "disk.qcow2", "8M"]);
    agree(&dir, &[], "disk.qcow2");
}

#[test]
fn text_equals_that_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    dir.io("disk.qcow2", &["write -P 1 1M 200k"]);
    dir.settle();
    assert_eq!(dir.ok(&["info", "disk.qcow2"]).text(), dir.img(&["info", "disk.qcow2"]));
}

#[test]
fn text_of_a_snapshot_has_the_columns_of_qemu_img() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "qcow2", "disk.qcow2", "8M"]);
    dir.img(&["snapshot", "-c", "before", "disk.qcow2"]);
    let theirs = dir.img(&["info", "disk.qcow2"]);
    let ours = dir.ok(&["info", "disk.qcow2"]);
    let after = |text: &str, start: &str| -> Vec<String> {
        text.lines().skip_while(|line| !line.starts_with(start)).take(3).map(str::to_owned).collect()
    };
    let (theirs, ours) = (after(&theirs, "Snapshot list"), after(ours.text(), "Snapshot list"));
    assert_eq!(ours[..2], theirs[..2]);
    // Day and hour are local time there, and UTC here.
    assert_eq!(ours[2].len(), theirs[2].len());
    assert_eq!(ours[2].split("  ").last(), theirs[2].split("  ").last());
}

#[test]
fn compressed_image_is_described_with_its_compression() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    dir.ok(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    dir.write("disk.qcow2.zst", &zstd_stored(&dir.read("disk.qcow2")));
    let run = dir.ok(&["info", "--json", "disk.qcow2.zst"]).json();
    assert_eq!(run["format"], "qcow2");
    assert_eq!(run["virtual-size"], 1 << 20);
    assert_eq!(run["diskimg"]["wrapper"], "zstd");
    assert_eq!(dir.ok(&["probe", "disk.qcow2.zst"]).text(), "qcow2+zstd 1048576\n");
}

/// A zstd frame of raw blocks: RFC 8878, 3.1.1.
fn zstd_stored(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let blocks = bytes.chunks(1 << 16).count();
    for (index, block) in bytes.chunks(1 << 16).enumerate() {
        let header = u32::try_from(block.len() << 3).unwrap() | u32::from(index + 1 == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

#[test]
fn names_from_an_image_cannot_forge_lines() {
    let dir = ScratchDir::new();
    dir.write("disk.raw", &mixed_disk(1 << 20));
    let name = "backing_file=x\nfile format: raw\u{1b}[2J,backing_fmt=raw";
    dir.ok(&["convert", "-O", "qcow2", "-o", name, "disk.raw", "disk.qcow2"]);
    let run = dir.ok(&["info", "disk.qcow2"]);
    assert_eq!(run.text().matches("\nfile format: ").count(), 1, "{run:?}");
    assert!(!run.text().contains('\u{1b}'), "{run:?}");
    assert_eq!(
        dir.ok(&["info", "--json", "disk.qcow2"]).json()["backing-filename"],
        "x\nfile format: raw\u{1b}[2J"
    );
}

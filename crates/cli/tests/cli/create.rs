//! `diskimg create`: empty images that are valid for `qemu-img`, with and without a backing file.

use serde_json::Value;

use crate::tools::{ScratchDir, file_len, mixed_disk};

#[test]
fn empty_image_of_every_format_has_its_format_and_size() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.img(&["create", "-q", "-f", "raw", "zeros.raw", "10M"]);
    for (format, options) in [
        ("raw", &[][..]),
        ("qcow2", &[]),
        ("qcow2", &["-o", "cluster_size=4k,compat=v2"]),
        ("qcow2", &["-o", "extended_l2=on", "-o", "preallocation=metadata"]),
        ("vmdk", &[]),
        ("vmdk", &["-o", "subformat=monolithicFlat"]),
        ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
        ("vdi", &[]),
        ("vdi", &["-o", "static=on"]),
    ] {
        let run = dir.ok(&[&["create", "--force", "-f", format], options, &["disk", "10M"]].concat());
        assert_eq!(run.text(), "", "{format} {options:?}");
        let info: Value =
            serde_json::from_str(&dir.img(&["info", "--output=json", "-f", format, "disk"])).unwrap();
        assert_eq!((&info["format"], &info["virtual-size"]), (&format.into(), &(10 << 20).into()));
        dir.img(&["compare", "-q", "-f", format, "-F", "raw", "disk", "zeros.raw"]);
        if format != "raw" {
            assert_eq!(dir.run(&["check", "--follow", "-f", format, "disk"]).code, 0, "{format} {options:?}");
        }
        if format == "qcow2" {
            dir.img(&["check", "-q", "-f", "qcow2", "disk"]);
        }
    }
    assert_eq!(dir.ok(&["create", "-f", "qcow2", "one.qcow2", "1T"]).code, 0);
    assert!(file_len(&dir.path("one.qcow2")) < 1 << 20);
}

#[test]
fn overlay_reads_as_its_backing_file_and_stores_its_own_writes() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(2 << 20));
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        let base = format!("base.{format}");
        if format != "raw" {
            dir.ok(&["convert", "-O", format, "base.raw", &base]);
        }
        let before = dir.read(&base);
        for options in ["compat=v3", "compat=v2", "cluster_size=512", "extended_l2=on"] {
            let args =
                ["create", "--force", "-f", "qcow2", "-o", options, "-b", &base, "-F", format, "top.qcow2"];
            dir.ok(&args);
            dir.img(&["check", "-q", "-f", "qcow2", "top.qcow2"]);
            dir.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "top.qcow2", "base.raw"]);
            let info: Value =
                serde_json::from_str(&dir.img(&["info", "--output=json", "top.qcow2"])).unwrap();
            assert_eq!(info["backing-filename"], base.as_str(), "{options}");
            assert_eq!(
                (&info["backing-filename-format"], &info["virtual-size"]),
                (&format.into(), &(2 << 20).into())
            );
        }
        dir.io("top.qcow2", &["write -P 9 100k 300k"]);
        dir.img(&["check", "-q", "-f", "qcow2", "top.qcow2"]);
        dir.ok(&["convert", "--force", "--follow", "top.qcow2", "whole.raw"]);
        let mut whole = dir.read("base.raw");
        whole[100 << 10..400 << 10].fill(9);
        assert!(dir.read("whole.raw") == whole, "{format}");
        assert!(dir.read(&base) == before, "{format}: the backing file is never written");
    }
}

#[test]
fn backing_file_is_relative_to_the_directory_of_the_image() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    std::fs::create_dir(dir.path("disks")).unwrap();
    dir.write("disks/base.raw", &mixed_disk((1 << 20) + 100));
    dir.write("base.raw", &mixed_disk(3 << 20));
    dir.ok(&["create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "disks/top.qcow2"]);
    let info = dir.ok(&["info", "--json", "disks/top.qcow2"]).json();
    assert_eq!(
        info["virtual-size"],
        (1 << 20) + 512,
        "whole sectors, as QEMU rounds the size of the backing file"
    );
    dir.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "disks/top.qcow2", "disks/base.raw"]);
    let base = dir.path("base.raw");
    let args =
        ["create", "-f", "qcow2", "-b", base.to_str().unwrap(), "-F", "raw", "disks/other.qcow2", "4M"];
    dir.ok(&args);
    let info = dir.ok(&["info", "--json", "disks/other.qcow2"]).json();
    assert_eq!(
        (&info["virtual-size"], &info["backing-filename"]),
        (&(4 << 20).into(), &base.to_str().into())
    );
    dir.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "disks/other.qcow2", "base.raw"]);
}

#[test]
fn backing_file_without_its_format_is_refused() {
    let Some(dir) = ScratchDir::with_qemu() else { return };
    dir.write("base.raw", &mixed_disk(1 << 20));
    for args in [&["-b", "base.raw"][..], &["-o", "backing_file=base.raw"]] {
        let args = [&["create", "-f", "qcow2"], args, &["top.qcow2"]].concat();
        assert_eq!(dir.img_may_fail(&args).0, 1, "{args:?}");
        dir.run(&args).fails_with(1, &["without its format", "-F FORMAT"]);
    }
    dir.ok(&["create", "-f", "qcow2", "-o", "backing_file=base.raw,backing_fmt=raw", "top.qcow2"]);
    dir.img(&["compare", "-q", "-f", "qcow2", "-F", "raw", "top.qcow2", "base.raw"]);
}

#[test]
fn invalid_backing_file_is_refused_and_leaves_no_file() {
    let dir = ScratchDir::new();
    dir.write("base.raw", &mixed_disk(1 << 20));
    dir.write("a:b.raw", &mixed_disk(1 << 20));
    let create = |more: &[&str]| dir.run(&[&["create", "-f", "qcow2"], more].concat());
    create(&["-b", "absent", "-F", "raw", "top"]).fails_with(1, &["absent"]);
    create(&["-b", "absent", "-F", "raw", "top", "1M"]).fails_with(1, &["absent"]);
    create(&["-b", "base.raw", "-F", "qcow2", "top"]).fails_with(1, &["base.raw", "magic"]);
    create(&["-b", "base.raw", "-F", "nonsense", "top"]).fails_with(1, &["nonsense"]);
    create(&["-b", "a:b.raw", "-F", "raw", "top"]).fails_with(1, &["a:b.raw", "./"]);
    create(&["-b", "nbd://localhost", "-F", "raw", "top"]).fails_with(1, &["protocol"]);
    create(&["-b", "base.raw", "-F", "raw", "--force", "base.raw"]).fails_with(1, &["its own backing file"]);
    create(&["-b", &"x".repeat(1024), "-F", "raw", "-u", "top", "1M"]).fails_with(1, &["1023"]);
    create(&["-F", "raw", "top", "1M"]).fails_with(1, &["no backing file"]);
    create(&["top"]).fails_with(1, &["size"]);
    create(&["-u", "-b", "absent", "-F", "raw", "top"]).fails_with(1, &["size"]);
    for format in ["raw", "vmdk", "vdi"] {
        let args = ["create", "-f", format, "-b", "base.raw", "-F", "raw", "top"];
        dir.run(&args).fails_with(1, &[format, "with a backing file"]);
    }
    assert_eq!(dir.names(), ["a:b.raw", "base.raw"]);
    assert_eq!(create(&["-b", "./a:b.raw", "-F", "raw", "colon"]).code, 0);
    assert_eq!(create(&["-u", "-b", "later.raw", "-F", "raw", "early", "1M"]).code, 0);
    let info = dir.ok(&["info", "--json", "early"]).json();
    assert_eq!((&info["backing-filename"], &info["virtual-size"]), (&"later.raw".into(), &(1 << 20).into()));
}

#[test]
fn raw_backing_file_that_looks_like_an_image_gives_a_warning() {
    let dir = ScratchDir::new();
    dir.ok(&["create", "-f", "qcow2", "base.qcow2", "1M"]);
    let run = dir.run(&["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "raw", "top.qcow2"]);
    assert_eq!((run.code, run.stdout.len()), (0, 0), "{run:?}");
    assert!(run.stderr.contains("warning: base.qcow2 looks like qcow2"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn existing_file_is_replaced_only_with_force() {
    let dir = ScratchDir::new();
    dir.write("target", b"precious");
    for format in ["raw", "qcow2", "vmdk", "vdi"] {
        dir.run(&["create", "-f", format, "target", "1M"]).fails_with(1, &["'target'", "exists", "--force"]);
        assert_eq!(dir.read("target"), b"precious");
    }
    let run = dir.run(&["create", "--json", "-f", "qcow2", "target", "1M"]);
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((run.code, &error["error"]["status"]), (1, &"invalid-input".into()));
    dir.ok(&["create", "--force", "target", "1M"]);
    assert_eq!(dir.read("target"), vec![0; 1 << 20]);
    dir.ok(&["create", "--force", "-f", "qcow2", "target", "1M"]);
    assert_eq!(dir.ok(&["info", "--json", "target"]).json()["format"], "qcow2");
    assert_eq!(dir.names(), ["target"]);
}

#[test]
fn invalid_options_are_refused_and_leave_no_file() {
    let dir = ScratchDir::new();
    for args in [
        &["-f", "nonsense", "disk", "1M"][..],
        &["-f", "raw", "-o", "cluster_size=4k", "disk", "1M"],
        &["-f", "raw", "-o", "preallocation=metadata", "disk", "1M"],
        &["-f", "qcow2", "-o", "cluster_size=3", "disk", "1M"],
        &["-f", "vmdk", "disk", "0"],
        &["-f", "qcow2", "-", "1M"],
        &["-f", "qcow2", "no/such/directory", "1M"],
    ] {
        dir.run(&[&["create"], args].concat()).fails_with(1, &[]);
        assert!(dir.names().is_empty(), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn preallocation_reserves_the_space_of_a_raw_file() {
    use std::os::unix::fs::MetadataExt;
    let dir = ScratchDir::new();
    for (how, least) in [("off", 0), ("falloc", 4 << 20), ("full", 4 << 20)] {
        let option = format!("preallocation={how}");
        dir.ok(&["create", "--force", "-o", &option, "disk.raw", "4M"]);
        dir.settle();
        let there = dir.path("disk.raw").metadata().unwrap();
        assert_eq!(there.len(), 4 << 20, "{how}");
        assert!(there.blocks() * 512 >= least, "{how}");
    }
}

#[test]
fn streamable_image_is_written_to_standard_output() {
    let dir = ScratchDir::new();
    assert_eq!(dir.ok(&["create", "-", "1M"]).stdout, vec![0; 1 << 20]);
    let vmdk = dir.ok(&["create", "-f", "vmdk", "-o", "subformat=streamOptimized", "-", "1M"]);
    dir.write("disk.vmdk", &vmdk.stdout);
    dir.ok(&["convert", "disk.vmdk", "disk.raw"]);
    assert_eq!(dir.read("disk.raw"), vec![0; 1 << 20]);
}

#[test]
fn file_that_the_backing_file_refers_to_is_never_replaced() {
    let dir = ScratchDir::new();
    let disk = mixed_disk(1 << 20);
    dir.write("base.raw", &disk);
    dir.ok(&["create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "middle.qcow2"]);
    dir.run(&["create", "--force", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "base.raw"])
        .fails_with(1, &["'base.raw'", "refers to it"]);
    assert!(dir.read("base.raw") == disk);
}
